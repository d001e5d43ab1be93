"""Calibration files of rigs: `calibration.json`, KITTI's text files, Middlebury's calib.txt."""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preprocessing.ground import Camera, InputError, MapCodec, codec_of

EXAMPLE = '{"baseline_m": 0.12, "fx_px": 700.0}'
MAX_BASELINE_M = 10.0
"""A longer baseline is taken for millimetres."""
# A rectified view of more than 157 degrees: the focal length is not in pixels, or of another size.
_LEAST_FOCAL_PER_WIDTH = 0.1
_ASPECT_TOLERANCE = 0.01

_REQUIRED = ("baseline_m", "fx_px")
_OPTIONAL = ("fy_px", "cx_px", "cy_px", "doffs_px", "width_px", "height_px")
_POSITIVE = ("baseline_m", "fx_px", "fy_px", "width_px", "height_px")


@dataclass(frozen=True)
class Calibration:
    """What a calibration file says.

    Attributes:
        path: The file.
        camera: At `size`, or at the images' own size where that is None.
        size: (width, height) [px] that the camera is for.
        codec: How the set's own disparity is stored; None where the file does not say.
        depth_codec: How a sensor's own depth/ is stored; None where the file does not say.
    """

    path: Path
    camera: Camera
    size: tuple[int, int] | None = None
    codec: MapCodec | None = None
    depth_codec: MapCodec | None = None

    def at(self, size: tuple[int, int]) -> Camera:
        """Return the camera for images of this (width, height).

        Raises: InputError where their aspect is not that of `self.size`, or the view would be impossibly wide.
        """
        camera, (width, height) = self.camera, size
        if self.size is not None and self.size != size:
            sx, sy = width / self.size[0], height / self.size[1]
            if abs(sx / sy - 1) > _ASPECT_TOLERANCE:
                raise InputError(
                    f"{self.path}: is for {self.size[0]}x{self.size[1]} images, but the image is {width}x{height}: of "
                    "another shape, so cropped; give the calibration of the images as they are"
                )
            camera = camera.scaled(sx, sy)
        if camera.fx_px < _LEAST_FOCAL_PER_WIDTH * width:
            raise InputError(
                f"{self.path}: fx_px is {camera.fx_px:g} for {width} px wide images; it is in pixels, not millimetres, "
                "at the size width_px x height_px"
            )
        return camera


