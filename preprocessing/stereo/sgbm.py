"""OpenCV's semi-global block matching of a rectified pair, in both directions."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Camera, Float32, InputError
from preprocessing.stereo.census import check_settings
from preprocessing.stereo.cleaning import Match
from preprocessing.stereo.search import NEAR_M, Search, SgbmPrices, search_for, sgbm_steps
from preprocessing.stereo.subpixel import by_windows

UInt8 = npt.NDArray[np.uint8]

SGBM_MODES: dict[str, int] = {
    "3way": cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    "sgbm": cv2.STEREO_SGBM_MODE_SGBM,
    "hh4": cv2.STEREO_SGBM_MODE_HH4,
    "hh": cv2.STEREO_SGBM_MODE_HH,
}
"""OpenCV's own modes: 3, 5, 4 and 8 directions."""


@dataclass(frozen=True)
class SgbmSettings:
    """Semi-global matching (Hirschmüller 2008) as OpenCV has it; faster than `census`, with fewer matched pixels.

    Numbers are means over the two KITTI example pairs after `cleaning.clean`: points matched, D1 of them (off by more
    than 3 px and 5 %), D1 of all points once holes are filled, seconds a pair on one core. See docs/stereo.md.

    Attributes:
        mode: "3way", the fast one: 91.9 %, 1.9 %, 3.5 %, 0.2 s, but it matches 77 % of the image, census 85 %.
            "hh4": 89.9 %, 2.0 %, 3.5 %, 0.6 s. "sgbm" and "hh" are worse.
        disparities: Search range [px], a multiple of 16; None = what `near_m` asks for.
        near_m: Nearest distance to be measured [m]; see `census.CensusSettings`.
        fractions: Of a pixel, of OpenCV's path "sums", which pulls answers to whole pixels, or of "windows" of the
            pictures: half the pull, for 4 % more time.
        block: Side of the matched block [px], odd.
        p1, p2: Penalties of a change of disparity by one, and by more, between neighbours, per pixel of the block.
        uniqueness: Percent by which the best match must beat the next.
        check: Match the right image to the left as well, for the left-right check; it doubles the time.
    """

    name: ClassVar[str] = "sgbm"

    mode: Literal["3way", "sgbm", "hh4", "hh"] = "3way"
    disparities: int | None = None
    block: int = 5
    p1: int = 16
    p2: int = 48
    uniqueness: int = 10
    check: bool = True
    near_m: float = NEAR_M
    fractions: Literal["sums", "windows"] = "sums"

    def __post_init__(self) -> None:
        if self.mode not in SGBM_MODES:
            offered = f"offered: {', '.join(SGBM_MODES)}; census is a matcher of its own"
            raise InputError(f"sgbm.mode: {self.mode!r}; {offered}")
        check_settings(self.name, self.disparities, self.near_m, self.block, self.p1, self.p2)
        if self.fractions not in ("sums", "windows"):
            raise InputError(f"sgbm.fractions: {self.fractions!r}; offered: sums, windows")
        if not 0 <= self.uniqueness < 100:
            raise InputError(f"sgbm.uniqueness: {self.uniqueness} must be within 0..99 percent")


DEFAULT_SGBM = SgbmSettings()


def sgbm(left: UInt8, right: UInt8, settings: SgbmSettings = DEFAULT_SGBM, camera: Camera | None = None) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size, both ways where `settings.check` asks for it.

    Grey images come with their channel repeated, as `files.read_image` reads them. `camera`: at this width; without,
    the principal points are taken as aligned, and the range is a tenth of the width.
    """
    left_grey, right_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    search = search_for(left_grey, right_grey, settings.disparities, settings.near_m, camera)
    disparity, valid = _match_left(left_grey, right_grey, settings, search)
    if settings.fractions == "windows":
        doffs = np.float32(search.doffs_px)
        disparity = np.where(valid, by_windows(left_grey, right_grey, disparity - doffs) + doffs, np.float32(0))
    if search.too_near is not None:
        valid &= ~search.too_near
    if not settings.check:
        return Match(disparity, valid, doffs_px=search.doffs_px)
    # Mirrored and swapped, the pair has the same geometry with the right image as the reference.
    mirrored, mirrored_valid = _match_left(_mirror(right_grey), _mirror(left_grey), settings, search)
    return Match(disparity, valid, mirrored[:, ::-1], mirrored_valid[:, ::-1], search.doffs_px)


def _mirror(image: UInt8) -> UInt8:
    return np.ascontiguousarray(image[:, ::-1])


def _match_left(left: UInt8, right: UInt8, settings: SgbmSettings, search: Search) -> tuple[Float32, Bool]:
    prices = SgbmPrices(settings.block, settings.p1, settings.p2, settings.uniqueness, SGBM_MODES[settings.mode])
    count = -(-search.count // 16) * 16
    sixteenths = sgbm_steps(left, right, search.first, count, prices)
    steps = sixteenths.astype(np.float32) / np.float32(16)
    # A partner in the padding is no partner, and what ends the range may lie anywhere beyond it.
    valid = (sixteenths >= 0) & (sixteenths < 16 * (count - 1)) & search.partners(left.shape[1], steps)
    return np.where(valid, steps + np.float32(search.offset_px), 0).astype(np.float32), valid
