"""Depth without torch: label files, pictures, and the output of a deployed model, in metres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.arrays import RGB, Array, DataSource, MapFile, Output, Size, TaskArrays, Window, warp_nearest
from advmtl.tasks.contents import Contents
from advmtl.tasks.depth.doubts import read_as, scale_doubts, upside_down
from advmtl.tasks.depth.error_pictures import ERROR_TEXT, color_error, error_code, error_row
from advmtl.tasks.depth.files import check_files, read_metres, unmarked_files
from advmtl.tasks.pictures import (
    CAPTION_HEIGHT,
    MARGIN,
    ROW,
    dark,
    footer_strip,
    footer_text,
    footer_text_width,
    footer_tick,
    panel,
    put_text,
)
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import (
    DEPTH_TEXT,
    resize_nearest,
    to_stored,
)

DEPTH_M = "depth_m"
DEPTH_ERROR = "depth_error"
_ERROR_SHARE = 0.5  # |error| / true depth that is drawn as the end of the scale
_LEGEND_TICKS_M = (1, 2, 5, 10, 20, 50, 100, 200)
_SAMPLED = 1024  # values of a file that quantiles are taken of, invalid ones among them
_OUTSIDE = 0.25  # share of the pixels outside of the range that is no accident
_FOOTER_TICKS_M = (0.5, 1, 2, 3, 5, 10, 20, 30, 50, 80, 100, 150, 200, 300, 500)


class DepthArrays(TaskArrays):
    """Stored: float32 metres `[H,W]`, 0 = invalid, infinite where it is only known to be far; the target is the same,
    in training clipped to the range that the network can express.
    """

    value_unit = "m"
    dtype = "float32"
    channels = 0
    outputs = (
        Output(
            DEPTH_M,
            "float32 [1,H,W], metres along the optical axis; +Inf: no distance, the sky; NaN: unknown",
            "relative",
            0.001,
            of_lens=True,
            endless=True,
        ),
    )
    optional = (Output(DEPTH_ERROR, "float32 [1,H,W], expected |Z - Z*| / Z* of depth_m, 1 = 100 %", "relative", 0.01),)
    derived: tuple[str, ...] = ()

    def given(self, spec: TaskSpec) -> tuple[Output, ...]:
        """Metres; the expected error where the configuration asks for it."""
        return self.outputs if spec.depth_error is None else (*self.outputs, *self.optional)

    def has(self, record: FrameRecord) -> bool:
        return record.depth is not None or record.disparity is not None

    def check(self, record: FrameRecord, shape: tuple[int, int]) -> None:
        check_files(record, shape)

    def contents(self, record: FrameRecord, shape: tuple[int, int], spec: TaskSpec) -> Contents:
        metres = read_metres(record, shape)
        values = metres.ravel()[:: metres.size // _SAMPLED | 1]  # odd: not the same few columns in every row
        valid = int(np.count_nonzero(metres > 0))
        return Contents(metres.size, valid, valid, values=values[values > 0])

    def doubts(self, files: Sequence[tuple[FrameRecord, Contents]], spec: TaskSpec) -> list[str]:
        """Depth that the network cannot express; what is only known to be far is not meant."""
        pooled = np.concatenate([contents.values for _, contents in files] or [np.zeros(0, np.float32)])
        values, (low, high) = pooled[np.isfinite(pooled)], spec.depth_range_m
        unmarked = unmarked_files([record for record, _ in files]) or scale_doubts(files)
        unmarked += upside_down(files)
        if not len(values):
            return unmarked
        sides = (("nearer than depth.min_m", low, values < low), ("farther than depth.max_m", high, values > high))
        return unmarked + [
            f"{outside.mean():.0%} of the pixels are {what}, {limit:g} m (files are read as {read_as(files[0][0])})"
            for what, limit, outside in sides
            if outside.mean() > _OUTSIDE
        ]

    def read(self, record: FrameRecord, shape: tuple[int, int], size: Size, spec: TaskSpec) -> NDArray[np.float32]:
        return resize_nearest(read_metres(record, shape), size)

    def blank(self, size: Size) -> NDArray[np.float32]:
        return np.zeros((size[1], size[0]), dtype=np.float32)

    def warp(self, stored: Array, window: Window) -> Array:
        return warp_nearest(stored, window, 0)

    def behind_lens(self, stored: Array, zoom: float, spec: TaskSpec) -> Array:
        """What is z times larger looks as it does from 1/z of the distance, so depth is divided by z; a disparity would
        be multiplied. What is only known to be beyond `max_m` is so behind a longer lens, too; behind a shorter one it
        is farther.
        """
        depth: Array = stored * np.float32(1 / zoom)
        depth[np.isinf(depth)] = np.float32(spec.depth_range_m[1] * max(1.0, 1.0 / zoom))
        return depth

    def target(self, stored: Array, spec: TaskSpec, *, training: bool) -> Array:
        if not training:  # metrics mask by the true depth
            return stored
        depth = np.where(np.isinf(stored), np.float32(spec.depth_range_m[1]), stored)
        depth = np.where(depth > 0, np.clip(depth, *spec.canonical_range_m), np.float32(0))
        return depth.astype(np.float32, copy=False)

    def is_labelled(self, target: Array, spec: TaskSpec, *, training: bool) -> bool:
        return bool((target > 0).any())

    def missing(self, sources: Sequence[DataSource]) -> str:
        roots = list(dict.fromkeys(source.root for source in sources if source.stereo))
        if not roots:
            names = " and ".join(source.text for source in sources)
            return f"{names} has no depth/; train classes alone: advmtl train single_segmentation"
        lines = " and ".join(f"advmtl preprocess {root}" for root in roots)
        return f"no depth/ or disparity/ under {', '.join(roots)}; run: {lines}"

    def derive(self, outputs: Mapping[str, Array], spec: TaskSpec) -> dict[str, Array]:
        return {}

    def resized(self, output: str, values: Array, size: Size) -> Array:
        return resize_nearest(values, size)

    def picture(self, truth: Array, spec: TaskSpec) -> RGB:
        metres = truth.reshape(truth.shape[-2:])
        return color_depth(_thicken(metres) if np.mean(metres > 0) < 0.1 else metres, *spec.depth_range_m)

    def draw(self, image: RGB, truth: Array | None, outputs: Mapping[str, Array], spec: TaskSpec) -> list[RGB]:
        true = None if truth is None else self.picture(truth, spec)
        predicted = color_depth(outputs[DEPTH_M], *spec.depth_range_m), "depth [m], prediction"
        legend = depth_legend(len(image) + CAPTION_HEIGHT, *spec.depth_range_m)
        rows = [panel(image, (true, "depth [m], truth"), predicted, legend, "depth")]
        if DEPTH_ERROR in outputs:
            metres = None if truth is None else truth.reshape(truth.shape[-2:])
            rows.append(error_row(image, metres, outputs[DEPTH_M], outputs[DEPTH_ERROR], spec.depth_range_m[1]))
        return rows

    def paint(self, image: RGB, outputs: Mapping[str, Array], spec: TaskSpec) -> RGB:
        return color_depth(outputs[DEPTH_M], *spec.depth_range_m)

    def errors(self, image: RGB, truth: Array, outputs: Mapping[str, Array], spec: TaskSpec) -> list[tuple[str, RGB]]:
        from preprocessing.job import colour_values  # a run over a set is nothing that a board needs

        true, depth, limits = truth.reshape(image.shape[:2]), outputs[DEPTH_M], spec.depth_range_m
        valid = (true > 0) & (true < limits[1])
        relative = np.where(valid, np.abs(depth - true) / np.maximum(true, 1e-3), 0).astype(np.float32)
        stated = []
        if DEPTH_ERROR in outputs:
            stated = [("expected |error| / depth, 1 % dark to 100 % bright", color_error(outputs[DEPTH_ERROR]))]
        return [
            ("image", image),
            (f"truth, {limits[0]:g} m red to {limits[1]:g} m blue", color_depth(true, *limits)),
            ("prediction", color_depth(depth, *limits)),
            (f"|error| / truth, 0 blue to {_ERROR_SHARE:g} red", colour_values(relative, valid, 0, _ERROR_SHARE)),
            *stated,
        ]

    def footer(self, spec: TaskSpec, width: int) -> RGB:
        return depth_footer(spec.depth_range_m, width)

    def files(self, outputs: Mapping[str, Array]) -> dict[str, MapFile]:
        metres = outputs[DEPTH_M]
        # The file's only word for the sky (+Inf) and for the unknown (NaN) is 0, no depth. -Inf is neither.
        known = np.where(np.isnan(metres) | np.isposinf(metres), np.float32(0), metres)
        found = {"depth": MapFile(to_stored(known), DEPTH_TEXT)}
        if DEPTH_ERROR in outputs:
            # Where there is no distance, there is none to be wrong.
            found[DEPTH_ERROR] = MapFile(error_code(np.where(known > 0, outputs[DEPTH_ERROR], np.nan)), ERROR_TEXT)
        return found


@lru_cache(maxsize=4)
def _turbo() -> RGB:
    """Colours `[256,1,3]`, as OpenCV takes them."""
    # Reversed, near is red and far is blue; without the map's dark ends, which look like invalid (black).
    ramp = np.rint(np.linspace(245, 20, 256)).astype(np.uint8)[None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[0, :, None, ::-1])


def color_depth(depth_m: NDArray[np.floating[Any]], min_m: float, max_m: float) -> RGB:
    """Draw metres `[H,W]` in turbo colours on a logarithmic scale: near red, far blue, invalid (0, NaN) black."""
    # OpenCV's look-up and its scaling to bytes, in place: every frame of a film comes through here.
    known = depth_m > 0  # NaN is not
    every = bool(known.all())
    shares = np.clip(depth_m if every else np.where(known, depth_m, min_m), min_m, max_m).astype(np.float32, order="C")
    shares /= np.float32(min_m)
    cv2.log(shares, shares)
    index = cv2.convertScaleAbs(shares, alpha=float(np.float32(255 / np.log(max_m / min_m))))
    colors = cv2.applyColorMap(index, _turbo())
    return np.asarray(colors if every else cv2.copyTo(colors, known.view(np.uint8)), dtype=np.uint8)


def depth_legend(height: int, min_m: float, max_m: float, width: int = 44) -> RGB:
    """A vertical bar of the depth colours with ticks in metres, near at the bottom as on a road."""
    legend = dark(height, width)
    depths = np.geomspace(max_m, min_m, height)
    legend[:, :10] = color_depth(depths[:, None], min_m, max_m)
    for tick in [tick for tick in _LEGEND_TICKS_M if min_m <= tick <= max_m]:
        row = round((height - 1) * np.log(max_m / tick) / np.log(max_m / min_m))
        legend[row, 10:14] = 255
        put_text(legend, f"{tick} m", (15, int(np.clip(row + 4, 9, height - 3))), 0.32)
    return legend


def depth_footer(range_m: tuple[float, float], width: int) -> RGB:
    """A strip `[h, width, 3]` with the colours of the depth panel and their depth in metres."""
    strip, unit = footer_strip(2, width), "m"
    left, right = 3 * MARGIN, width - 5 * MARGIN - footer_text_width(unit)
    logs = np.linspace(math.log(range_m[0]), math.log(range_m[1]), right - left)
    strip[MARGIN : MARGIN + ROW - 4, left:right] = color_depth(np.exp(logs, dtype=np.float32)[None], *range_m)
    end = -MARGIN
    for metres in _FOOTER_TICKS_M:
        share = math.log(metres / range_m[0]) / math.log(range_m[1] / range_m[0])
        label = f"{metres:g}"
        x = left + round(share * (right - left))
        start = x - footer_text_width(label) // 2
        if 0 <= share <= 1 and start > end + MARGIN:
            footer_tick(strip, min(x, right - 1), MARGIN + ROW - 4, MARGIN + ROW)
            footer_text(strip, label, start, MARGIN + 2 * ROW - 4)
            end = start + footer_text_width(label)
    footer_text(strip, unit, right + 3 * MARGIN, MARGIN + 2 * ROW - 4)
    return strip


def _thicken(depth_m: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Sparse lidar points drawn 3 px wide, the nearer one on top; for the eye only."""
    far = np.where(depth_m > 0, depth_m, np.float32(1e6)).astype(np.float32)
    near = cv2.erode(far, np.ones((3, 3), np.uint8))
    return np.where(near < 1e6, near, np.float32(0))


ARRAYS = DepthArrays()
