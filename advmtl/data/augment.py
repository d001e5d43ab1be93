"""Joint geometric and photometric augmentation of one frame; each task warps its own label."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.config import Augment
from advmtl.data.frames import Arrays
from advmtl.tasks import TASKS, Size, Task, TaskSpec, Window
from preprocessing.ground import IGNORE


@dataclass(frozen=True)
class Geometry:
    """One window into a frame: its centre in source pixels, zoom, rotation and mirroring."""

    center: tuple[float, float]
    zoom: float
    rotation_deg: float = 0.0
    flip: bool = False


@dataclass(frozen=True)
class Jitter:
    """Colour factors: 1 leaves brightness, contrast and saturation alone, 0 turns the hue by nothing (in
    turns).
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    identity: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Wanted:
    """A class that a window shall show.

    Attributes:
        task: whose label is the map of classes.
        id: of the class.
        min_share: of the window's labelled pixels.
        tries: windows that are drawn for it beyond the first.
    """

    task: str
    id: int
    min_share: float
    tries: int


def augment(
    frame: Arrays,
    crop: Size,
    rng: np.random.Generator,
    settings: Augment,
    tasks: Mapping[str, Task] = TASKS,
    *,
    wanted: Wanted | None = None,
    mix: Callable[[Arrays], Arrays] | None = None,
    restyle: Callable[[Arrays], Arrays] | None = None,
    weather: Callable[[Arrays, float, Window], Arrays] | None = None,
    spec: TaskSpec | None = None,
) -> Arrays:
    """Draw one flip, zoom, rotation, crop and colour change from `rng` and apply them to all arrays; labels become
    those behind the canonical lens.

    `wanted`: what the window is looked for by; `mix`: what is done between the cut and the change of colours;
    `restyle`: after it; `weather`: after that, with the zoom that labels were freed of, and the window.
    """
    geometry = draw_geometry(rng, _size(frame), crop, settings)
    jitter = draw_jitter(rng, settings)
    if wanted is not None:
        geometry = look_for(wanted, frame, geometry, crop, rng, settings, tasks)
    window = window_of(crop, geometry)
    cut = warp(frame, window, tasks)
    shown = behind_lens(cut, tasks, spec)
    shown = shown if mix is None else mix(shown)
    shown = shown if restyle is None else restyle(shown)
    shown = shown if weather is None else weather(shown, cut.zoom, window)
    return replace(shown, image=apply_jitter(shown.image, jitter))


def look_for(
    wanted: Wanted,
    frame: Arrays,
    geometry: Geometry,
    crop: Size,
    rng: np.random.Generator,
    settings: Augment,
    tasks: Mapping[str, Task] = TASKS,
) -> Geometry:
    """The first of the given window and others drawn from `rng` that shows enough of the class, else that with most."""
    task, classes = tasks[wanted.task].arrays, frame.labels[wanted.task]
    best, most = geometry, -1.0
    for tries in range(wanted.tries + 1):
        if tries:
            geometry = draw_geometry(rng, _size(frame), crop, settings)
        shown = task.warp(classes, window_of(crop, geometry))
        share = float(np.count_nonzero(shown == wanted.id)) / max(1.0, float(np.count_nonzero(shown != IGNORE)))
        if share > most:
            best, most = geometry, share
        if most >= wanted.min_share:
            break
    return best


def _size(frame: Arrays) -> Size:
    height, width = frame.image.shape[:2]
    return width, height


def draw_geometry(rng: np.random.Generator, size: Size, crop: Size, settings: Augment) -> Geometry:
    """Draw a window of `crop / zoom` source pixels that lies inside a frame of `size`.

    Where the frame is smaller than the drawn window, the zoom is raised until the frame covers it. The zoom is drawn
    log-uniformly. Every call takes the same number of draws, whatever the
    settings.
    """
    flip, zoom, rotation, x, y = rng.random(5)
    low, high = settings.zoom
    factor = float(low * (high / low) ** zoom)
    factor = max(factor, crop[0] / size[0], crop[1] / size[1])
    window = (crop[0] / factor, crop[1] / factor)
    # A whole-pixel corner: at zoom 1 the crop is then an exact copy, not one blurred by half a pixel.
    left = min(round(float(x) * (size[0] - window[0])), size[0] - window[0])
    top = min(round(float(y) * (size[1] - window[1])), size[1] - window[1])
    return Geometry(
        center=(left + window[0] / 2 - 0.5, top + window[1] / 2 - 0.5),
        zoom=factor,
        rotation_deg=float((2 * rotation - 1) * settings.rotation_deg),
        flip=bool(flip < settings.flip),
    )


