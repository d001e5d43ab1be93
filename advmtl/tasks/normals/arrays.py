"""Surface normals without torch: made of metric depth and the camera, in pictures, in a deployed model's output.

A normal is a unit vector in the camera's axes, x to the right, y down, z along the optical axis away from the camera.
It points towards the camera: n · P < 0 for the surface's point P.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.arrays import RGB, Array, DataSource, MapFile, Output, Size, TaskArrays, Window, warp_nearest
from advmtl.tasks.contents import Contents
from advmtl.tasks.depth.arrays import ARRAYS as DEPTH
from advmtl.tasks.depth.files import read_metres
from advmtl.tasks.pictures import CAPTION_HEIGHT, MARGIN, ROW, dark, footer_strip, footer_text, panel
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import DEPTH_SCALE, DISPARITY_SCALE, resize_nearest

NORMALS = "normals"
WINDOW_PX = 5
"""Side of the window of the network's pixels that a plane is fitted in."""
LEAST_PIXELS = 13
"""Of the window's 25 that have a depth; 15 do at the picture's border."""
GREATEST_RESIDUAL = 0.01
"""Standard deviation of 1/Z about the plane, as a share of 1/Z; what steps more, an edge of depth, is no plane."""
GREATEST_ERROR_DEG = 5.0
"""Standard error of a normal, from the same deviation or, where that is more, from the step of the file's numbers."""
_LONGEST = 32767  # int16 of a component of 1
_ERROR_DEG = 45.0  # drawn as the end of the scale
_FILE_TEXT = {"normals": "red right, green up, blue towards the camera; component = (value - 128) / 127, 0 0 0 = none"}


