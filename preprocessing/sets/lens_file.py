"""The lens that somebody tells of pictures: a calibration file, a focal length, or a field of view."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from preprocessing.ground import Camera, InputError, Lens
from preprocessing.sets import cityscapes
from preprocessing.sets.calibration import Calibration, read_camera


@dataclass(frozen=True)
class ToldLens:
    """One of a calibration file, a focal length in pixels of the pictures, their horizontal field of view, and what the
    publisher of a set says of its camera.

    Raises: InputError where more than one is given, or none.
    """

    camera: Path | None = None
    fx_px: float | None = None
    hfov_deg: float | None = None
    published: Calibration | None = None

    def __post_init__(self) -> None:
        told = [one.name for one in fields(self) if getattr(self, one.name) is not None]
        if len(told) != 1:
            raise InputError(f"lens: give one of camera, fx_px and hfov_deg, not {' and '.join(told) or 'none'}")

    def at(self, size: tuple[int, int]) -> Lens:
        """The lens of pictures of `size`, (width, height). Raises: InputError naming what cannot be theirs."""
        if self.camera is not None:
            return read_lens(self.camera, size)
        if self.published is not None:
            return Lens.of_camera(self.published.at(size), size)
        if self.fx_px is not None:
            return Lens.of_fx(self.fx_px, size)
        assert self.hfov_deg is not None
        return Lens.of_hfov(self.hfov_deg, size)


def read_lens(path: Path, size: tuple[int, int]) -> Lens:
    """The lens of pictures of `size`, (width, height), from a calibration file.

    Cityscapes' camera.json, also its intrinsic part alone ({"fx", "fy", "u0", "v0"}), and all of `calibration.FORMATS`:
    of a pair the left camera, and one camera is enough. A file that tells the rectified camera gives that one, else the
    camera as calibrated, without its distortion. One that says what size it is for is scaled to pictures of the same
    shape. Raises: InputError naming the file that is none, is for pictures of another shape, or has a lens that
    pictures of this size cannot have.
    """
    content = _json_of(path)
    intrinsic = content if content is None or "intrinsic" not in content else content["intrinsic"]
    if isinstance(intrinsic, dict) and "fx" in intrinsic:
        return _of_intrinsic(path, intrinsic, size)
    # Cityscapes' reader says what is wrong with a file of its kind.
    is_city = content is not None and "intrinsic" in content
    camera = cityscapes.read_camera(path) if is_city else _of_model(path, size)
    _check_view(path, size, fx_px=camera.fx_px, fy_px=camera.fy_px)
    return Lens.of_camera(camera, size)


def _of_model(path: Path, size: tuple[int, int]) -> Camera:
    model = read_camera(path)
    camera = Camera(1.0, model.fx_px, model.fy_px, model.cx_px, model.cy_px)
    return Calibration(path, camera, model.size).at(size)


def _of_intrinsic(path: Path, values: dict[str, object], size: tuple[int, int]) -> Lens:
    numbers = {}
    for key, default in (("fx", None), ("fy", values["fx"]), ("u0", 0.0), ("v0", 0.0)):
        value = values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise InputError(f"{path}: {key} is {value!r}; it must be a plain number")
        numbers[key] = float(value)
    _check_view(path, size, fx=numbers["fx"], fy=numbers["fy"])
    camera = Camera(1.0, numbers["fx"], numbers["fy"], numbers["u0"], numbers["v0"])
    return Lens.of_camera(camera, size)


def _check_view(path: Path, size: tuple[int, int], **focal_px: float) -> None:
    """Both against the width: a low strip of a picture is seen through the lens of the whole, and shows little height.

    Raises: InputError naming the file and the focal length that no picture of this size has.
    """
    for name, value in focal_px.items():
        try:
            Lens.of_fx(value, size)
        except InputError as error:
            raise InputError(f"{path}: {str(error).replace('fx_px', name, 1)}") from None


def _json_of(path: Path) -> dict[str, object] | None:
    if path.suffix.lower() != ".json":
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None  # who reads it next says why
    return content if isinstance(content, dict) else None
