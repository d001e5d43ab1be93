"""Drawing results with NumPy and OpenCV alone: depth colours and legend, class overlay, panels, animated GIF.

Imports no torch, so that a deployed model can be drawn where torch is not installed.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.drawing.instance_colors import color_instances, color_offsets, longest_offset, offset_legend
from advmtl.tasks.grouping import group, thing_classes
from preprocessing.ground import LabelSet, atomic_write, colorize

RGB = NDArray[np.uint8]  # [H,W,3]
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
LEGEND_TICKS_M = (1, 2, 5, 10, 20, 50, 100, 200)
FONT = cv2.FONT_HERSHEY_SIMPLEX
CAPTION_HEIGHT = 18
GAP = 2


@lru_cache(maxsize=4)
def _turbo() -> RGB:
    # Reversed, near is red and far is blue; without the map's dark ends, which look like invalid (black).
    ramp = np.rint(np.linspace(245, 20, 256)).astype(np.uint8)[None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[0, :, ::-1])


def color_depth(depth_m: NDArray[np.floating[Any]], min_m: float, max_m: float) -> RGB:
    """Draw metres `[H,W]` in turbo colours on a logarithmic scale: near red, far blue, invalid (0, NaN) black."""
    span = np.log(max_m / min_m)
    known = depth_m > 0  # NaN is not
    clipped = np.clip(np.where(known, depth_m, min_m), min_m, max_m).astype(np.float32)
    index = np.rint(cv2.log(clipped / np.float32(min_m)).reshape(depth_m.shape) * np.float32(255 / span))
    colors = _turbo()[index.astype(np.uint8)]
    colors[~known] = 0
    return colors


def depth_legend(height: int, min_m: float, max_m: float, width: int = 44) -> RGB:
    """A vertical bar of the depth colours with ticks in metres, near at the bottom as on a road."""
    legend = np.full((height, width, 3), 24, dtype=np.uint8)
    depths = np.geomspace(max_m, min_m, height)
    legend[:, :10] = color_depth(depths[:, None], min_m, max_m)
    for tick in [tick for tick in LEGEND_TICKS_M if min_m <= tick <= max_m]:
        row = round((height - 1) * np.log(max_m / tick) / np.log(max_m / min_m))
        legend[row, 10:14] = 255
        _text(legend, f"{tick} m", (15, int(np.clip(row + 4, 9, height - 3))), 0.32)
    return legend


def class_legend(label_set: LabelSet, height: int, width: int = 104) -> RGB:
    """Colour and name of every class, in as many columns as the height asks for."""
    rows = max(1, height // 12)
    columns = -(-len(label_set.names) // rows)
    legend = np.full((height, columns * width, 3), 24, dtype=np.uint8)
    for number, (name, color) in enumerate(zip(label_set.names, label_set.palette, strict=True)):
        x, y = number // rows * width, number % rows * 12
        legend[y + 2 : y + 11, x + 3 : x + 12] = color
        _text(legend, name, (x + 16, y + 10), 0.34)
    return legend


def overlay(image: RGB, classes: NDArray[np.uint8], palette: RGB, opacity: float = 0.5) -> RGB:
    """Blend class colours over the image; pixels without a class (255) keep the image."""
    colors = colorize(classes, palette)
    blended = cv2.addWeighted(image, 1 - opacity, colors, opacity, 0)
    known = classes < len(palette)
    return np.where(known[..., None], blended, image).astype(np.uint8)


def caption(picture: RGB, text: str) -> RGB:
    """The picture under a dark line of text (ASCII), which is made smaller where it would not fit."""
    bar = np.full((CAPTION_HEIGHT, picture.shape[1], 3), 24, dtype=np.uint8)
    scale = 0.42
    width = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    _text(bar, text, (4, 13), scale * min(1.0, (picture.shape[1] - 8) / max(width, 1)))
    return np.vstack([bar, picture])


def _text(picture: RGB, text: str, origin: tuple[int, int], scale: float) -> None:
    cv2.putText(picture, text, origin, FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def row_of(pictures: Sequence[RGB]) -> RGB:
    """Pictures of one height side by side with a thin gap."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 24, dtype=np.uint8)
    return np.hstack([part for picture in pictures for part in (picture, gap)][:-1])


def stack(rows: Sequence[RGB]) -> RGB:
    """Rows below each other with a thin gap; narrower ones are filled up with dark grey."""
    width = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=24) for row in rows]
    return np.vstack(filled)


def segmentation_panel(
    image: RGB, truth: NDArray[np.uint8] | None, prediction: NDArray[np.uint8], labels: LabelSet
) -> RGB:
    """Image | true classes (void black) | predicted classes | legend; without truth its field is empty."""
    true = caption(_nothing(image), "classes: no truth")
    if truth is not None:
        true = caption(colorize(truth, labels.palette), "classes, truth")
    predicted = caption(colorize(prediction, labels.palette), "classes, prediction")
    return row_of([caption(image, "image"), true, predicted, class_legend(labels, true.shape[0])])


def depth_panel(
    image: RGB,
    truth_m: NDArray[np.floating[Any]] | None,
    prediction_m: NDArray[np.floating[Any]],
    range_m: tuple[float, float],
) -> RGB:
    """Image | true depth (invalid black) | predicted depth | legend in metres; without truth its
    field is empty.
    """
    true = caption(_nothing(image), "depth: no truth")
    if truth_m is not None:
        shown = _thicken(truth_m) if np.mean(truth_m > 0) < 0.1 else truth_m
        true = caption(color_depth(shown, *range_m), "depth [m], truth")
    predicted = caption(color_depth(prediction_m, *range_m), "depth [m], prediction")
    return row_of([caption(image, "image"), true, predicted, depth_legend(true.shape[0], *range_m)])


