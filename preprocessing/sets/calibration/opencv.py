"""OpenCV's matrices by name, in its FileStorage (YAML, XML, JSON) or as plain YAML or JSON.

What `stereoCalibrate` gives is not always complete in one file: the sample stereo_calib writes intrinsics.yml (M1, D1,
M2, D2) and extrinsics.yml (R, T, R1, R2, P1, P2), which are read together.
"""

from collections.abc import Mapping
from functools import cache
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

NAMES: dict[str, tuple[str, ...]] = {
    "k1": ("M1", "K1", "cameraMatrix1", "camera_matrix_1", "camera_matrix_left", "mtxL", "K_left", "KL", "M_left"),
    "d1": ("D1", "distCoeffs1", "dist_coeffs_1", "dist_coeffs_left", "distL", "D_left", "DL"),
    "k2": ("M2", "K2", "cameraMatrix2", "camera_matrix_2", "camera_matrix_right", "mtxR", "K_right", "KR", "M_right"),
    "d2": ("D2", "distCoeffs2", "dist_coeffs_2", "dist_coeffs_right", "distR", "D_right", "DR"),
    "r": ("R", "rotation", "rotation_matrix", "rot"),
    "t": ("T", "translation", "translation_vector", "trans"),
    "r1": ("R1", "rectification_1"),
    "r2": ("R2", "rectification_2"),
    "p1": ("P1", "projection_1"),
    "p2": ("P2", "projection_2"),
    "size": ("size", "image_size", "imageSize", "img_size", "image_shape"),
    "k": ("camera_matrix", "cameraMatrix", "K", "mtx", "M"),
    "d": ("distortion_coefficients", "distCoeffs", "dist_coeffs", "D", "dist"),
}
"""What a matrix is -> the names under which it is saved; case counts not."""
_FISHEYE = ("fisheye", "equidistant")
_OTHERS = (("intrinsic", "extrinsic"), ("extrinsic", "intrinsic"))


def _named(keys: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """What -> (its name in the file, value)."""
    known = _by_name()
    return {known[key.lower()]: (key, value) for key, value in keys.items() if str(key).lower() in known}


@cache
def _by_name() -> dict[str, str]:
    return {name.lower(): what for what, names in NAMES.items() for name in names}


def is_opencv(document: Document) -> bool:
    """Whether it has a camera's matrix, a projection or a rotation under a name of `NAMES`."""
    named = _named(document.keys)
    return any(_is_matrix(document.path, *named[what]) for what in ("k1", "p1", "k", "r") if what in named)


def _is_matrix(path: Path, key: str, value: Any) -> bool:
    """Other files have a number of the name k1, or r."""
    try:
        return len(numbers(path, key, value, 9, 12)) > 0
    except InputError:
        return False


def companion(path: Path) -> Path | None:
    """extrinsics.yml beside intrinsics.yml, and the other way; None where there is none."""
    for one, other in _OTHERS:
        if one in path.name and path.with_name(path.name.replace(one, other)).is_file():
            return path.with_name(path.name.replace(one, other))
    return None


class _Content:
    """The matrices of a file and its companion; the errors name the file."""

    def __init__(self, document: Document) -> None:
        self.path, self.keys = document.path, dict(document.keys)
        beside = companion(document.path)
        if beside is not None:
            self.keys = {**read_document(beside).keys, **self.keys}
        self.named = _named(self.keys)

    def has(self, *whats: str) -> bool:
        return all(what in self.named for what in whats)

    def matrix(self, what: str, rows: int, columns: int) -> Matrix:
        key, value = self._entry(what)
        return matrix(self.path, key, value, rows, columns)

    def numbers(self, what: str, *counts: int) -> Matrix:
        key, value = self._entry(what)
        return numbers(self.path, key, value, *counts)

    def _entry(self, what: str) -> tuple[str, Any]:
        if what not in self.named:
            raise InputError(f"{self.path}: no {' or '.join(NAMES[what][:3])} in it, which rectification needs")
        return self.named[what]

    @property
    def size(self) -> tuple[int, int] | None:
        if "size" in self.named:
            return size_of(self.path, *self.named["size"])
        sides = [self.keys.get(name) for name in ("image_width", "image_height")]
        return None if None in sides else size_of(self.path, "image_width, image_height", sides)

    def camera(self, k: str, d: str) -> CameraModel:
        distortion = self.numbers(d) if self.has(d) else np.zeros(0)
        found = self.matrix(k, 3, 3)
        return camera_model(self.path, self.named[k][0], found, distortion, self._model(), self.size)

    def _model(self) -> Distortion:
        said = str(self.keys.get("distortion_model", self.keys.get("model", ""))).lower()
        fisheye = said in _FISHEYE or bool(self.keys.get("fisheye") or self.keys.get("fisheye_model"))
        return "equidistant" if fisheye else "radtan"


def read_opencv(document: Document, asked: Asked) -> Calibration:
    """Read both cameras with R, T, and their rectification where it is given; or P1 and P2 alone."""
    content = _Content(document)
    stated = _stated(content, asked.unit_m)
    if not content.has("k1") and stated is not None:
        return of_rectification(document.path, ("P1", "P2"), stated, content.size)
    left, right = content.camera("k1", "d1"), content.camera("k2", "d2")
    x, y, z = (float(value) * asked.unit_m for value in content.numbers("t", 3))
    turn = content.numbers("r", 9, 3)
    if len(turn) == 3:
        import cv2

        turn = np.asarray(cv2.Rodrigues(turn)[0], np.float64)
    pair = RawPair(left, right, rows_of(turn.reshape(3, 3)), (x, y, z), stated if content.has("r1", "r2") else None)
    return of_pairs(document.path, content.named["t"][0], (pair,))


def _stated(content: _Content, unit_m: float) -> Rectification | None:
    if not content.has("p1", "p2"):
        return None
    p1, p2 = content.matrix("p1", 3, 4), content.matrix("p2", 3, 4)
    p1[:, 3] *= unit_m
    p2[:, 3] *= unit_m
    turns = [content.matrix(what, 3, 3) if content.has(what) else np.eye(3) for what in ("r1", "r2")]
    return Rectification(rows_of(turns[0]), rows_of(turns[1]), rows_of(p1), rows_of(p2))


def opencv_camera(document: Document, asked: Asked) -> CameraModel:
    """The left camera: rectified where the file has P1 and the raw one is not asked for, else as it was calibrated."""
    content = _Content(document)
    if content.has("p1") and not (asked.raw and (content.has("k1") or content.has("k"))):
        p1 = content.matrix("p1", 3, 4)
        return camera_model(document.path, content.named["p1"][0], p1, np.zeros(0), size=content.size)
    return content.camera("k1", "d1") if content.has("k1") else content.camera("k", "d")
