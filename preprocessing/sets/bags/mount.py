"""--lidar-to-camera FILE: how a lidar stands to the left camera, where the bag does not say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from preprocessing.ground import InputError
from preprocessing.sets.bags.transforms import matrix_of
from preprocessing.sets.calibration.calibration import is_rotation
from preprocessing.sets.calibration.cameras import Rows, rows_of
from preprocessing.sets.calibration.document import matrix, numbers, read_document

EXAMPLE = '{"translation_m": [0, -0.08, -0.27], "quaternion_xyzw": [0.5, -0.5, 0.5, 0.5]}'
_FARTHEST_M = 20.0
_KEYS = ("matrix", "translation_m", "quaternion_xyzw", "camera")
Sight = Literal["raw", "rectified"]


@dataclass(frozen=True)
class Mount:
    """What the file says.

    Attributes:
        path: The file.
        matrix: [4, 4]: takes a point of the lidar to the left camera's optical frame [m].
        camera: Whether that is the raw or the rectified camera; None = the one of the pictures in the bag.
    """

    path: Path
    matrix: Rows
    camera: Sight | None = None


def read_mount(path: Path) -> Mount:
    """Read a file: a matrix [4, 4], alone or as `matrix`, or `translation_m` and `quaternion_xyzw`; and `camera`.

    Raises: InputError naming file and key.
    """
    document = read_document(path)
    content = {"matrix": document.tree} if isinstance(document.tree, list) else document.tree
    if not document.is_json or not isinstance(content, dict):
        raise InputError(f"{path}: is no JSON of a transform from lidar to left camera, such as {EXAMPLE}")
    for key in content:
        if key not in _KEYS:
            raise InputError(f"{path}: unknown key {key!r}; known: {', '.join(_KEYS)}")
    camera = content.get("camera")
    if camera not in (None, "raw", "rectified"):
        raise InputError(f"{path}: camera is {camera!r}; offered: raw, rectified")
    found = _matrix(path, content)
    shift = float(np.linalg.norm(found[:3, 3]))
    if shift > _FARTHEST_M:
        raise InputError(f"{path}: lidar and camera would be {shift:g} m apart; are these millimetres? Give metres")
    return Mount(path, rows_of(found), camera)


def _matrix(path: Path, content: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    if ("matrix" in content) == ("translation_m" in content or "quaternion_xyzw" in content):
        raise InputError(f"{path}: needs either matrix, or translation_m and quaternion_xyzw; such as {EXAMPLE}")
    if "matrix" not in content:
        shift = numbers(path, "translation_m", content.get("translation_m"), 3)
        turn = numbers(path, "quaternion_xyzw", content.get("quaternion_xyzw"), 4)
        return matrix_of([*shift, *turn], f"{path}: quaternion_xyzw")
    found = matrix(path, "matrix", content["matrix"], 4, 4)
    if np.abs(found[3] - (0, 0, 0, 1)).max() > 0 or not is_rotation(rows_of(found[:3, :3])):
        raise InputError(
            f"{path}: matrix is no turn with a shift: its first three rows and columns must be a rotation, its last "
            "row 0 0 0 1"
        )
    return found