def _nothing(image: RGB) -> RGB:
    """An empty field, so that panels of frames with and without a label have one size."""
    return np.full_like(image, 60)


def _thicken(depth_m: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Sparse lidar points drawn 3 px wide, the nearer one on top; for the eye only."""
    far = np.where(depth_m > 0, depth_m, np.float32(1e6)).astype(np.float32)
    near = cv2.erode(far, np.ones((3, 3), np.uint8))
    return np.where(near < 1e6, near, np.float32(0))


def instance_rows(
    image: RGB,
    truth: NDArray[np.floating[Any]] | None,
    offsets: NDArray[np.floating[Any]],
    instances: NDArray[np.integer[Any]] | None,
) -> list[RGB]:
    """Two rows: offsets as a colour wheel, and, where there are any, instances over the image, each in its own colour.

    `truth`: offsets dy, dx [px] and ids `[3,H,W]`; `offsets`: `[2,H,W]`; `instances`: ids `[H,W]`, 0 = none, outside of
    which offsets mean nothing and are left black.
    """
    if instances is not None:
        offsets = np.where(instances > 0, offsets, np.float32(0))
    longest = longest_offset(image.shape[1])
    legend, nothing = offset_legend(image.shape[0] + CAPTION_HEIGHT, longest), _nothing(image)
    true, shown = caption(nothing, "offsets: no truth"), caption(nothing, "instances: no truth")
    if truth is not None:
        true = caption(color_offsets(truth[:2], longest), "offset from the centre, truth")
        shown = caption(color_instances(image, truth[2].astype(np.int64)), "instances, truth")
    predicted = caption(color_offsets(offsets, longest), "offset from the centre, prediction")
    rows = [row_of([caption(image, "image"), true, predicted, legend])]
    if instances is not None:
        found = f"instances, prediction: {len(np.unique(instances[instances > 0]))}"
        rows.append(row_of([caption(image, "image"), shown, caption(color_instances(image, instances), found)]))
    return rows


def result_panel(
    image: RGB,
    outputs: Mapping[str, NDArray[Any]],
    truth: Mapping[str, NDArray[Any]],
    labels: LabelSet,
    range_m: tuple[float, float],
) -> RGB:
    """One frame, a row or two per predicted task.

    "segmentation": class ids `[H,W]`; "depth": metres `[H,W]`; "instance": offsets dy, dx [px] `[2,H,W]`, in the truth
    followed by the ids; "instances", predicted only: ids `[H,W]`, 0 = none.
    """
    rows = []
    if "segmentation" in outputs:
        rows.append(segmentation_panel(image, truth.get("segmentation"), outputs["segmentation"], labels))
    if "depth" in outputs:
        rows.append(depth_panel(image, truth.get("depth"), outputs["depth"], range_m))
    if "instance" in outputs:
        rows += instance_rows(image, truth.get("instance"), outputs["instance"], outputs.get("instances"))
    return stack(rows)


def denormalize(image: NDArray[np.floating[Any]]) -> RGB:
    """Undo the ImageNet normalisation: float `[3,H,W]` to RGB uint8 `[H,W,3]`."""
    pixels = image.transpose(1, 2, 0) * IMAGENET_STD + IMAGENET_MEAN
    return np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8)


def batch_panels(batch: Any, outputs: Mapping[str, Any], labels: LabelSet, range_m: tuple[float, float]) -> list[RGB]:
    """One `result_panel` per frame of a `data.Batch` and the generator's outputs (tensors on any device)."""
    images = batch.image.detach().float().cpu().numpy()
    predicted: dict[str, NDArray[Any]] = {}
    if "segmentation" in outputs:
        predicted["segmentation"] = outputs["segmentation"].detach().argmax(1).cpu().numpy().astype(np.uint8)
    if "depth" in outputs:
        predicted["depth"] = outputs["depth"].detach().float()[:, 0].cpu().numpy()
    if "instance" in outputs:
        predicted["instance"] = outputs["instance"].detach().float().cpu().numpy()
    if {"instance", "segmentation"} <= outputs.keys():
        pairs = zip(predicted["instance"], predicted["segmentation"], strict=True)
        things = thing_classes(labels.name)
        predicted["instances"] = np.stack([group(offsets, classes, things).ids for offsets, classes in pairs])
    truth = {
        "segmentation": batch.targets["segmentation"].cpu().numpy().astype(np.uint8),
        "depth": batch.targets["depth"][:, 0].cpu().numpy(),
    }
    if "instance" in batch.targets:
        truth["instance"] = batch.targets["instance"].cpu().numpy()
    return [
        result_panel(
            denormalize(images[number]),
            {task: maps[number] for task, maps in predicted.items()},
            {task: maps[number] for task, maps in truth.items() if batch.present[task][number]},
            labels,
            range_m,
        )
        for number in range(len(images))
    ]


def evolution_gif(frames: Sequence[RGB], path: Path | str, milliseconds: int = 400, hold_ms: int = 2000) -> None:
    """Write pictures of one size as a looping GIF, the last one held longer. Raises: ValueError without a
    picture.
    """
    if not frames:
        raise ValueError("an animation needs at least one picture")
    from PIL import Image

    # Dithering would make still areas flicker from frame to frame and the file three times larger.
    pictures = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [hold_ms]
    with atomic_write(path) as temporary:
        pictures[0].save(temporary, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
