"""OpenCV's semi-global block matching of a rectified pair, in both directions."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Float32, InputError
from preprocessing.stereo.census import check_settings, search_range
from preprocessing.stereo.cleaning import Match

UInt8 = npt.NDArray[np.uint8]

SGBM_MODES: dict[str, int] = {
    "3way": cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    "sgbm": cv2.STEREO_SGBM_MODE_SGBM,
    "hh4": cv2.STEREO_SGBM_MODE_HH4,
    "hh": cv2.STEREO_SGBM_MODE_HH,
}
"""OpenCV's own modes: 3, 5, 4 and 8 directions."""
# OpenCV's documentation says that a value of 0 or less switches its own left-right check off; it is taken as 1 px, the
# strictest there is. Only a bound that no disparity reaches switches it off.
_NO_CHECK = 1_000_000


@dataclass(frozen=True)
class SgbmSettings:
    """Semi-global matching (Hirschmüller 2008) as OpenCV has it; faster than `census`, with fewer matched pixels.

    Numbers are means over the two KITTI example pairs after `cleaning.clean`: points matched, D1 of them (off by more
    than 3 px and 5 %), D1 of all points once holes are filled, seconds a pair on one core. See docs/stereo.md.

    Attributes:
        mode: "3way", the fast one: 91.9 %, 1.9 %, 3.5 %, 0.2 s, but it matches 77 % of the image, census 85 %.
            "hh4": 89.9 %, 2.0 %, 3.5 %, 0.6 s. "sgbm" and "hh" are worse.
        disparities: Search range [px], a multiple of 16; None = a tenth of the width.
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

    def __post_init__(self) -> None:
        if self.mode not in SGBM_MODES:
            offered = f"offered: {', '.join(SGBM_MODES)}; census is a matcher of its own"
            raise InputError(f"sgbm.mode: {self.mode!r}; {offered}")
        check_settings(self.name, self.disparities, self.block, self.p1, self.p2)
        if not 0 <= self.uniqueness < 100:
            raise InputError(f"sgbm.uniqueness: {self.uniqueness} must be within 0..99 percent")


DEFAULT_SGBM = SgbmSettings()


def sgbm(left: UInt8, right: UInt8, settings: SgbmSettings = DEFAULT_SGBM) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size, both ways where `settings.check` asks for it.

    Grey images come with their channel repeated, as `files.read_image` reads them.
    """
    left_grey, right_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    disparity, valid = _match_left(left_grey, right_grey, settings)
    if not settings.check:
        return Match(disparity, valid)
    # Mirrored and swapped, the pair has the same geometry with the right image as the reference.
    mirrored, mirrored_valid = _match_left(_mirror(right_grey), _mirror(left_grey), settings)
    return Match(disparity, valid, mirrored[:, ::-1], mirrored_valid[:, ::-1])


def _mirror(image: UInt8) -> UInt8:
    return np.ascontiguousarray(image[:, ::-1])


def _match_left(left: UInt8, right: UInt8, settings: SgbmSettings) -> tuple[Float32, Bool]:
    width = left.shape[1]
    count, block = search_range(settings.disparities, width), settings.block
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=settings.p1 * block**2,
        P2=settings.p2 * block**2,
        disp12MaxDiff=_NO_CHECK,  # our own check compares with a match of its own, not with this one's costs
        preFilterCap=63,
        uniquenessRatio=settings.uniqueness,
        speckleWindowSize=0,  # `disparity.clean` does it after the left-right check
        speckleRange=0,
        mode=SGBM_MODES[settings.mode],
    )
    # SGBM leaves the first `count` columns out; padded by that many, it matches all of the image.
    padded = [cv2.copyMakeBorder(image, 0, 0, count, 0, cv2.BORDER_REPLICATE) for image in (left, right)]
    sixteenths = matcher.compute(*padded)[:, count:]
    disparity = sixteenths.astype(np.float32) / np.float32(16)
    # A partner in the padding is no partner.
    valid = (sixteenths >= 0) & (disparity <= np.arange(width, dtype=np.float32))
    return np.where(valid, disparity, 0).astype(np.float32), valid
