"""KITTI's text files: `P0: ...` (odometry, stereo 2012) or `P_rect_00: ...` (raw, stereo 2015)."""

import re
from pathlib import Path

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import EXAMPLE, Calibration, of_rectification
from preprocessing.sets.calibration.cameras import CameraModel, Rectification, camera_model, rows_of
from preprocessing.sets.calibration.document import Document, Matrix, numbers, size_of
from preprocessing.sets.calibration.format import Asked

_PAIRS = ((2, 3), (0, 1))  # colour before grey
_PATTERNS = ("P{}", "P_rect_{:02d}")


def _lines(document: Document) -> dict[str, str]:
    return dict(re.findall(r"^\s*(P\d|P_rect_\d\d|S_rect_\d\d):[ \t]*(.*)$", document.text, re.MULTILINE))


def is_kitti(document: Document) -> bool:
    """Whether it has a projection of KITTI: a row of bare values, where YAML has brackets or a tag."""
    lines = _lines(document)
    return any(name.startswith("P") and lines[name].strip()[:1] not in ("", "[", "{", "!") for name in lines)


def read_kitti(document: Document, asked: Asked) -> Calibration:
    """Read two 3x4 projections, P[0,3] = fx * t_x [px m]; the grey pair where there is no colour."""
    lines = _lines(document)
    for left, right in [asked.cameras] if asked.cameras else _PAIRS:
        for pattern in _PATTERNS:
            names = pattern.format(left), pattern.format(right)
            if set(names) <= set(lines):
                first, second = (_projection(document.path, name, lines[name]) for name in names)
                unturned = rows_of(np.eye(3))
                found = Rectification(unturned, unturned, rows_of(first), rows_of(second))
                return of_rectification(document.path, names, found, _size(document.path, lines, left))
    wanted = f"P{asked.cameras[0]} and P{asked.cameras[1]}" if asked.cameras else "P2 and P3, or P0 and P1,"
    raise InputError(
        f"{document.path}: no {wanted} in it (KITTI; P_rect_.. in calib_cam_to_cam.txt), nor cam0= (Middlebury); "
        f"or write calibration.json such as {EXAMPLE}"
    )


def kitti_camera(document: Document, asked: Asked) -> CameraModel:
    """Read the left projection alone: camera 2, else 0, else the first there is."""
    lines = _lines(document)
    first = [asked.cameras[0]] if asked.cameras else [2, 0]
    order = [pattern.format(number) for number in first for pattern in _PATTERNS]
    name = next((name for name in (*order, *sorted(lines)) if name in lines and name.startswith("P")), "P2")
    matrix = _projection(document.path, name, lines.get(name, ""))
    size = _size(document.path, lines, int(name[-1]))
    return camera_model(document.path, name, matrix, np.zeros(0), size=size)


def _projection(path: Path, name: str, text: str) -> Matrix:
    return values(path, name, text, 12).reshape(3, 4)


def _size(path: Path, lines: dict[str, str], camera: int) -> tuple[int, int] | None:
    key = f"S_rect_{camera:02d}"
    return size_of(path, key, values(path, key, lines[key], 2)) if key in lines else None


def values(path: Path, name: str, text: str, count: int) -> Matrix:
    """Numbers with spaces between. Raises: InputError naming file and line."""
    parts: list[float] = []
    try:
        parts = [float(part) for part in text.split()]
        return numbers(path, name, parts, count)
    except (ValueError, InputError):
        raise InputError(
            f"{path}: {name} is {text.strip()[:80]!r}; expected {count} number{'s' * (count > 1)}"
        ) from None
