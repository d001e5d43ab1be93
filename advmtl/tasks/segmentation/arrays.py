"""Segmentation without torch: class map files, pictures, and the output of a deployed model."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.arrays import RGB, Array, DataSource, MapFile, Output, Size, TaskArrays, Window, warp_nearest
from advmtl.tasks.contents import Contents
from advmtl.tasks.pictures import (
    CAPTION_HEIGHT,
    MARGIN,
    ROW,
    dark,
    footer_strip,
    footer_text,
    footer_text_width,
    panel,
    put_text,
)
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.segmentation.doubts import binary_masks, other_ids
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import (
    IGNORE,
    LabelMap,
    LabelSet,
    colorize,
    read_label_map,
    resize_nearest,
    same_size,
)

CLASSES = "classes"
OVERLAY = 0.55


class SegmentationArrays(TaskArrays):
    """Stored: uint8 class ids `[H,W]` of the label set, 255 = ignore; the target is the same."""

    check_decodes = True
    dtype = "uint8"
    channels = 0
    outputs = (Output(CLASSES, "uint8 [1,H,W], index into the class names", "agreement", 0.999),)
    derived: tuple[str, ...] = ()

    def has(self, record: FrameRecord) -> bool:
        return record.labels is not None

    def check(self, record: FrameRecord, shape: tuple[int, int]) -> None:
        if record.labels is not None:
            _labels(record, shape).counts(record.translation)  # an unknown id shows only when decoded

    def contents(self, record: FrameRecord, shape: tuple[int, int], spec: TaskSpec) -> Contents:
        labels, how = _labels(record, shape), record.translation
        ids = labels.counts(how)
        every = np.zeros(256, np.int64)
        for value, pixels in ids.items():
            every[labels.class_of(value, how)] += pixels
        classes = every[: len(spec.labels.names)]
        valid = int(classes.sum())
        return Contents(sum(ids.values()), valid, valid, classes, {} if labels.of_colours else ids)

    def class_names(self, spec: TaskSpec) -> tuple[str, ...]:
        return spec.labels.names

    def doubts(self, files: Sequence[tuple[FrameRecord, Contents]], spec: TaskSpec) -> list[str]:
        if not files:
            return []
        how, found = files[0][0].translation, [contents for _, contents in files if contents.ids]
        return binary_masks(found, how) or other_ids(found, how)

    def read(self, record: FrameRecord, shape: tuple[int, int], size: Size, spec: TaskSpec) -> NDArray[np.uint8]:
        return resize_nearest(_read(record, shape), size)

    def blank(self, size: Size) -> NDArray[np.uint8]:
        return np.full((size[1], size[0]), IGNORE, dtype=np.uint8)

    def warp(self, stored: Array, window: Window) -> Array:
        return warp_nearest(stored, window, IGNORE)

    def target(self, stored: Array, spec: TaskSpec, *, training: bool) -> Array:
        return stored

    def is_labelled(self, target: Array, spec: TaskSpec, *, training: bool) -> bool:
        return bool((target != IGNORE).any())

    def missing(self, sources: Sequence[DataSource]) -> str:
        return missing_ground_truth("gtFine/SPLIT/CITY/*_gtFine_labelIds.png", sources)

    def derive(self, outputs: Mapping[str, Array], spec: TaskSpec) -> dict[str, Array]:
        return {}

    def resized(self, output: str, values: Array, size: Size) -> Array:
        return resize_nearest(values, size)

    def picture(self, truth: Array, spec: TaskSpec) -> RGB:
        return colorize(truth.reshape(truth.shape[-2:]).astype(np.uint8), spec.labels.palette)

    def draw(self, image: RGB, truth: Array | None, outputs: Mapping[str, Array], spec: TaskSpec) -> list[RGB]:
        true = None if truth is None else self.picture(truth, spec)
        predicted = colorize(outputs[CLASSES], spec.labels.palette), "classes, prediction"
        legend = class_legend(spec.labels, len(image) + CAPTION_HEIGHT)
        return [panel(image, (true, "classes, truth"), predicted, legend, "classes")]

    def paint(self, image: RGB, outputs: Mapping[str, Array], spec: TaskSpec) -> RGB:
        return overlay(image, outputs[CLASSES], spec.labels.palette, OVERLAY)

    def errors(self, image: RGB, truth: Array, outputs: Mapping[str, Array], spec: TaskSpec) -> list[tuple[str, RGB]]:
        palette, classes = spec.labels.palette, outputs[CLASSES]
        truth = truth.astype(np.uint8)
        grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.6, 3, axis=2)
        wrong = (truth < len(palette)) & (classes != truth)
        errors = np.where(wrong[..., None], np.array([255, 60, 60]), grey).astype(np.uint8)
        named = ("truth", colorize(truth, palette)), ("prediction", colorize(classes, palette))
        return [("image", image), *named, ("wrong pixels, red", errors)]

    def footer(self, spec: TaskSpec, width: int) -> RGB:
        return class_footer(spec.labels, width)

    def files(self, outputs: Mapping[str, Array]) -> dict[str, MapFile]:
        return {CLASSES: MapFile(outputs[CLASSES])}


def missing_ground_truth(files: str, sources: Sequence[DataSource]) -> str:
    """What to do where no source has labels of Cityscapes' `files`."""
    if any(source.labels_apart for source in sources):
        roots = [source.root for source in sources if source.stereo]
        return (
            f"no {files} under {', '.join(roots)}; unpack gtFine there, or train depth alone: advmtl train single_depth"
        )
    return "add a source with this label, or take the task out of the configuration"


