"""Kalibr's camchain.yaml: cam0, cam1, ... with intrinsics, distortion and T_cn_cnm1 [m]."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_pairs
from preprocessing.sets.calibration.cameras import CameraModel, Distortion, RawPair, camera_model, rows_of
from preprocessing.sets.calibration.document import Document, Matrix, matrix, numbers, size_of
from preprocessing.sets.calibration.format import Asked

MODELS: dict[str, Distortion] = {
    "radtan": "radtan",
    "radial-tangential": "radtan",  # EuRoC's word
    "plumb_bob": "radtan",
    "none": "radtan",
    "equidistant": "equidistant",
}


def is_kalibr(document: Document) -> bool:
    """Whether it has cam0 with intrinsics."""
    first = document.keys.get("cam0")
    return isinstance(first, Mapping) and "intrinsics" in first


def pinhole_of(path: Path, name: str, keys: Mapping[str, Any], coefficients: str) -> CameraModel:
    """One camera of Kalibr or EuRoC: intrinsics [fu fv cu cv]. Raises: InputError naming file and key."""
    kind = keys.get("camera_model", "pinhole")
    if kind != "pinhole":
        raise InputError(
            f"{path}: {name}.camera_model is {kind!r}; only pinhole is read, calibrate with pinhole-radtan"
        )
    model = str(keys.get("distortion_model", "none")).lower()
    if model not in MODELS:
        raise InputError(f"{path}: {name}.distortion_model is {model!r}; known: {', '.join(MODELS)}")
    fx, fy, cx, cy = numbers(path, f"{name}.intrinsics", keys.get("intrinsics"), 4)
    distortion = numbers(path, f"{name}.{coefficients}", keys.get(coefficients, []))
    size = size_of(path, f"{name}.resolution", keys.get("resolution"))
    pinhole = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return camera_model(path, f"{name}.intrinsics", pinhole, distortion, MODELS[model], size)


def _camera(document: Document, index: int) -> CameraModel:
    keys = document.keys.get(f"cam{index}")
    if not isinstance(keys, Mapping):
        raise InputError(f"{document.path}: no cam{index} in it; a pair needs two cameras in one chain")
    return pinhole_of(document.path, f"cam{index}", keys, "distortion_coeffs")


def _from_first(document: Document, index: int) -> Matrix:
    """From cam0 to a camera of the chain, float64 [4, 4]."""
    found = np.eye(4)
    for step in range(1, index + 1):
        keys = document.keys.get(f"cam{step}") or {}
        found = matrix(document.path, f"cam{step}.T_cn_cnm1", keys.get("T_cn_cnm1"), 4, 4) @ found
    return found


def read_kalibr(document: Document, asked: Asked) -> Calibration:
    """Read cam0 and cam1 of a chain, or the two that are asked for."""
    left, right = asked.cameras or (0, 1)
    cameras = _camera(document, left), _camera(document, right)
    between = _from_first(document, right) @ np.linalg.inv(_from_first(document, left))
    return of_pairs(document.path, "T_cn_cnm1", (pair_of(*cameras, between, asked.unit_m),), (right, left))


def pair_of(left: CameraModel, right: CameraModel, between: Matrix, unit_m: float) -> RawPair:
    """A pair by what takes a point of the left camera to the right one, float64 [4, 4]."""
    x, y, z = (float(value) * unit_m for value in between[:3, 3])
    return RawPair(left, right, rows_of(between[:3, :3]), (x, y, z))


def kalibr_camera(document: Document, asked: Asked) -> CameraModel:
    """cam0, or the one that is asked for."""
    return _camera(document, asked.cameras[0] if asked.cameras else 0)
