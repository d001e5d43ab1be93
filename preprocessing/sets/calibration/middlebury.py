"""Middlebury's calib.txt: `cam0=[f 0 cx; 0 f cy; 0 0 1]`, `doffs=` [px], `baseline=` [mm], `width=`, `height=` [px]."""

import re

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_values
from preprocessing.sets.calibration.cameras import CameraModel, camera_model
from preprocessing.sets.calibration.document import Document, Matrix
from preprocessing.sets.calibration.format import Asked
from preprocessing.sets.calibration.kitti import values


def _lines(document: Document) -> dict[str, str]:
    return {key: value.strip() for key, value in re.findall(r"^\s*(\w+)\s*=(.*)$", document.text, re.MULTILINE)}


def is_middlebury(document: Document) -> bool:
    """Whether it has a line `cam0=`."""
    return re.search(r"^cam0\s*=", document.text, re.MULTILINE) is not None


def _matrix(document: Document, lines: dict[str, str]) -> Matrix:
    return values(document.path, "cam0", re.sub(r"[\[\];]", " ", lines["cam0"]), 9).reshape(3, 3)


def read_middlebury(document: Document, asked: Asked) -> Calibration:
    """Read the pair, which is rectified but for `doffs`."""
    path, lines = document.path, _lines(document)
    matrix = _matrix(document, lines)
    found = {"fx_px": matrix[0, 0], "fy_px": matrix[1, 1], "cx_px": matrix[0, 2], "cy_px": matrix[1, 2]}
    if "baseline" in lines:
        found["baseline_m"] = values(path, "baseline", lines["baseline"], 1)[0] / 1000
    elif asked.baseline_m is not None:
        found["baseline_m"] = asked.baseline_m
    else:
        raise InputError(f"{path}: baseline= [mm] is missing")
    for key, name in (("doffs", "doffs_px"), ("width", "width_px"), ("height", "height_px")):
        if key in lines:
            found[name] = values(path, key, lines[key], 1)[0]
    return of_values(path, {key: float(value) for key, value in found.items()})


def middlebury_camera(document: Document, asked: Asked) -> CameraModel:
    """Read `cam0` alone."""
    lines = _lines(document)
    sides = [float(values(document.path, key, lines[key], 1)[0]) for key in ("width", "height") if key in lines]
    size = (round(sides[0]), round(sides[1])) if len(sides) == 2 else None
    return camera_model(document.path, "cam0", _matrix(document, lines), np.zeros(0), size=size)
