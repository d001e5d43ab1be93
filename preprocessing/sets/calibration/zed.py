"""Stereolabs' SN*.conf: [LEFT_CAM_HD], [RIGHT_CAM_HD], ... for each resolution, and [STEREO] in millimetres.

T = (-Baseline, TY, TZ) and R = Rodrigues(RX, CV, RZ), as `cv2.stereoCalibrate` gives them and Stereolabs' own
calibration tool (github.com/stereolabs/zed-opencv-calibration) writes them.
"""

import configparser
import math
from collections.abc import Mapping

import cv2
import numpy as np

from preprocessing.ground import InputError
from preprocessing.sets.calibration.calibration import Calibration, of_pairs
from preprocessing.sets.calibration.cameras import CameraModel, RawPair, camera_model, rows_of
from preprocessing.sets.calibration.document import Document, number
from preprocessing.sets.calibration.format import Asked

SIZES = {
    "HD": (1280, 720),
    "2K": (2208, 1242),
    "FHD": (1920, 1080),
    "VGA": (672, 376),
    "FHD1200": (1920, 1200),
    "SVGA": (960, 600),
    "QHDPLUS": (3200, 1800),
    "4K": (3840, 2160),
}
"""Word in the names of sections -> (width, height) [px]; the first that a file has is its own."""
_RADTAN = ("k1", "k2", "p1", "p2", "k3")
_RATIONAL = (*_RADTAN, "k4", "k5", "k6")


def is_zed(document: Document) -> bool:
    """Whether it has sections of a left camera and of both together."""
    sections = _sections(document)
    return "STEREO" in sections and any(name.startswith("LEFT_CAM_") for name in sections)


def _sections(document: Document) -> dict[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(document.text)
    except configparser.Error:
        return {}
    return {name.upper(): parser[name] for name in parser.sections()}


def _words(document: Document) -> list[str]:
    sections = _sections(document)
    words = [word for word in SIZES if f"LEFT_CAM_{word}" in sections]
    if not words:
        raise InputError(f"{document.path}: no section LEFT_CAM_ with one of {', '.join(SIZES)}")
    return words


def _camera(document: Document, side: str, word: str) -> CameraModel:
    sections, name = _sections(document), f"{side}_CAM_{word}"
    keys = sections.get(name, {})
    fx, fy, cx, cy = (number(document.path, f"[{name}] {key}", keys.get(key)) for key in ("fx", "fy", "cx", "cy"))
    # Newer files have one lens for all resolutions, with more coefficients.
    lens = sections.get(f"{side}_DISTO") or keys
    names = _RATIONAL if "k6" in lens else _RADTAN
    values = [number(document.path, f"[{name}] {key}", lens.get(key, 0)) for key in names]
    pinhole = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return camera_model(document.path, f"[{name}]", pinhole, np.array(values), size=SIZES[word])


def read_zed(document: Document, asked: Asked) -> Calibration:
    """Read a pair for each resolution; pictures take that of their own size."""
    pairs = tuple(_pair(document, word) for word in _words(document))
    return of_pairs(document.path, "[STEREO] Baseline", pairs)


def _pair(document: Document, word: str) -> RawPair:
    keys = _sections(document)["STEREO"]  # ConfigParser takes keys in any case
    if keys.get("baseline") is None:
        raise InputError(f"{document.path}: [STEREO] Baseline [mm] is missing")

    def value(name: str) -> float:
        return number(document.path, f"[STEREO] {name}", keys.get(f"{name}_{word}".lower(), keys.get(name.lower(), 0)))

    translation = (-value("Baseline") / 1000, value("TY") / 1000, value("TZ") / 1000)
    angles = np.array([value("RX"), value("CV"), value("RZ")])
    if math.hypot(*angles) > 1.0:
        raise InputError(
            f"{document.path}: [STEREO] RX, CV, RZ are turns in radians; {angles.round(2).tolist()} is none"
        )
    rotation, _ = cv2.Rodrigues(angles)
    left, right = (_camera(document, side, word) for side in ("LEFT", "RIGHT"))
    return RawPair(left, right, rows_of(np.asarray(rotation, np.float64)), translation)


def zed_camera(document: Document, asked: Asked) -> CameraModel:
    """The left camera at the file's first resolution."""
    return _camera(document, "LEFT", _words(document)[0])
