"""ROS's camera_info YAML, as `camera_calibration` saves it: a file for each camera, left.yaml and right.yaml."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_pairs, of_rectification
from preprocessing.sets.calibration.cameras import (
    CameraModel,
    Distortion,
    RawPair,
    Rectification,
    camera_model,
    rows_of,
)
from preprocessing.sets.calibration.document import Document, Matrix, matrix, numbers, read_document, size_of
from preprocessing.sets.calibration.format import Asked

MODELS: dict[str, Distortion] = {
    "plumb_bob": "radtan",
    "rational_polynomial": "radtan",
    "thin_prism": "radtan",
    "none": "radtan",
    "": "radtan",
    "equidistant": "equidistant",
    "fisheye": "equidistant",
}
"""`distortion_model` of a CameraInfo -> whose formula it is."""
_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"), ("cam0", "cam1"), ("infra1", "infra2"), ("_l", "_r"))


def is_ros(document: Document) -> bool:
    """Whether it has the keys of a camera_info."""
    return {"camera_matrix", "projection_matrix"} <= set(document.keys) and "image_width" in document.keys


def partner_of(path: Path) -> Path | None:
    """The file of the right camera beside that of the left one, by its name; None where there is none."""
    for left, right in _SIDES:
        for found in re.finditer(re.escape(left), path.name):
            other = path.with_name(path.name[: found.start()] + right + path.name[found.end() :])
            if other.is_file():
                return other
    return None


def camera_info(path: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The four matrices of a CameraInfo: {"k", "d", "r", "p", "model", "size"}. Raises: InputError."""
    name = str(keys.get("distortion_model") or "").strip().lower()
    if name not in MODELS:
        raise InputError(f"{path}: distortion_model is {name!r}; known: {', '.join(filter(None, MODELS))}")
    turn = keys.get("rectification_matrix")
    return {
        "k": matrix(path, "camera_matrix", keys.get("camera_matrix"), 3, 3),
        "d": numbers(path, "distortion_coefficients", keys.get("distortion_coefficients", [])),
        "r": np.eye(3) if turn is None else matrix(path, "rectification_matrix", turn, 3, 3),
        "p": matrix(path, "projection_matrix", keys.get("projection_matrix"), 3, 4),
        "model": MODELS[name],
        "size": size_of(path, "image_width, image_height", [keys.get("image_width"), keys.get("image_height")]),
    }


def pair_of_infos(path: Path, left: Mapping[str, Any], right: Mapping[str, Any]) -> Calibration:
    """Build the calibration of two CameraInfos, as `camera_info` gives them; the right P[0,3] is -fx * baseline.

    Raises: InputError naming the matrix that no stereo pair has.
    """
    names = ("P of the left camera", "P of the right camera")
    found = Rectification(rows_of(left["r"]), rows_of(right["r"]), rows_of(left["p"]), rows_of(right["p"]))
    known = of_rectification(path, names, found, left["size"])
    if not (left["k"][0, 0] > 0 and right["k"][0, 0] > 0):
        return known  # a driver that knows the rectified camera alone
    rotation = right["r"].T @ left["r"]
    translation = right["r"].T @ np.array([-known.camera.baseline_m, 0.0, 0.0])
    cameras = [camera_model(path, "K", info["k"], info["d"], info["model"], info["size"]) for info in (left, right)]
    pair = RawPair(cameras[0], cameras[1], rows_of(rotation), (translation[0], translation[1], translation[2]), found)
    return of_pairs(path, "P", (pair,))


def read_ros(document: Document, asked: Asked) -> Calibration:
    """Read left.yaml with right.yaml beside it."""
    other = partner_of(document.path)
    if other is None:
        raise InputError(
            f"{document.path}: is of one camera (ROS camera_info); the right one's lies beside it under the same name "
            "with right for left, as left.yaml and right.yaml"
        )
    right = read_document(other)
    if not is_ros(right):
        raise InputError(f"{other}: is no ROS camera_info, as {document.path.name} beside it is")
    return pair_of_infos(document.path, camera_info(document.path, document.keys), camera_info(other, right.keys))


def ros_camera(document: Document, asked: Asked) -> CameraModel:
    """The rectified camera, P; where it is empty, or the raw one is asked for, that one."""
    info = camera_info(document.path, document.keys)
    if info["p"][0, 0] > 0 and not asked.raw:
        return camera_model(document.path, "projection_matrix", info["p"], np.zeros(0), size=info["size"])
    return camera_model(document.path, "camera_matrix", info["k"], info["d"], info["model"], info["size"])


def identity(value: Matrix) -> bool:
    """Whether a rotation turns nothing."""
    return bool(np.abs(value - np.eye(3)).max() < 1e-9)
