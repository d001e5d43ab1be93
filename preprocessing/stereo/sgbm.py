"""Semi-global block matching of a rectified pair, both ways."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground.disparity import MAX_STORED_PX, Bool, Float32
from preprocessing.ground.errors import InputError
from preprocessing.stereo.census import LARGEST_PRICE, match_census
from preprocessing.stereo.cleaning import Match

UInt8 = npt.NDArray[np.uint8]

SGBM_MODES: dict[str, int] = {
    "3way": cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    "sgbm": cv2.STEREO_SGBM_MODE_SGBM,
    "hh4": cv2.STEREO_SGBM_MODE_HH4,
    "hh": cv2.STEREO_SGBM_MODE_HH,
}
"""OpenCV's own modes: 3, 5, 4 and 8 directions."""
# mode -> block, step_price, jump_price where the settings leave them open.
_CENSUS_DEFAULTS = (3, 13, LARGEST_PRICE)
_OPENCV_DEFAULTS = (5, 16, 48)
# OpenCV's documentation says that a value of 0 or less switches its own left-right check off; it is taken as 1 px, the
# strictest there is. Only a bound that no disparity reaches switches it off.
_NO_CHECK = 1_000_000


@dataclass(frozen=True)
class SgbmSettings:
    """Semi-global matching (Hirschmüller 2008): of census images (`census.match_census`), or as OpenCV has it.

    Figures are means over the two KITTI example pairs after `disparity.clean`: points answered, D1 of them (off by more
    than 3 px and 5 %), D1 of all points once holes are filled, seconds a pair on one core. See docs/stereo.md.

    Attributes:
        mode: "census": 93.5 %, 2.0 %, 3.4 %, 0.7 s. "3way", the fast one: 91.9 %, 1.9 %, 3.5 %, 0.2 s, but it
            answers 77 instead of 85 % of the image. "hh4": 89.9 %, 2.0 %, 3.5 %, 0.6 s. "sgbm" and "hh" are worse.
        disparities: Search range [px], a multiple of 16; None = a tenth of the width, which reaches down to
            3 m with KITTI's camera and 2.3 m with that of Cityscapes, at any size.
        block: Side of the matched block [px], odd; None = 3 with "census", else 5. With "census", 1 has 90.5 % at
            1.9 %; 5 has 94.5 % at 2.2 %, and loses detail.
        step_price, jump_price: P1 and P2, the price of a step of one disparity, and of more; in OpenCV's modes
            per pixel of the block. None = 13 and 100 with "census", else 16 and 48. With "census", P1 = 6 has
            93.2 % at 2.3 %, P1 = 25 the same as 13; P2 = 40 has 91.9 % at 2.2 %, and more fine detail.
        uniqueness: Percent by which the best match must beat the next; OpenCV's modes only.
        check: Match the right image to the left as well, for the left-right check; free with "census", else
            it doubles the time.
    """

    name: ClassVar[str] = "sgbm"

    mode: Literal["census", "3way", "sgbm", "hh4", "hh"] = "census"
    disparities: int | None = None
    block: int | None = None
    step_price: int | None = None
    jump_price: int | None = None
    uniqueness: int = 10
    check: bool = True

    def __post_init__(self) -> None:
        if self.mode != "census" and self.mode not in SGBM_MODES:
            raise InputError(f"sgbm.mode: {self.mode!r}; offered: census, {', '.join(SGBM_MODES)}")
        most = int(MAX_STORED_PX) // 16 * 16
        if self.disparities is not None and not (0 < self.disparities <= most and self.disparities % 16 == 0):
            raise InputError(f"sgbm.disparities: {self.disparities} must be a multiple of 16 up to {most}")
        block, step_price, jump_price = self.prices
        if block < 1 or block % 2 == 0:
            raise InputError(f"sgbm.block: {block} must be odd and positive")
        if not 0 < step_price < jump_price:
            raise InputError(f"sgbm.jump_price: {jump_price} must exceed step_price {step_price}, both positive")
        if self.mode == "census" and jump_price > LARGEST_PRICE:
            raise InputError(f"sgbm.jump_price: {jump_price} must be at most {LARGEST_PRICE} with mode census")
        if not 0 <= self.uniqueness < 100:
            raise InputError(f"sgbm.uniqueness: {self.uniqueness} must be within 0..99 percent")

    @property
    def prices(self) -> tuple[int, int, int]:
        """Block, step price and jump price, with the mode's defaults where they are left open."""
        defaults = _CENSUS_DEFAULTS if self.mode == "census" else _OPENCV_DEFAULTS
        given = (self.block, self.step_price, self.jump_price)
        block, step_price, jump_price = (d if g is None else g for g, d in zip(given, defaults, strict=True))
        return block, step_price, jump_price

    def range_for(self, width: int) -> int:
        """Return the search range [px] for images of this width."""
        if self.disparities is not None:
            return self.disparities
        tenth = -(-width // 160) * 16  # rounded up to a multiple of 16
        return min(tenth, int(MAX_STORED_PX) // 16 * 16)


DEFAULT_SGBM = SgbmSettings()


def sgbm(left: UInt8, right: UInt8, settings: SgbmSettings = DEFAULT_SGBM) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size, both ways where `settings.check` asks for it.

    Grey images come with their channel repeated, as `files.read_image` reads them.
    """
    left_grey, right_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    if settings.mode == "census":
        return _match_census(left_grey, right_grey, settings)
    disparity, valid = _match_left(left_grey, right_grey, settings)
    if not settings.check:
        return Match(disparity, valid)
    # Mirrored and swapped, the pair has the same geometry with the right image as the reference.
    mirrored, mirrored_valid = _match_left(_mirror(right_grey), _mirror(left_grey), settings)
    return Match(disparity, valid, mirrored[:, ::-1], mirrored_valid[:, ::-1])


def _match_census(left: UInt8, right: UInt8, settings: SgbmSettings) -> Match:
    height, width = left.shape
    if width < 16:  # the least search range
        return Match(np.zeros((height, width), np.float32), np.zeros((height, width), bool))
    disparity, right_disparity = match_census(left, right, min(settings.range_for(width), width), *settings.prices)
    columns = np.arange(width, dtype=np.float32)
    valid = disparity <= columns  # else the partner lies outside
    disparity = np.where(valid, disparity, np.float32(0))
    if not settings.check:
        return Match(disparity, valid)
    return Match(disparity, valid, right_disparity, right_disparity < width - columns)


def _mirror(image: UInt8) -> UInt8:
    return np.ascontiguousarray(image[:, ::-1])


def _match_left(left: UInt8, right: UInt8, settings: SgbmSettings) -> tuple[Float32, Bool]:
    width = left.shape[1]
    count = settings.range_for(width)
    block, step_price, jump_price = settings.prices
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=step_price * block**2,
        P2=jump_price * block**2,
        disp12MaxDiff=_NO_CHECK,  # our own check compares with a match of its own, not with this one's costs
        preFilterCap=63,
        uniquenessRatio=settings.uniqueness,
        speckleWindowSize=0,  # `disparity.clean` does it after the left-right check
        speckleRange=0,
        mode=SGBM_MODES[settings.mode],
    )
    # SGBM leaves the first `count` columns out; padded by that many, it answers in all of the image.
    padded = [cv2.copyMakeBorder(image, 0, 0, count, 0, cv2.BORDER_REPLICATE) for image in (left, right)]
    sixteenths = matcher.compute(*padded)[:, count:]
    disparity = sixteenths.astype(np.float32) / np.float32(16)
    # A partner in the padding is no partner.
    valid = (sixteenths >= 0) & (disparity <= np.arange(width, dtype=np.float32))
    return np.where(valid, disparity, 0).astype(np.float32), valid
