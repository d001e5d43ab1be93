"""Luxonis' calibration JSON (DepthAI, `dai.CalibrationHandler.eepromToJson`): translations in centimetres."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_pairs
from preprocessing.sets.calibration.cameras import CameraModel, camera_model
from preprocessing.sets.calibration.document import Document, Matrix, matrix, number, numbers
from preprocessing.sets.calibration.format import Asked
from preprocessing.sets.calibration.kalibr import pair_of

_CM = 0.01
_LEFT, _RIGHT = 1, 2  # sockets CAM_B and CAM_C, where the file does not say


def is_oak(document: Document) -> bool:
    """Whether it has cameraData: a list of [socket, camera]."""
    return isinstance(document.keys.get("cameraData"), list)


def _cameras(document: Document) -> dict[int, Mapping[str, Any]]:
    found = {}
    for entry in document.keys["cameraData"]:
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], Mapping):
            found[int(number(document.path, "cameraData socket", entry[0]))] = entry[1]
    return found


def _sockets(document: Document, asked: Asked) -> tuple[int, int]:
    stated = document.keys.get("stereoRectificationData") or {}
    left, right = stated.get("leftCameraSocket"), stated.get("rightCameraSocket")
    if asked.cameras is not None:
        return asked.cameras
    if isinstance(left, int) and isinstance(right, int) and left >= 0 and right >= 0 and left != right:
        return left, right
    return _LEFT, _RIGHT


def _camera(document: Document, socket: int) -> CameraModel:
    cameras, path = _cameras(document), document.path
    if socket not in cameras:
        raise InputError(
            f"{path}: cameraData has no socket {socket}; there are: {', '.join(map(str, sorted(cameras)))}"
        )
    keys, name = cameras[socket], f"cameraData[{socket}]"
    kind = keys.get("cameraType", 0)
    if kind not in (0, 1):
        raise InputError(f"{path}: {name}.cameraType is {kind!r}; 0 (perspective) and 1 (fisheye) are read")
    pinhole = matrix(path, f"{name}.intrinsicMatrix", keys.get("intrinsicMatrix"), 3, 3)
    distortion = numbers(path, f"{name}.distortionCoeff", keys.get("distortionCoeff", []))
    width, height = (number(path, f"{name}.{side}", keys.get(side, 0)) for side in ("width", "height"))
    size = (round(width), round(height)) if width > 0 and height > 0 else None
    return camera_model(path, name, pinhole, distortion, "equidistant" if kind == 1 else "radtan", size)


def _steps(document: Document) -> dict[tuple[int, int], Matrix]:
    """(from, to) -> what takes points there, float64 [4, 4] in centimetres; each way."""
    found: dict[tuple[int, int], Matrix] = {}
    for socket, keys in _cameras(document).items():
        outer = keys.get("extrinsics") or {}
        other = outer.get("toCameraSocket", -1)
        if not isinstance(other, int) or other < 0:
            continue
        step, name = np.eye(4), f"cameraData[{socket}].extrinsics"
        step[:3, :3] = matrix(document.path, f"{name}.rotationMatrix", outer.get("rotationMatrix"), 3, 3)
        where = outer.get("translation") or {}
        if not any(where.values()):
            where = outer.get("specTranslation") or {}  # as it was designed, on a board that nobody measured
        step[:3, 3] = [number(document.path, f"{name}.translation.{axis}", where.get(axis)) for axis in "xyz"]
        found[socket, other], found[other, socket] = step, np.asarray(np.linalg.inv(step), np.float64)
    return found


def _between(document: Document, left: int, right: int) -> Matrix:
    """From one socket to another along the chain of extrinsics, float64 [4, 4] in centimetres."""
    steps, ways = _steps(document), {left: np.eye(4)}
    while right not in ways:
        reached = {to: step @ ways[at] for (at, to), step in steps.items() if at in ways and to not in ways}
        if not reached:
            raise InputError(f"{document.path}: extrinsics lead nowhere from socket {left} to socket {right}")
        ways |= reached
    return ways[right]


def read_oak(document: Document, asked: Asked) -> Calibration:
    """Read the stereo pair of a device."""
    left, right = _sockets(document, asked)
    cameras = _camera(document, left), _camera(document, right)
    return of_pairs(
        document.path, "extrinsics", (pair_of(*cameras, _between(document, left, right), _CM),), (right, left)
    )


def oak_camera(document: Document, asked: Asked) -> CameraModel:
    """The left camera of the pair, or the only one."""
    left = _sockets(document, asked)[0]
    cameras = _cameras(document)
    return _camera(document, left if left in cameras or not cameras else min(cameras))