def _read(record: FrameRecord, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    assert record.labels is not None
    return _labels(record, shape).classes(record.translation)


def _labels(record: FrameRecord, shape: tuple[int, ...]) -> LabelMap:
    assert record.labels is not None
    labels = read_label_map(record.labels, record.translation)
    same_size(labels.values, shape, record.labels)
    return labels


def overlay(image: RGB, classes: NDArray[np.uint8], palette: RGB, opacity: float = 0.5) -> RGB:
    """Blend class colours over the image; pixels without a class (255) keep the image."""
    blended = cv2.addWeighted(image, 1 - opacity, colorize(classes, palette), opacity, 0)
    if classes.max(initial=0) >= len(palette):
        cv2.copyTo(image, (classes >= len(palette)).view(np.uint8), blended)
    return np.asarray(blended, dtype=np.uint8)


def class_legend(label_set: LabelSet, height: int, width: int = 104) -> RGB:
    """Colour and name of every class, in as many columns as the height asks for."""
    rows = max(1, height // 12)
    columns = -(-len(label_set.names) // rows)
    legend = dark(height, columns * width)
    for number, (name, color) in enumerate(zip(label_set.names, label_set.palette, strict=True)):
        x, y = number // rows * width, number % rows * 12
        legend[y + 2 : y + 11, x + 3 : x + 12] = color
        put_text(legend, name, (x + 16, y + 10), 0.34)
    return legend


def class_footer(labels: LabelSet, width: int) -> RGB:
    """A strip `[h, width, 3]` of colour chips with their class names, in as many rows as they need."""
    places, x, row = [], MARGIN, 0
    for name in labels.names:
        needed = ROW + footer_text_width(name) + 2 * MARGIN
        if x > MARGIN and x + needed > width:
            x, row = MARGIN, row + 1
        places.append((x, row))
        x += needed
    strip = footer_strip(row + 1, width)
    for name, colour, (x, row) in zip(labels.names, labels.palette, places, strict=True):
        top = MARGIN + row * ROW
        strip[top + 3 : top + ROW - 3, x : x + ROW - 6] = colour
        footer_text(strip, name, x + ROW - 2, top + ROW - 5)
    return strip


ARRAYS = SegmentationArrays()