class NormalsArrays(TaskArrays):
    """Stored: int16 `[3,H,W]`, components times 32767, 0 0 0 = none; the target: float32 `[3,H,W]` of length 1 or 0."""

    dtype = "int16"
    channels = 3
    outputs = (
        Output(NORMALS, "float32 [1,3,H,W], unit vectors: x right, y down, z forward", "angle", 0.1, of_lens=True),
    )
    derived: tuple[str, ...] = ()

    def has(self, record: FrameRecord) -> bool:
        """Whether there are metres, and a camera file that turns pixels into directions."""
        return DEPTH.has(record) and record.frame is not None and record.frame.camera is not None

    def check(self, record: FrameRecord, shape: tuple[int, int]) -> None:
        DEPTH.check(record, shape)
        if record.frame is not None:
            record.layout.read_camera(record.frame, (shape[1], shape[0]))

    def contents(self, record: FrameRecord, shape: tuple[int, int], spec: TaskSpec) -> Contents:
        """Pixels of the depth that they are made of. Where these lie far apart, as a lidar's, they may give no plane:
        then those with a normal, at the network's width.
        """
        depth = DEPTH.contents(record, shape, spec)
        valid, pixels = depth.learnt, depth.pixels
        if 0 < valid < pixels * LEAST_PIXELS / WINDOW_PX**2:
            size = (spec.width_px, max(1, round(spec.width_px * shape[0] / shape[1])))
            stored = self.read(record, shape, size, spec)
            valid, pixels = int(np.count_nonzero(stored.any(axis=0))), size[0] * size[1]
        elif record.frame is not None:
            record.layout.read_camera(record.frame, (shape[1], shape[0]))
        return Contents(pixels, valid, valid)

    def read(self, record: FrameRecord, shape: tuple[int, int], size: Size, spec: TaskSpec) -> NDArray[np.int16]:
        """Of the depth at network size, each pixel with the direction of the one it was picked from."""
        assert record.frame is not None
        camera = record.layout.read_camera(record.frame, (shape[1], shape[0]))
        columns, rows = np.arange(shape[1], dtype=np.float64), np.arange(shape[0], dtype=np.float64)
        x = (resize_nearest(columns[None], (size[0], 1))[0] - camera.u0_px) / camera.fx_px
        y = (resize_nearest(rows[:, None], (1, size[1]))[:, 0] - camera.v0_px) / camera.fy_px
        depth = resize_nearest(read_metres(record, shape), size).astype(np.float64)
        if record.depth is not None:
            step = (1 / DEPTH_SCALE) / np.maximum(depth, 1 / DEPTH_SCALE) ** 2
        else:
            step = np.full_like(depth, 1 / (DISPARITY_SCALE * camera.baseline_m * camera.fx_px))
        return to_stored_normals(normals_of(depth, x, y, step))

    def blank(self, size: Size) -> NDArray[np.int16]:
        return np.zeros((3, size[1], size[0]), dtype=np.int16)

    def warp(self, stored: Array, window: Window) -> Array:
        """Turned and mirrored with the picture. A rotation of the picture rolls the camera about its optical axis,
        wherever its centre, for square pixels.
        """
        x, y, z = (warp_nearest(one, window, 0).astype(np.float64) for one in stored)
        # From output directions to source directions, so its transpose leads back.
        turn = window.matrix[:, :2] * window.zoom
        turned = np.stack([turn[0, 0] * x + turn[1, 0] * y, turn[0, 1] * x + turn[1, 1] * y, z])
        return to_stored_normals(_unit(turned))

    def behind_lens(self, stored: Array, zoom: float, spec: TaskSpec) -> Array:
        """Under a zoom by z depth is divided by z while x and y stay as they are.

        The zoomed picture is taken for one of the canonical lens, in which the point (X, Y, Z) lies at (X, Y, Z/z): its
        pixel z times as far from the centre, X/(Z/z) = z X/Z. Points go by A = diag(1, 1, 1/z), so normals by
        A⁻ᵀ = diag(1, 1, z): n' ∝ (nx, ny, z nz).
        """
        turned = stored.astype(np.float64)
        turned[2] *= zoom
        return to_stored_normals(_unit(turned))

    def target(self, stored: Array, spec: TaskSpec, *, training: bool) -> Array:
        return _unit(stored.astype(np.float64)).astype(np.float32)

    def is_labelled(self, target: Array, spec: TaskSpec, *, training: bool) -> bool:
        return bool(target.any())

    def missing(self, sources: Sequence[DataSource]) -> str:
        if not any(source.stereo for source in sources):
            names = " and ".join(source.text for source in sources)
            return f"{names} has no cameras, without which depth gives no normals; take the task out, or another source"
        return (
            "normals need depth and the frame's camera file (camera/NAME_camera.json, calibration.json); without the "
            f"first: {DEPTH.missing(sources)}"
        )

    def derive(self, outputs: Mapping[str, Array], spec: TaskSpec) -> dict[str, Array]:
        return {}

    def resized(self, output: str, values: Array, size: Size) -> Array:
        return np.stack([resize_nearest(one, size) for one in values])

    def picture(self, truth: Array, spec: TaskSpec) -> RGB:
        return color_normals(truth)

    def draw(self, image: RGB, truth: Array | None, outputs: Mapping[str, Array], spec: TaskSpec) -> list[RGB]:
        true = None if truth is None else self.picture(truth, spec)
        predicted = color_normals(outputs[NORMALS]), "surface normals, prediction"
        legend = normals_legend(len(image) + CAPTION_HEIGHT)
        return [panel(image, (true, "surface normals, truth"), predicted, legend, "normals")]

    def paint(self, image: RGB, outputs: Mapping[str, Array], spec: TaskSpec) -> RGB:
        return color_normals(outputs[NORMALS])

    def errors(self, image: RGB, truth: Array, outputs: Mapping[str, Array], spec: TaskSpec) -> list[tuple[str, RGB]]:
        from preprocessing.job import colour_values  # a run over a set is nothing that a board needs

        valid = (truth != 0).any(axis=0)
        cosine = np.clip((truth * outputs[NORMALS]).sum(axis=0), -1, 1)
        angle = np.where(valid, np.degrees(np.arccos(cosine)), 0).astype(np.float32)
        return [
            ("image", image),
            ("truth: red right, green up, blue towards the camera", color_normals(truth)),
            ("prediction", color_normals(outputs[NORMALS])),
            (f"angle between them, 0° blue to {_ERROR_DEG:g}° red", colour_values(angle, valid, 0, _ERROR_DEG)),
        ]

    def footer(self, spec: TaskSpec, width: int) -> RGB:
        strip, ball = footer_strip(2, width), sphere(2 * ROW)
        strip[MARGIN : MARGIN + 2 * ROW, MARGIN : MARGIN + 2 * ROW] = ball
        for number, line in enumerate(("surface normals: red faces right,", "green up, blue the camera"), start=1):
            footer_text(strip, line, 2 * (MARGIN + ROW), MARGIN + number * ROW - 5)
        return strip

    def files(self, outputs: Mapping[str, Array]) -> dict[str, MapFile]:
        return {NORMALS: MapFile(color_normals(outputs[NORMALS]), _FILE_TEXT)}


