"""Our own calibration.json: a baseline and a focal length, or a word about a calibration of another format."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import InputError, MapCodec, MapKind, codec_of
from preprocessing.sets.calibration.calibration import (
    EXAMPLE,
    OPTIONAL,
    REQUIRED,
    UNITS_M,
    Calibration,
    of_values,
)
from preprocessing.sets.calibration.cameras import CameraModel, camera_model
from preprocessing.sets.calibration.document import Document, number, numbers
from preprocessing.sets.calibration.format import Asked

RECORD = "rectification"
"""Key under which `advmtl rectify` notes how the pictures came about; nobody reads it back but people."""
CODECS: dict[str, MapKind] = {"disparity_codec": "disparity", "depth_codec": "depth"}
"""How maps that came with the set are stored."""
_ELSEWHERE = ("from", "unit", "cameras", "pictures")


def content_of(document: Document) -> dict[str, Any]:
    """The object of a JSON file. Raises: InputError naming the file where it is none."""
    try:
        content = json.loads(document.text)
    except (ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{document.path}: not JSON ({said}); expected such as {EXAMPLE}") from None
    if not isinstance(content, dict):
        raise InputError(f"{document.path}: expected an object such as {EXAMPLE}")
    return content


def read_own(document: Document, asked: Asked) -> Calibration:
    """Read the keys of calibration.json."""
    path, content = document.path, content_of(document)
    content.pop(RECORD, None)
    known = (*REQUIRED, *OPTIONAL, *CODECS)
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    if asked.baseline_m is not None:
        content.setdefault("baseline_m", asked.baseline_m)
    disparity, depth = codecs_of(path, content)
    return replace(of_values(path, content), codec=disparity, depth_codec=depth)


def codecs_of(path: Path, content: dict[str, Any]) -> tuple[MapCodec | None, MapCodec | None]:
    """Take `disparity_codec` and `depth_codec` out of a content. Raises: InputError naming file and key."""
    found: list[MapCodec | None] = []
    for key, kind in CODECS.items():
        try:
            found.append(codec_of(content.pop(key), kind) if key in content else None)
        except InputError as error:
            joint = " " if str(error).startswith("is ") else ": "
            raise InputError(f"{path}: {key}{joint}{error}") from None
    return found[0], found[1]


def own_camera(document: Document, asked: Asked) -> CameraModel:
    """The left camera without its baseline."""
    calibration = read_own(document, Asked(baseline_m=1.0 if "baseline_m" not in content_of(document) else None))
    camera = calibration.camera
    pinhole = np.array([[camera.fx_px, 0, camera.u0_px], [0, camera.fy_px, camera.v0_px], [0, 0, 1]])
    return camera_model(document.path, "fx_px", pinhole, np.zeros(0), size=calibration.size)


def is_elsewhere(document: Document) -> bool:
    """Whether it names another file: {"from": FILE}."""
    return document.is_json and "from" in document.keys


def elsewhere(document: Document) -> tuple[Path, Callable[[Asked], Asked], dict[str, Any]]:
    """The file that is named, what is said of it, and the other keys. Raises: InputError naming file and key."""
    path, content = document.path, content_of(document)
    unknown = sorted(set(content) - {*_ELSEWHERE, *CODECS})
    if unknown:
        raise InputError(f'{path}: unknown key {unknown[0]!r} beside "from"; known: {", ".join(_ELSEWHERE)}')
    name, unit, pictures = content["from"], content.get("unit"), content.get("pictures")
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: from is {name!r}; it must name a calibration file")
    if unit is not None and unit not in UNITS_M:
        raise InputError(f"{path}: unit is {unit!r}; offered: {', '.join(UNITS_M)}")
    if pictures not in (None, "raw", "rectified"):
        raise InputError(f"{path}: pictures is {pictures!r}; offered: raw, rectified")
    cameras = None
    if "cameras" in content:
        first, second = (int(value) for value in numbers(path, "cameras", content["cameras"], 2))
        cameras = first, second

    def told(asked: Asked) -> Asked:
        length = UNITS_M[unit] if unit is not None else asked.unit_m
        return Asked(cameras or asked.cameras, asked.baseline_m, number(path, "unit", length))

    return path.parent / name, told, content
