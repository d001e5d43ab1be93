"""Pairs for networks that know no disparity below 0: laid side by side so that infinity has 0, and back."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Float32

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Laid:
    """A pair of which left pixel `x + before` is right pixel `x + before - (d - first)`.

    Attributes:
        left, right: uint8 [H, W + |first|, 3].
        before: Columns put before the left picture.
        first: -doffs, rounded down [px]: the d that is 0 now.
        width: Of the pictures as they came.
        doffs_px: Of the camera.
    """

    left: UInt8
    right: UInt8
    before: int
    first: int
    width: int
    doffs_px: float

    def disparity(self, answer: Float32) -> Float32:
        """Return d + doffs [H, W] of the pictures as they came, from an answer [H, W + |first|] px of these."""
        own = answer[:, self.before : self.before + self.width]
        return np.asarray(own + np.float32(self.first + self.doffs_px), np.float32)

    def valid(self, disparity: Float32) -> Bool:
        """Say where d + doffs [H, W] means something: not beyond infinity, and the partner is in the right picture."""
        partner = np.arange(self.width, dtype=np.float32) - disparity + np.float32(self.doffs_px)
        with np.errstate(invalid="ignore"):
            return np.isfinite(disparity) & (disparity >= 0) & (partner >= 0) & (partner <= self.width - 1)


def lay(left: UInt8, right: UInt8, doffs_px: float) -> Laid:
    """Lay two RGB pictures [H, W, 3] side by side so that what is infinitely far has a disparity of 0 to 1 px."""
    width, first = left.shape[1], math.floor(-doffs_px)
    before, after = max(0, -first), max(0, first)
    if first:
        left = cv2.copyMakeBorder(left, 0, 0, before, after, cv2.BORDER_REPLICATE)
        right = cv2.copyMakeBorder(right, 0, 0, after, before, cv2.BORDER_REPLICATE)
    return Laid(left, right, before, first, width, doffs_px)