def window_of(crop: Size, geometry: Geometry) -> Window:
    """The window that shows a geometry at `crop` size."""
    angle = np.deg2rad(geometry.rotation_deg)
    cosine, sine = np.cos(angle) / geometry.zoom, np.sin(angle) / geometry.zoom
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if geometry.flip:
        linear[:, 0] *= -1
    middle = np.array([(crop[0] - 1) / 2, (crop[1] - 1) / 2])
    matrix = np.column_stack([linear, np.asarray(geometry.center) - linear @ middle])
    return Window(matrix, crop, geometry.zoom, geometry.rotation_deg, geometry.flip)


def warp(frame: Arrays, window: Window, tasks: Mapping[str, Task] = TASKS) -> Arrays:
    """Cut the window out of the frame, the image bilinear, every label as its task does it.

    What a rotation brings in from outside is mirrored in the image and no label. A zoom is a longer lens: what it does
    to metres, `behind_lens` says.
    """
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    image = cv2.warpAffine(frame.image, window.matrix, window.crop, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    labels = {name: tasks[name].arrays.warp(label, window) for name, label in frame.labels.items()}
    return Arrays(np.asarray(image, dtype=np.uint8), labels, frame.zoom * window.zoom)


def behind_lens(shown: Arrays, tasks: Mapping[str, Task] = TASKS, spec: TaskSpec | None = None) -> Arrays:
    """The same picture, taken for one of the canonical lens, and the labels that the scene has then."""
    if shown.zoom == 1:
        return shown
    own = spec or TaskSpec()
    labels = {name: tasks[name].arrays.behind_lens(label, shown.zoom, own) for name, label in shown.labels.items()}
    return Arrays(shown.image, labels)


def draw_jitter(rng: np.random.Generator, settings: Augment) -> Jitter:
    """Draw factors uniformly from 1 ± each setting, and a hue turn from ± `hue`."""
    brightness, contrast, saturation, hue = 2 * rng.random(4) - 1
    strengths = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    return Jitter(
        brightness=float(1 + brightness * settings.brightness),
        contrast=float(1 + contrast * settings.contrast),
        saturation=float(1 + saturation * settings.saturation),
        hue=float(hue * settings.hue),
        identity=not any(strengths),
    )


LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# RGB -> YIQ (FCC 1953): a turn in the IQ plane changes the hue and leaves the luma. As in HSV, a small turn
# makes red yellowish.
YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
RGB_FROM_YIQ = np.linalg.inv(YIQ)


def jitter_matrix(jitter: Jitter, mean_luma: float) -> NDArray[np.float64]:
    """All four colour changes as one 3×4 matrix on (R, G, B, 1) in 0..255.

    In order: brightness scales; contrast scales around the mean luma of the brightened image; saturation
    blends with the luma; hue turns the IQ plane. One linear map instead of a way to HSV and back is several
    times faster.
    """
    turn = 2 * np.pi * jitter.hue
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(turn), np.sin(turn)], [0, -np.sin(turn), np.cos(turn)]], dtype=np.float64
    )
    hue = RGB_FROM_YIQ @ rotation @ YIQ
    saturation = jitter.saturation * np.eye(3) + (1 - jitter.saturation) * np.tile(LUMA, (3, 1))
    color = hue @ saturation
    offset = (1 - jitter.contrast) * jitter.brightness * mean_luma
    # Both colour maps keep grey as it is, so the offset passes through them unchanged.
    return np.column_stack([jitter.contrast * jitter.brightness * color, np.full(3, offset)])


def apply_jitter(image: NDArray[np.uint8], jitter: Jitter) -> NDArray[np.uint8]:
    """Change the colours of an RGB uint8 image `[H,W,3]`; values outside 0..255 are clipped."""
    if jitter.identity:
        return image
    mean_luma = float(np.dot(cv2.mean(image)[:3], LUMA))
    return np.asarray(cv2.transform(image, jitter_matrix(jitter, mean_luma)), dtype=np.uint8)
