"""EuRoC's sensor.yaml, a file in each camera's folder, with T_BS: from the sensor to the body [m]."""

import re
from pathlib import Path

import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_pairs
from preprocessing.sets.calibration.cameras import CameraModel
from preprocessing.sets.calibration.document import Document, Matrix, matrix, read_document
from preprocessing.sets.calibration.format import Asked
from preprocessing.sets.calibration.kalibr import pair_of, pinhole_of


def is_euroc(document: Document) -> bool:
    """Whether it has T_BS and intrinsics."""
    return {"T_BS", "intrinsics"} <= set(document.keys)


def other_folder(path: Path) -> Path | None:
    """The file of the right camera: cam1/sensor.yaml for cam0/sensor.yaml; None where there is none."""
    found = re.fullmatch(r"(\D+)(\d+)", path.parent.name)
    if found is None or path.suffix.lower() not in (".yaml", ".yml"):
        return None
    other = path.parent.with_name(f"{found[1]}{int(found[2]) + 1}") / path.name
    return other if other.is_file() else None


def _pose(document: Document) -> Matrix:
    return matrix(document.path, "T_BS", document.keys.get("T_BS"), 4, 4)


def read_euroc(document: Document, asked: Asked) -> Calibration:
    """Read cam0/sensor.yaml with cam1/sensor.yaml beside its folder."""
    other = other_folder(document.path)
    if other is None:
        raise InputError(f"{document.path}: is of one camera; the right one's is looked for as ../cam1/sensor.yaml")
    second = read_document(other)
    if not is_euroc(second):
        raise InputError(f"{other}: has no T_BS and intrinsics, as cam0's has")
    left, right = (euroc_camera(one, asked) for one in (document, second))
    between = np.linalg.inv(_pose(second)) @ _pose(document)
    return of_pairs(document.path, "T_BS", (pair_of(left, right, between, asked.unit_m),))


def euroc_camera(document: Document, asked: Asked) -> CameraModel:
    """The one camera of the file."""
    return pinhole_of(document.path, "sensor", document.keys, "distortion_coefficients")