def read_calibration(
    path: Path, cameras: tuple[int, int] | None = None, baseline_m: float | None = None
) -> Calibration:
    """Read a calibration file by its kind: JSON by its ending, KITTI's or Middlebury's text by its content.

    Args:
        path: The file.
        cameras: KITTI's numbers of the left and the right camera; None = 2 and 3 where they are, else 0 and 1.
        baseline_m: Of a JSON file that tells none, for who asks for the lens alone [m].

    Raises:
        InputError: Unreadable or garbled, an unknown or missing key, or a value that no camera has; names file and key.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows put a byte-order mark before JSON
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable calibration ({error})") from None
    if path.suffix.lower() == ".json":
        return _from_json(path, text, baseline_m)
    if re.search(r"^cam0\s*=", text, re.MULTILINE):
        return _from_middlebury(path, text)
    return _from_kitti(path, text, cameras)


def _from_json(path: Path, text: str, baseline_m: float | None) -> Calibration:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({' '.join(str(error).split())}); expected such as {EXAMPLE}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object such as {EXAMPLE}")
    known = (*_REQUIRED, *_OPTIONAL, "disparity_codec", "depth_codec")
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    if baseline_m is not None:
        content.setdefault("baseline_m", baseline_m)
    codecs: dict[str, MapCodec | None] = {"disparity": None, "depth": None}
    for kind in codecs:
        if f"{kind}_codec" in content:
            try:
                codecs[kind] = codec_of(content.pop(f"{kind}_codec"), "disparity" if kind == "disparity" else "depth")
            except InputError as error:
                joint = " " if str(error).startswith("is ") else ": "
                raise InputError(f"{path}: {kind}_codec{joint}{error}") from None
    return replace(_checked(path, content), codec=codecs["disparity"], depth_codec=codecs["depth"])


def _checked(path: Path, values: dict[str, Any]) -> Calibration:
    """Build a calibration from the keys of calibration.json; every reader comes through here."""
    for key in _REQUIRED:
        if key not in values:
            raise InputError(f"{path}: key {key!r} is missing; expected such as {EXAMPLE}")
    numbers = {key: _number(path, key, value) for key, value in values.items()}
    if numbers["baseline_m"] > MAX_BASELINE_M:
        raise InputError(
            f"{path}: baseline_m is {numbers['baseline_m']:g} m, more than {MAX_BASELINE_M:g}; is it in millimetres?"
        )
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


def _from_kitti(path: Path, text: str, cameras: tuple[int, int] | None) -> Calibration:
    """Read `P0: ...` (odometry, stereo 2012) or `P_rect_00: ...` (raw, stereo 2015): 3x4, P[0,3] = fx * t_x [px m]."""
    lines = dict(re.findall(r"^\s*(\w+):[ \t]*(.*)$", text, re.MULTILINE))
    for left, right in [cameras] if cameras else [(2, 3), (0, 1)]:
        for pattern in ("P{}", "P_rect_{:02d}"):
            names = pattern.format(left), pattern.format(right)
            if set(names) <= set(lines):
                first, second = (_floats(path, name, lines[name], 12) for name in names)
                size = _floats(path, key, lines[key], 2) if (key := f"S_rect_{left:02d}") in lines else None
                return _from_projections(path, names, first, second, size)
    wanted = f"P{cameras[0]} and P{cameras[1]}" if cameras else "P2 and P3, or P0 and P1,"
    raise InputError(
        f"{path}: no {wanted} in it (KITTI; P_rect_.. in calib_cam_to_cam.txt), nor cam0= (Middlebury); "
        f"or write calibration.json such as {EXAMPLE}"
    )


def _from_projections(
    path: Path, names: tuple[str, str], left: list[float], right: list[float], size: list[float] | None
) -> Calibration:
    fx = left[0]
    if not fx > 0:
        raise InputError(f"{path}: {names[0]} has the focal length {fx:g}; it must be positive")
    baseline = (left[3] - right[3]) / fx
    if not baseline > 0:
        raise InputError(
            f"{path}: {names[0]} and {names[1]} give the baseline {baseline:g} m; it must be positive: are left and "
            "right swapped?"
        )
    values = {"baseline_m": baseline, "fx_px": fx, "fy_px": left[5], "cx_px": left[2], "cy_px": left[6]}
    values["doffs_px"] = right[2] - left[2]
    if size is not None:
        values |= {"width_px": size[0], "height_px": size[1]}
    return _checked(path, values)


def _from_middlebury(path: Path, text: str) -> Calibration:
    """Read `cam0=[f 0 cx; 0 f cy; 0 0 1]`, `doffs=` [px], `baseline=` [mm], `width=`, `height=` [px]."""
    lines = {key: value.strip() for key, value in re.findall(r"^\s*(\w+)\s*=(.*)$", text, re.MULTILINE)}
    matrix = _floats(path, "cam0", re.sub(r"[\[\];]", " ", lines["cam0"]), 9)
    if "baseline" not in lines:
        raise InputError(f"{path}: baseline= [mm] is missing")
    values = {"fx_px": matrix[0], "fy_px": matrix[4], "cx_px": matrix[2], "cy_px": matrix[5]}
    values["baseline_m"] = _floats(path, "baseline", lines["baseline"], 1)[0] / 1000
    for key, name in (("doffs", "doffs_px"), ("width", "width_px"), ("height", "height_px")):
        if key in lines:
            values[name] = _floats(path, key, lines[key], 1)[0]
    return _checked(path, values)


def _floats(path: Path, name: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise InputError(f"{path}: {name} is {text.strip()[:80]!r}; expected {count} number{'s' * (count > 1)}")
    return numbers
