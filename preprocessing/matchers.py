"""Left and right image to disparity: semi-global matching, and the data set's own disparity files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.cityscapes import Frame
from preprocessing.disparity import MAX_STORED_PX, Bool, Float32, Match, read_disparity
from preprocessing.errors import InputError
from preprocessing.files import read_image

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SgbmSettings:
    """Semi-global block matching (Hirschmüller 2008) as OpenCV has it. The defaults were measured on KITTI's two example pairs.

    Attributes:
        disparities: Search range in px, a multiple of 16; None = a tenth of the width, which is down to 3 m on KITTI, 2.3 m on
            Cityscapes at any size.
        block: Side of the matched block [px].
        smoothness_small, smoothness_large: P1 and P2 over block area: the price of a step of one, or more, disparities.
        uniqueness: Percent by which the best must beat the next.
        speckle_px, speckle_step: Islands up to so many pixels, of steps of so many px, are dropped.
        mode: "sgbm" (5 directions), "3way" (3, fastest), "hh" (8, whole image in memory), "hh4" (4).
        colour: Match three channels instead of grey.
        check: Match right to left as well, for the left-right check; doubles the time.
    """

    disparities: int | None = None
    block: int = 5
    smoothness_small: int = 8
    smoothness_large: int = 32
    uniqueness: int = 5
    speckle_px: int = 100
    speckle_step: int = 2
    mode: Literal["sgbm", "3way", "hh", "hh4"] = "3way"
    colour: bool = False
    check: bool = True

    def range_for(self, width: int) -> int:
        """Return the search range in px for images of this width."""
        if self.disparities is not None:
            return self.disparities
        return min(max(16, -(-width // 160) * 16), int(MAX_STORED_PX) // 16 * 16)

MODES = {
    "sgbm": cv2.STEREO_SGBM_MODE_SGBM,
    "3way": cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    "hh": cv2.STEREO_SGBM_MODE_HH,
    "hh4": cv2.STEREO_SGBM_MODE_HH4,
}


def sgbm(left: UInt8, right: UInt8, settings: SgbmSettings = SgbmSettings()) -> Match:  # frozen
    if not settings.colour:
        left, right = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    disparity, valid = _one_way(left, right, settings)
    if not settings.check:
        return Match(disparity, valid)
    # Mirrored, the right image is the left one of a pair with the same geometry.
    mirrored = _one_way(np.ascontiguousarray(right[:, ::-1]), np.ascontiguousarray(left[:, ::-1]), settings)
    return Match(disparity, valid, mirrored[0][:, ::-1], mirrored[1][:, ::-1])


def _one_way(left: UInt8, right: UInt8, settings: SgbmSettings) -> tuple[Float32, Bool]:
    count = settings.range_for(left.shape[1])
    channels = 3 if left.ndim == 3 else 1
    area = channels * settings.block**2
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=settings.block,
        P1=settings.smoothness_small * area,
        P2=settings.smoothness_large * area,
        disp12MaxDiff=-1,
        preFilterCap=63,
        uniquenessRatio=settings.uniqueness,
        speckleWindowSize=settings.speckle_px,
        speckleRange=settings.speckle_step,
        mode=MODES[settings.mode],
    )
    padded = [cv2.copyMakeBorder(i, 0, 0, count, 0, cv2.BORDER_REPLICATE) for i in (left, right)]
    sixteenths = matcher.compute(*padded)[:, count:]
    valid = sixteenths >= 0
    disparity = np.where(valid, sixteenths, 0).astype(np.float32) / np.float32(16)
    return disparity, valid
