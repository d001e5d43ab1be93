"""Basalt's calibration JSON: value0 with T_imu_cam [m], intrinsics and resolution."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_pairs
from preprocessing.sets.calibration.cameras import CameraModel, Distortion, camera_model
from preprocessing.sets.calibration.document import Document, Matrix, number, size_of
from preprocessing.sets.calibration.format import Asked
from preprocessing.sets.calibration.kalibr import pair_of

_MODELS: dict[str, tuple[Distortion, tuple[str, ...]]] = {
    "pinhole": ("radtan", ()),
    "kb4": ("equidistant", ("k1", "k2", "k3", "k4")),
    "pinhole-radtan8": ("radtan", ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")),
}
"""camera_type -> whose formula it is, and its coefficients in OpenCV's order."""


def is_basalt(document: Document) -> bool:
    """Whether it has value0 with intrinsics."""
    inner = document.keys.get("value0")
    return isinstance(inner, Mapping) and "intrinsics" in inner


def _entry(document: Document, key: str, index: int) -> Any:
    entries = document.keys["value0"].get(key)
    if not isinstance(entries, list) or len(entries) <= index:
        raise InputError(f"{document.path}: value0.{key} has no camera {index}")
    return entries[index]


def _camera(document: Document, index: int) -> CameraModel:
    entry, path, name = _entry(document, "intrinsics", index), document.path, f"value0.intrinsics[{index}]"
    kind = entry.get("camera_type")
    if kind not in _MODELS:
        raise InputError(
            f"{path}: {name}.camera_type is {kind!r}, which OpenCV cannot undistort; calibrate with one of "
            f"{', '.join(_MODELS)}"
        )
    model, names = _MODELS[kind]
    values = entry.get("intrinsics") or {}
    fx, fy, cx, cy = (number(path, f"{name}.{key}", values.get(key)) for key in ("fx", "fy", "cx", "cy"))
    distortion = np.array([number(path, f"{name}.{key}", values.get(key)) for key in names])
    size = size_of(path, "value0.resolution", _entry(document, "resolution", index))
    return camera_model(path, name, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), distortion, model, size)


def _pose(document: Document, index: int) -> Matrix:
    """From the camera to the IMU, float64 [4, 4]: a place and a unit quaternion."""
    entry, name = _entry(document, "T_imu_cam", index), f"value0.T_imu_cam[{index}]"
    place = [number(document.path, f"{name}.{key}", entry.get(key)) for key in ("px", "py", "pz")]
    x, y, z, w = (number(document.path, f"{name}.{key}", entry.get(key)) for key in ("qx", "qy", "qz", "qw"))
    length = x * x + y * y + z * z + w * w
    if not length > 0:
        raise InputError(f"{document.path}: {name} has a quaternion of length 0")
    s = 2 / length
    found = np.eye(4)
    found[:3, :3] = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    found[:3, 3] = place
    return found


def read_basalt(document: Document, asked: Asked) -> Calibration:
    """Read cameras 0 and 1, or the two that are asked for."""
    left, right = asked.cameras or (0, 1)
    between = np.linalg.inv(_pose(document, right)) @ _pose(document, left)
    cameras = _camera(document, left), _camera(document, right)
    return of_pairs(document.path, "T_imu_cam", (pair_of(*cameras, between, asked.unit_m),), (right, left))


def basalt_camera(document: Document, asked: Asked) -> CameraModel:
    """Camera 0, or the one that is asked for."""
    return _camera(document, asked.cameras[0] if asked.cameras else 0)