def normals_of(
    depth_m: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unit normals `[3,H,W]` of the planes that fit the depth around each pixel best, 0 0 0 where there is none.

    A plane n · P = d has 1/Z = (nx x + ny y + nz) / d at P = Z (x, y, 1): inverse depth is linear in the picture, so
    that least squares over a window need no neighbour's distance, however slanted the plane is, and a disparity's error
    is alike everywhere. No normal where the pixel itself or all but `LEAST_PIXELS` of its window have no finite depth,
    across edges of depth (`GREATEST_RESIDUAL`), and where depth tells none (`GREATEST_ERROR_DEG`): far away, where the
    numbers of a file are so far apart that it is their rounding that slants the plane.

    Args:
        depth_m: `[H,W]` metres, 0 = invalid, infinite = far.
        x, y: `[W]`, `[H]`: (u − u0)/fx and (v − v0)/fy of columns and rows.
        step: `[H,W]`: how far apart two neighbouring values of 1/Z in the file are [1/m].
    """
    valid = (depth_m > 0) & np.isfinite(depth_m)
    near = np.where(valid, 1 / np.where(valid, depth_m, 1), 0)
    ones = valid.astype(np.float64)
    xs, ys = ones * x, ones * y[:, None]
    count, mx, my, mr = (_sum(one) for one in (ones, xs, ys, near))
    count = np.maximum(count, 1)
    mx, my, mr = mx / count, my / count, mr / count
    xx, xy, yy = _sum(xs * x) - count * mx**2, _sum(xs * ys) - count * mx * my, _sum(ys * ys) - count * my**2
    xr, yr, rr = _sum(near * x) - count * mx * mr, _sum(near * ys) - count * my * mr, _sum(near**2) - count * mr**2
    determinant = xx * yy - xy**2
    fits = valid & (count >= LEAST_PIXELS) & (determinant > 1e-3 * xx * yy)
    safe = np.where(fits, determinant, 1)
    a, b = (yy * xr - xy * yr) / safe, (xx * yr - xy * xr) / safe
    plane = np.stack([a, b, mr - a * mx - b * my])
    variance = np.maximum(rr - a * xr - b * yr, 0) / np.maximum(count - 3, 1)
    x2, y2 = (1 + mx**2), (1 + my**2)  # what an error of a and b is for the vector (a, b, 1/Z − a x − b y)
    spread = (yy * x2 + xx * y2 - 2 * xy * mx * my) / safe
    length = np.maximum(np.linalg.norm(plane, axis=0), 1e-12)
    error = np.sqrt(np.maximum(variance, step**2 / 12) * np.maximum(spread, 0)) / length
    fits &= (np.sqrt(variance) <= GREATEST_RESIDUAL * mr) & (error <= np.radians(GREATEST_ERROR_DEG))
    return np.where(fits, -plane / length, 0)


def _sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the window around each pixel; nothing outside of the picture."""
    side = (WINDOW_PX, WINDOW_PX)
    return cv2.boxFilter(values, cv2.CV_64F, side, normalize=False, borderType=cv2.BORDER_CONSTANT)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """At length 1, zero vectors as they are."""
    lengths = np.linalg.norm(vectors, axis=0)
    return vectors / np.where(lengths > 0, lengths, 1)


def to_stored_normals(normals: NDArray[np.float64]) -> NDArray[np.int16]:
    """Unit vectors `[3,H,W]` as they are stored, to less than 0.002°."""
    return np.rint(normals * _LONGEST).astype(np.int16)


def color_normals(normals: Array) -> RGB:
    """Draw unit vectors `[3,H,W]` as normal maps usually are: red (1 + nx)/2, green (1 − ny)/2, blue (1 − nz)/2.

    So a wall that faces the camera is light blue, a road light green; what has no normal, and NaN, is black.
    """
    known = np.isfinite(normals).all(axis=0) & (normals != 0).any(axis=0)
    shown = np.where(known, normals, 0).transpose(1, 2, 0) * np.array([1, -1, -1])
    return np.where(known[..., None], np.rint(128 + 127 * shown), 0).astype(np.uint8)


@lru_cache(maxsize=4)
def sphere(side: int) -> RGB:
    """A ball `[side,side,3]` in the colours of its normals, on the dark ground of legends."""
    x, y = np.meshgrid(*2 * [(2 * np.arange(side) + 1) / side - 1])
    inside = x**2 + y**2 < 1
    normals = np.stack([x, y, -np.sqrt(np.maximum(1 - x**2 - y**2, 0))]) * inside
    return np.where(inside[..., None], color_normals(normals), dark(side, side))


def normals_legend(height: int, width: int = 44) -> RGB:
    """A column of a legend: the ball at its top."""
    legend, side = dark(height, width), width - 4
    legend[2 : 2 + side, 2 : 2 + side] = sphere(side)[: height - 2]
    return legend


ARRAYS = NormalsArrays()
