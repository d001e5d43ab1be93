"""What any calibration file comes down to: the camera of the rectified pair, and the raw pair where it holds one."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preprocessing.ground import Camera, InputError, MapCodec
from preprocessing.sets.calibration.cameras import RawPair, Rectification, Rows
from preprocessing.sets.calibration.geometry import rectify

EXAMPLE = '{"baseline_m": 0.12, "fx_px": 700.0}'
MAX_BASELINE_M = 10.0
"""A longer baseline is taken for millimetres."""
MIN_BASELINE_M = 0.001
"""A shorter one for metres that were divided once too often."""
UNITS_M: dict[str, float] = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""Unit of a length -> metres."""
# A rectified view of more than 157 degrees: the focal length is not in pixels, or of another size.
_LEAST_FOCAL_PER_WIDTH = 0.1
_ASPECT_TOLERANCE = 0.01
# Projections of a rectified pair agree by more digits than files have.
_ALIKE_PX = 0.5

REQUIRED = ("baseline_m", "fx_px")
OPTIONAL = ("fy_px", "cx_px", "cy_px", "doffs_px", "width_px", "height_px")
_POSITIVE = ("baseline_m", "fx_px", "fy_px", "width_px", "height_px")


@dataclass(frozen=True)
class Calibration:
    """What a calibration file says.

    Attributes:
        path: The file.
        camera: Of the rectified pictures, at `size`, or at the images' own size where that is None.
        size: (width, height) [px] that the camera is for.
        codec: How the set's own disparity is stored; None where the file does not say.
        depth_codec: How a sensor's own depth/ is stored; None where the file does not say.
        pairs: The cameras before rectification, one for each size of the file; () where it tells the rectified alone.
        pictures: What the pictures are, where the file says so: "raw" or "rectified"; None = to be seen.
    """

    path: Path
    camera: Camera
    size: tuple[int, int] | None = None
    codec: MapCodec | None = None
    depth_codec: MapCodec | None = None
    pairs: tuple[RawPair, ...] = ()
    pictures: Literal["raw", "rectified"] | None = None

    @property
    def is_raw(self) -> bool:
        """Whether it describes a pair that must be rectified."""
        return bool(self.pairs) and not self.pairs[0].is_rectified

    def at(self, size: tuple[int, int]) -> Camera:
        """Return the camera of rectified images of this (width, height).

        Raises: InputError where their aspect is not that of `self.size`, or the view would be impossibly wide.
        """
        camera, width = self.camera, size[0]
        if self.pairs and self.pairs[0].left.size != size:
            camera = camera_of(self.pair_at(size))
        elif self.size is not None and self.size != size:
            camera = camera.scaled(*self._factors(self.size, size))
        if camera.fx_px < _LEAST_FOCAL_PER_WIDTH * width:
            raise InputError(
                f"{self.path}: fx_px is {camera.fx_px:g} for {width} px wide images; it is in pixels, not millimetres, "
                "at the size width_px x height_px"
            )
        return camera

    def pair_at(self, size: tuple[int, int]) -> RawPair:
        """Return the raw cameras for images of this size. Raises: InputError where theirs have another aspect."""
        exact = [pair for pair in self.pairs if pair.left.size == size]
        alike = [pair for pair in self.pairs if pair.left.size is None or _aspect_off(pair.left.size, size) is None]
        pair = (exact or alike or list(self.pairs))[0]
        if pair.left.size is not None:
            self._factors(pair.left.size, size)
        return pair.scaled(size)

    def _factors(self, own: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
        sx, sy = size[0] / own[0], size[1] / own[1]
        if _aspect_off(own, size) is not None:
            raise InputError(
                f"{self.path}: is for {own[0]}x{own[1]} images, but the image is {size[0]}x{size[1]}: of "
                "another shape, so cropped; give the calibration of the images as they are, or images of its shape"
            )
        return sx, sy


def _aspect_off(own: tuple[int, int], size: tuple[int, int]) -> float | None:
    off = abs((size[0] / own[0]) / (size[1] / own[1]) - 1)
    return off if off > _ASPECT_TOLERANCE else None


def camera_of(pair: RawPair) -> Camera:
    """The camera that a pair has once it is rectified, as the file states it or else with alpha 0."""
    if pair.is_rectified and pair.stated is None:
        return pair.camera()
    return (pair.stated or rectify(pair)).camera()


def of_values(path: Path, values: dict[str, Any]) -> Calibration:
    """Build a calibration from the keys of calibration.json; every reader of a rectified pair comes through here."""
    for key in REQUIRED:
        if key not in values:
            raise InputError(f"{path}: key {key!r} is missing; expected such as {EXAMPLE}")
    numbers = {key: _number(path, key, value) for key, value in values.items()}
    check_baseline(path, "baseline_m", numbers["baseline_m"])
    sizes = [numbers.get(key) for key in ("width_px", "height_px")]
    if (sizes[0] is None) != (sizes[1] is None):
        raise InputError(f"{path}: width_px and height_px go together; give both or neither")
    camera = Camera(
        baseline_m=numbers["baseline_m"],
        fx_px=numbers["fx_px"],
        fy_px=numbers.get("fy_px", numbers["fx_px"]),
        u0_px=numbers.get("cx_px", 0.0),
        v0_px=numbers.get("cy_px", 0.0),
        doffs_px=numbers.get("doffs_px", 0.0),
    )
    size = None if sizes[0] is None or sizes[1] is None else (round(sizes[0]), round(sizes[1]))
    return Calibration(path, camera, size)


def of_pairs(path: Path, key: str, pairs: tuple[RawPair, ...], swapped: tuple[int, int] | None = None) -> Calibration:
    """Build a calibration from raw cameras, for one size or several. Raises: InputError naming file and key.

    `swapped`: of a file of several cameras, the numbers of these two, the right one first.
    """
    for pair in pairs:
        x, y, z = pair.translation_m
        check_baseline(path, key, math.hypot(x, y, z))
        turns = [pair.rotation] if pair.stated is None else [pair.rotation, pair.stated.r1, pair.stated.r2]
        if not all(is_rotation(turn) for turn in turns):
            raise InputError(f"{path}: a rotation beside {key} is none: its rows are no unit vectors at right angles")
        if pair.left.model != pair.right.model:
            raise InputError(f"{path}: one camera is {pair.left.model}, the other {pair.right.model}; both must be one")
        if pair.left.size != pair.right.size:
            raise InputError(
                f"{path}: left is for {pair.left.size}, right for {pair.right.size}; both must have one size"
            )
        if abs(y) > abs(x):
            raise InputError(f"{path}: {key} puts one camera above the other; only side by side is matched")
        if x > 0:
            remedy = "swap the two folders, or the two cameras in it"
            if swapped is not None:
                keys = f'{{"from": "{path.name}", "cameras": {list(swapped)}}}'
                remedy = f"swap the two folders, or write {keys} into a calibration.json beside it"
            raise InputError(f"{path}: {key} puts the right camera left of the left one: {remedy}")
        if pair.stated is not None:
            check_projections(path, ("its left", "its right projection"), pair.stated)
    camera = camera_of(pairs[0])
    if not (camera.baseline_m > 0 and camera.fx_px > 0):
        raise InputError(f"{path}: these cameras cannot be rectified: their common view has no focal length")
    return Calibration(path, camera, pairs[0].left.size, pairs=pairs)


def of_rectification(
    path: Path, names: tuple[str, str], found: Rectification, size: tuple[int, int] | None
) -> Calibration:
    """Build a calibration from two projections of a rectified pair. Raises: InputError naming file and matrix."""
    check_projections(path, names, found)
    camera = found.camera()
    values = {"baseline_m": camera.baseline_m, "fx_px": camera.fx_px, "fy_px": camera.fy_px, "cx_px": camera.u0_px}
    values |= {"cy_px": camera.v0_px, "doffs_px": camera.doffs_px}
    if size is not None:
        values |= {"width_px": size[0], "height_px": size[1]}
    return of_values(path, values)


def check_projections(path: Path, names: tuple[str, str], found: Rectification) -> None:
    """Raise InputError where two projections are no rectified pair, left camera first."""
    fx = found.p1[0][0]
    if not fx > 0:
        raise InputError(f"{path}: {names[0]} has the focal length {fx:g}; it must be positive")
    baseline = found.camera().baseline_m
    if not baseline > 0:
        why = "are left and right swapped?"
        if baseline == 0:
            why = (
                f"[0, 3] of {names[1]} is -fx * baseline, and 0 where the camera was calibrated alone; give a "
                "calibration of both"
            )
        raise InputError(
            f"{path}: {names[0]} and {names[1]} give the baseline {baseline:g} m; it must be positive: {why}"
        )
    check_baseline(path, "baseline_m", baseline)
    fy, cy = found.p1[1][1], found.p1[1][2]
    fx2, fy2, cy2 = found.p2[0][0], found.p2[1][1], found.p2[1][2]
    if max(abs(fx2 - fx), abs(fy2 - fy), abs(cy2 - cy)) > _ALIKE_PX:
        raise InputError(
            f"{path}: {names[0]} and {names[1]} are of no rectified pair: fx {fx:g} and {fx2:g}, cy {cy:g} and {cy2:g} "
            "must be alike; calibrate the two cameras together"
        )


def is_rotation(rows: Rows) -> bool:
    """Whether a matrix [3, 3] turns and does nothing else; to a thousandth, for numbers are rounded in files."""
    found = np.array(rows)
    return bool(np.abs(found @ found.T - np.eye(3)).max() < 1e-3 and np.linalg.det(found) > 0)


def check_baseline(path: Path, key: str, baseline_m: float) -> None:
    """Raise InputError where a baseline cannot be in metres, with the factor that would fit."""
    if baseline_m > MAX_BASELINE_M:
        raise InputError(
            f"{path}: {key} is {baseline_m:g} m, more than {MAX_BASELINE_M:g}; is it in millimetres? "
            + _remedy(path, key, baseline_m)
        )
    if baseline_m < MIN_BASELINE_M:
        raise InputError(
            f"{path}: {key} is {baseline_m:g} m, less than a millimetre; was it divided twice? times 1000 it would be "
            f"{baseline_m * 1000:g} m"
        )


def _remedy(path: Path, key: str, baseline_m: float) -> str:
    text = f"times 0.001 it is {baseline_m / 1000:g} m"
    if key == "baseline_m":  # one's own file, where the number can be changed
        return text
    return f'{text}: say so in a calibration.json beside it, {{"from": "{path.name}", "unit": "mm"}}'


def _number(path: Path, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{path}: {key} is {value!r}; it must be a number")
    # Not float(): an integer of 400 digits does not fit.
    if not (abs(value) < 1e9 and math.isfinite(value)):
        raise InputError(f"{path}: {key} is {'NaN' if value != value else 'beyond 1e9'}; it must be a plain number")
    if key in _POSITIVE and not value > 0:
        raise InputError(f"{path}: {key} is {value}; it must be positive")
    if key in ("width_px", "height_px") and value != round(value):
        raise InputError(f"{path}: {key} is {value}; it must be a whole number of pixels")
    return float(value)
