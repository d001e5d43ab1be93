"""Figures of one source: pixels by class, depth and disparity by percentile, lenses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advmtl.data import Look
from advmtl.inspection.look import Looked
from advmtl.tasks import FrameRecord, Task, TaskSpec
from preprocessing.ground import InputError

PERCENT = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True, eq=False)
class Figures:
    """What was counted in the files of one source that were decoded.

    Attributes:
        classes: by task, names and their pixels, int64; of tasks with classes.
        void: by task, the share of the pixels that count for nothing.
        values: by task, its unit and its values at `PERCENT` percent; may be infinite.
        disparity_px: the same of depth, as disparities behind the frames' own cameras; () where there is no camera.
        lenses: focal lengths [px] of the pictures, least, median, greatest; () where nobody tells.
        hfov_deg: the same of the view from side to side.
    """

    classes: Mapping[str, tuple[tuple[str, ...], NDArray[np.int64]]]
    void: Mapping[str, float]
    values: Mapping[str, tuple[str, tuple[float, ...]]]
    disparity_px: tuple[float, ...] = ()
    lenses: tuple[float, ...] = ()
    hfov_deg: tuple[float, ...] = ()


def figures_of(looked: Looked, tasks: Mapping[str, Task], spec: TaskSpec) -> Figures:
    """The figures of a source, from what was found in its files."""
    frames = list(zip(looked.records, looked.looks, strict=True))
    classes, void, values = {}, {}, {}
    for name, task in tasks.items():
        found = [look.contents[name] for look in looked.looks if name in look.contents]
        if not found:
            continue
        pixels = sum(one.pixels for one in found)
        void[name] = 1 - sum(one.measured for one in found) / max(pixels, 1)
        names = task.class_names(spec)
        if names:
            classes[name] = names, np.stack([one.classes for one in found]).sum(0)
        if task.arrays.value_unit:
            values[name] = task.arrays.value_unit, _percentiles(np.concatenate([one.values for one in found]))
    lenses = [look.lens for look in looked.looks if look.lens is not None]
    return Figures(
        classes,
        void,
        values,
        _percentiles(_disparities(frames, tasks)),
        _three([lens.fx_px for lens in lenses]),
        _three([lens.hfov_deg for lens in lenses]),
    )


def _percentiles(values: NDArray[np.floating]) -> tuple[float, ...]:
    # The value of a pixel, not between two: one may be infinite.
    return tuple(np.percentile(values, PERCENT, method="nearest").tolist()) if len(values) else ()


def _three(values: Sequence[float]) -> tuple[float, ...]:
    own = sorted(values)
    return (own[0], own[len(own) // 2], own[-1]) if own else ()


def _disparities(frames: Sequence[tuple[FrameRecord, Look]], tasks: Mapping[str, Task]) -> NDArray[np.floating]:
    """d = B f / Z - doffs of the metres of frames with a stereo camera."""
    found = [np.zeros(0)]
    metric = [n for n, task in tasks.items() if task.arrays.value_unit == "m" and any(o.of_lens for o in task.outputs)]
    for record, look in frames:
        contents = next((look.contents[name] for name in metric if name in look.contents), None)
        if contents is None or record.frame is None or look.lens is None:
            continue
        try:
            camera = record.layout.camera(record.frame, look.lens.size)
        except InputError:  # its frame says so
            continue
        metres = contents.values[np.isfinite(contents.values)].astype(np.float64)
        found.append(camera.baseline_m * camera.fx_px / metres - camera.doffs_px)
    return np.concatenate(found)
