"""Two cameras as they were calibrated: pinholes, lens distortion, how the right one stands to the left one."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from preprocessing.ground import Camera, InputError
from preprocessing.sets.calibration.document import Matrix

Distortion = Literal["radtan", "equidistant"]
Rows = tuple[tuple[float, ...], ...]
"""A matrix as values that can be compared."""
_LENGTHS = {"radtan": (0, 4, 5, 8, 12, 14), "equidistant": (0, 4)}
_NOTHING = 1e-9
# A turn of so many radians moves no row of a picture of 10,000 px by a hundredth of a pixel.
_TURN = 1e-6


def rows_of(matrix: Matrix) -> Rows:
    """A matrix as tuples."""
    return tuple(tuple(float(value) for value in row) for row in np.atleast_2d(matrix))


@dataclass(frozen=True)
class CameraModel:
    """One camera: a pinhole and its lens.

    Attributes:
        fx_px, fy_px, cx_px, cy_px: Of the raw picture; pixel centres are whole numbers.
        distortion: OpenCV's coefficients, in its order: k1 k2 p1 p2 [k3 [k4 k5 k6 [s1..s4 [tx ty]]]] of radtan, k1..k4
            of equidistant (`cv2.fisheye`).
        model: Whose formula they are of.
        size: (width, height) [px] that it is for; None where the file does not say.
    """

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...] = ()
    model: Distortion = "radtan"
    size: tuple[int, int] | None = None

    @property
    def matrix(self) -> Matrix:
        """The camera matrix, float64 [3, 3]."""
        return np.array([[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1]], np.float64)

    @property
    def coefficients(self) -> Matrix:
        """The distortion as OpenCV takes it, float64 [N], N >= 4."""
        return np.array(self.distortion or (0.0,) * 4, np.float64)

    @property
    def distorts(self) -> bool:
        """Whether straight lines are bent."""
        # Equidistant with coefficients of 0 is a fisheye all the same: r = f theta.
        return self.model == "equidistant" or any(abs(value) > _NOTHING for value in self.distortion)

    def scaled(self, size: tuple[int, int]) -> "CameraModel":
        """Of the same picture at another size."""
        if self.size is None or self.size == size:
            return replace(self, size=size)
        sx, sy = size[0] / self.size[0], size[1] / self.size[1]
        cx, cy = (self.cx_px + 0.5) * sx - 0.5, (self.cy_px + 0.5) * sy - 0.5
        return replace(self, fx_px=self.fx_px * sx, fy_px=self.fy_px * sy, cx_px=cx, cy_px=cy, size=size)


def camera_model(
    path: Path,
    key: str,
    matrix: Matrix,
    distortion: Matrix,
    model: Distortion = "radtan",
    size: tuple[int, int] | None = None,
) -> CameraModel:
    """Build a camera of its matrix [3, 3 or 4] and coefficients. Raises: InputError naming file and key."""
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    if not (fx > 0 and fy > 0):
        raise InputError(f"{path}: {key} has the focal lengths {fx:g} and {fy:g}; they must be positive")
    values = tuple(float(value) for value in distortion)
    if len(values) not in _LENGTHS[model]:
        # A trailing row of zeros is padding, as DepthAI writes it.
        kept = next((n for n in _LENGTHS[model] if not any(values[n:])), None)
        if kept is None:
            raise InputError(
                f"{path}: {key} has {len(values)} distortion coefficients; {model} has "
                f"{', '.join(map(str, _LENGTHS[model]))}"
            )
        values = (values + (0.0,) * 14)[: max(kept, 4)]
    return CameraModel(fx, fy, float(matrix[0, 2]), float(matrix[1, 2]), values, model, size)


@dataclass(frozen=True)
class Rectification:
    """What turns a raw pair into a rectified one, as `cv2.stereoRectify` gives it.

    Attributes:
        r1, r2: Rotations [3, 3] of the left and right camera.
        p1, p2: Projections [3, 4] of the rectified pictures; p2[0][3] = -fx * baseline [px m].
    """

    r1: Rows
    r2: Rows
    p1: Rows
    p2: Rows

    def scaled(self, sx: float, sy: float) -> "Rectification":
        """For pictures resized by these factors."""
        return replace(self, p1=_scaled(self.p1, sx, sy), p2=_scaled(self.p2, sx, sy))

    def camera(self) -> Camera:
        """The camera of the rectified pair."""
        fx = self.p1[0][0]
        return Camera(
            baseline_m=(self.p1[0][3] - self.p2[0][3]) / fx,
            fx_px=fx,
            fy_px=self.p1[1][1],
            u0_px=self.p1[0][2],
            v0_px=self.p1[1][2],
            doffs_px=self.p2[0][2] - self.p1[0][2],
        )


def _scaled(projection: Rows, sx: float, sy: float) -> Rows:
    (fx, s, cx, tx), (_, fy, cy, ty), last = projection
    cx, cy = (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5
    return (fx * sx, s * sx, cx, tx * sx), (0.0, fy * sy, cy, ty * sy), last


@dataclass(frozen=True)
class RawPair:
    """A pair of cameras before rectification.

    Attributes:
        left, right: Both cameras, for pictures of one size.
        rotation, translation_m: A point x of the left camera is at rotation x + translation_m of the right one.
        stated: The rectification that the file itself gives; None = to be computed.
    """

    left: CameraModel
    right: CameraModel
    rotation: Rows
    translation_m: tuple[float, float, float]
    stated: Rectification | None = None

    @property
    def is_rectified(self) -> bool:
        """No distortion, no turn, one focal length and rows that agree: pictures can be matched as they are."""
        x, y, z = self.translation_m
        turn = np.abs(np.array(self.rotation) - np.eye(3)).max()
        same = (self.left.fx_px, self.left.fy_px, self.left.cy_px) == (
            self.right.fx_px,
            self.right.fy_px,
            self.right.cy_px,
        )
        straight = max(abs(y), abs(z)) <= _TURN * abs(x)
        if self.stated is not None:
            drawn = np.abs(np.array(self.stated.p1)[:, :3] - self.left.matrix).max() < 1e-3
            turned = max(np.abs(np.array(one) - np.eye(3)).max() for one in (self.stated.r1, self.stated.r2))
            return bool(not self.left.distorts and not self.right.distorts and drawn and turned <= _TURN)
        return bool(not self.left.distorts and not self.right.distorts and turn <= _TURN and same and straight)

    @property
    def turn_deg(self) -> float:
        """By how much the right camera is turned against the left one [degrees]."""
        trace = float(np.trace(np.array(self.rotation)))
        return math.degrees(math.acos(max(-1.0, min(1.0, (trace - 1) / 2))))

    def camera(self) -> Camera:
        """The camera of pictures that are rectified as they are (`is_rectified`)."""
        left = self.left
        return Camera(
            -self.translation_m[0],
            left.fx_px,
            left.fy_px,
            left.cx_px,
            left.cy_px,
            doffs_px=self.right.cx_px - left.cx_px,
        )

    def scaled(self, size: tuple[int, int]) -> "RawPair":
        """For pictures of another size."""
        own = self.left.size
        stated = self.stated
        if stated is not None and own is not None and own != size:
            stated = stated.scaled(size[0] / own[0], size[1] / own[1])
        return replace(self, left=self.left.scaled(size), right=self.right.scaled(size), stated=stated)

    def describe(self) -> str:
        """What makes it a raw pair, in half a line."""
        parts = [f"{self.left.model} distortion"] if self.left.distorts or self.right.distorts else []
        parts += [f"cameras turned by {self.turn_deg:.3f} degrees"] if self.turn_deg > 1e-4 else []
        return " and ".join(parts) or "different cameras"
