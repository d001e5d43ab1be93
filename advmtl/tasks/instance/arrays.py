"""Instances without torch: id files, pictures of offsets, and grouping in a deployed model."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.arrays import RGB, Array, DataSource, MapFile, Output, Size, TaskArrays, Window, warp_nearest
from advmtl.tasks.contents import Contents
from advmtl.tasks.instance.colors import color_instances, color_offsets, longest_offset, offset_legend
from advmtl.tasks.instance.grouping import (
    IGNORED_INSTANCE,
    group,
    instance_target,
    is_instance,
    map_instances,
    renumbered,
)
from advmtl.tasks.instance.own_ids import is_cityscapes, map_own_instances
from advmtl.tasks.pictures import CAPTION_HEIGHT, MARGIN, ROW, footer_strip, footer_text, panel
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.segmentation.arrays import CLASSES, missing_ground_truth
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import read_grey_or_index, resize_nearest, same_size

OFFSETS_PX = "offsets_px"
INSTANCES = "instances"
_LAYOUT = "float32 [1,2,H,W], dy, dx of a pixel from the centre of its instance, in pixels of this picture"


class InstanceArrays(TaskArrays):
    """Stored: uint16 ids `[H,W]` as `map_instances` gives them, 0 = none, 65535 = ignore; the target is float32
    `[3,H,W]`: offsets dy, dx from the instance's centre [px], and the ids.
    """

    check_decodes = True
    dtype = "uint16"
    channels = 0
    outputs = (Output(OFFSETS_PX, _LAYOUT, "absolute", 0.01),)
    derived: tuple[str, ...] = (INSTANCES,)

    def has(self, record: FrameRecord) -> bool:
        return record.instances is not None

    def check(self, record: FrameRecord, shape: tuple[int, int]) -> None:
        if record.instances is not None:
            _read(record, shape)  # an unknown id shows only when decoded

    def contents(self, record: FrameRecord, shape: tuple[int, int], spec: TaskSpec) -> Contents:
        ids = _read(record, shape)
        learnt, measured = (int(np.count_nonzero(chosen)) for chosen in (is_instance(ids), ids != IGNORED_INSTANCE))
        return Contents(ids.size, learnt, measured)

    def read(self, record: FrameRecord, shape: tuple[int, int], size: Size, spec: TaskSpec) -> NDArray[np.uint16]:
        return resize_nearest(_read(record, shape), size)

    def blank(self, size: Size) -> NDArray[np.uint16]:
        return np.full((size[1], size[0]), IGNORED_INSTANCE, dtype=np.uint16)

    def warp(self, stored: Array, window: Window) -> Array:
        return warp_nearest(stored, window, IGNORED_INSTANCE)

    def paste(self, own: Array, other: Array, mask: NDArray[np.bool_]) -> Array:
        return np.where(mask, renumbered(other), own)

    def target(self, stored: Array, spec: TaskSpec, *, training: bool) -> Array:
        """Offsets of what is shown, after every transform: the centre is that of the pixels in the picture, so that
        they need no rule of their own for mirror, zoom or rotation.
        """
        return instance_target(stored)

    def is_labelled(self, target: Array, spec: TaskSpec, *, training: bool) -> bool:
        """Offsets are learnt within instances; where nothing is one, none may be found."""
        return bool((is_instance(target[2]) if training else target[2] != IGNORED_INSTANCE).any())

    def missing(self, sources: Sequence[DataSource]) -> str:
        return missing_ground_truth("*_gtFine_instanceIds.png", sources)

    def derive(self, outputs: Mapping[str, Array], spec: TaskSpec) -> dict[str, Array]:
        """`instances`, uint16 `[H,W]`: class * 1000 + number, 0 = none, where there are classes to group within."""
        if not {CLASSES, OFFSETS_PX} <= outputs.keys() or not spec.things:
            return {}
        if not np.isfinite(outputs[OFFSETS_PX]).all():  # they lead nowhere
            return {INSTANCES: np.zeros(outputs[CLASSES].shape, np.uint16)}
        return {INSTANCES: group(outputs[OFFSETS_PX], outputs[CLASSES], spec.things).encoded()}

    def resized(self, output: str, values: Array, size: Size) -> Array:
        if output != OFFSETS_PX:
            return resize_nearest(values, size)
        ratios = [new / old for new, old in zip(size[::-1], values.shape[1:], strict=True)]
        return np.stack([np.float32(r) * resize_nearest(o, size) for r, o in zip(ratios, values, strict=True)])

    def picture(self, truth: Array, spec: TaskSpec) -> RGB:
        return color_offsets(truth[:2], longest_offset(truth.shape[-1]))

    def draw(self, image: RGB, truth: Array | None, outputs: Mapping[str, Array], spec: TaskSpec) -> list[RGB]:
        """Offsets as a colour wheel, and, where there are any, instances over the image, each in its own colour; where
        there is none an offset means nothing and is left black.
        """
        offsets, instances = outputs[OFFSETS_PX], outputs.get(INSTANCES)
        if instances is not None:
            offsets = np.where(instances > 0, offsets, np.float32(0))
        longest = longest_offset(image.shape[1])
        legend = offset_legend(len(image) + CAPTION_HEIGHT, longest)
        predicted = color_offsets(offsets, longest), "offset from the centre, prediction"
        true = None if truth is None else self.picture(truth, spec)
        rows = [panel(image, (true, "offset from the centre, truth"), predicted, legend, "offsets")]
        if instances is not None:
            count = f"instances, prediction: {len(np.unique(instances[instances > 0]))}"
            found = color_instances(image, instances), count
            true = None if truth is None else color_instances(image, truth[2].astype(np.int64))
            rows.append(panel(image, (true, "instances, truth"), found, None, "instances"))
        return rows

    def paint(self, image: RGB, outputs: Mapping[str, Array], spec: TaskSpec) -> RGB:
        """Instances, or, without classes, of which there would be instances, offsets."""
        if INSTANCES in outputs:
            return color_instances(image, outputs[INSTANCES])
        return color_offsets(outputs[OFFSETS_PX], longest_offset(image.shape[1]))

    def errors(self, image: RGB, truth: Array, outputs: Mapping[str, Array], spec: TaskSpec) -> list[tuple[str, RGB]]:
        return []

    def footer(self, spec: TaskSpec, width: int) -> RGB:
        lines = "instances, a colour each, of", ", ".join(spec.labels.names[thing] for thing in spec.things)
        if not spec.things:
            longest = longest_offset(spec.width_px)
            lines = (
                "offset from the instance's centre:",
                f"hue is direction, brightness length, full at {longest:.0f} px",
            )
        strip = footer_strip(2, width)
        for number, line in enumerate(lines, start=1):
            footer_text(strip, line, MARGIN, MARGIN + number * ROW - 5)
        return strip

    def files(self, outputs: Mapping[str, Array]) -> dict[str, MapFile]:
        return {INSTANCES: MapFile(outputs[INSTANCES])} if INSTANCES in outputs else {}


def _read(record: FrameRecord, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    assert record.instances is not None
    ids = same_size(read_grey_or_index(record.instances), shape, record.instances)
    if is_cityscapes(record.ids, record.classes, renamed=bool(record.renamed)):
        return map_instances(ids, record.instances)
    return map_own_instances(ids, record.translation, record.instances)


ARRAYS = InstanceArrays()
