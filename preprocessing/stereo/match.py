"""Matching left and right image by matcher name: census, OpenCV's SGBM, networks, the data set's own disparity."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from preprocessing.ground import Camera, Frame, InputError
from preprocessing.sets import Layout
from preprocessing.stereo.census import CensusSettings, census
from preprocessing.stereo.cleaning import Match
from preprocessing.stereo.crestereo.matcher import CREStereoSettings, crestereo, load, pick_device
from preprocessing.stereo.network import OnnxSettings, onnx
from preprocessing.stereo.network.model import load as load_network
from preprocessing.stereo.sgbm import SgbmSettings, sgbm

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DatasetSettings:
    """The disparity that came with the set; it has no right map, so there is no left-right check."""

    name: ClassVar[str] = "dataset"


MatcherSettings = CensusSettings | SgbmSettings | CREStereoSettings | OnnxSettings | DatasetSettings
MATCHERS: dict[str, type[MatcherSettings]] = {
    "census": CensusSettings,
    "sgbm": SgbmSettings,
    "crestereo": CREStereoSettings,
    "onnx": OnnxSettings,
    "dataset": DatasetSettings,
}
# Matchers of a pair of RGB images [H, W, 3]: (left, right, settings, camera at this width or None) -> Match.
PAIR_MATCHERS: dict[str, Callable[[UInt8, UInt8, Any, Camera | None], Match]] = {
    "census": census,
    "sgbm": sgbm,
    "crestereo": crestereo,
    "onnx": onnx,
}


def find_matcher(name: str) -> type[MatcherSettings]:
    """Return the settings of a matcher by name. Raises: InputError naming what is offered."""
    if name not in MATCHERS:
        raise InputError(f"matcher: {name!r} is not offered; choose one of {', '.join(MATCHERS)}")
    return MATCHERS[name]


def prepare(settings: MatcherSettings, workers: int) -> None:
    """Find out before the first frame whether the matcher can run: bad weights would fail on every frame.

    Raises: InputError naming the weights or the device.
    """
    if isinstance(settings, CREStereoSettings):
        # The processes load their own; here only the file and the device are looked at.
        pick_device(settings.device)
        load(settings if workers == 1 else replace(settings, device="cpu", precision="fp32"))
    if isinstance(settings, OnnxSettings):
        load_network(settings)


def check_size(path: Path, array: npt.NDArray[np.generic], left: UInt8) -> None:
    """Raise InputError naming `path` where its picture has another size than the left image."""
    if array.shape[:2] != left.shape[:2]:
        (height, width), (left_height, left_width) = array.shape[:2], left.shape[:2]
        raise InputError(f"{path}: is {width}x{height}, but its left image is {left_width}x{left_height}")


def match_pair(left: UInt8, right: UInt8, settings: MatcherSettings, camera: Camera | None = None) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size.

    Args:
        camera: At this width: where infinity lies, and which disparities are worth a search; None = aligned principal
            points, and the matcher's own range.

    Raises: InputError naming a setting or weights.
    """
    return PAIR_MATCHERS[settings.name](left, right, settings, camera)


def match_dataset(frame: Frame, left: UInt8, layout: Layout, camera: Camera) -> Match:
    """Take the disparity that came with the set. Raises: InputError naming a missing or misfit file."""
    if frame.disparity is None:
        raise InputError(f"{frame.left}: the set has no disparity file for it; match it with another --matcher")
    disparity, valid = layout.read_disparity(frame)
    check_size(frame.disparity, disparity, left)
    from_infinity = np.where(valid, disparity + np.float32(camera.doffs_px), np.float32(0))
    return Match(from_infinity, valid, doffs_px=camera.doffs_px)
