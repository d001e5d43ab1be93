"""What is sure of a pair without any network, and how far a disparity map is from it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Camera, Float32
from preprocessing.stereo.cleaning import CleanSettings, clean
from preprocessing.stereo.costs import census_transform
from preprocessing.stereo.sgbm import sgbm

UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]

SURE_LEAST, ALIKE_BITS = 0.25, 16.0
"""A pair decides where so much of it is surely matched, and partners differ by no more bits of their census, of 62:
pictures that have nothing to do with each other are matched at up to 24 % of their pixels, and differ by 16.5 to 24."""
TELLING_PX, TELLING_BITS = 2.0, 3.0
"""And where half of that is so many pixels from infinity, and differs by so many more bits from what lies there."""


@dataclass(frozen=True)
class Yardstick:
    """The sure part of a pair.

    Attributes:
        disparity: float32 [H, W], d + doffs by OpenCV's matcher.
        sure: bool [H, W], where that passed every check.
        words, right_words: Census of both pictures, uint64 [H, W].
        doffs_px: Of the camera.
    """

    disparity: Float32
    sure: Bool
    words: UInt64
    right_words: UInt64
    doffs_px: float

    @property
    def span(self) -> tuple[float, float]:
        """5th and 95th percentile of the sure disparities [px]."""
        low, high = np.percentile(self.disparity[self.sure], (5, 95))
        return float(low), float(high)

    def agree(self, found: Float32, ratio: float, *, nearly: bool = False) -> float:
        """Share of the sure pixels at which `found` (d + doffs) says the same, to a 600th of the width (1 px at
        least), 8 %, or a pixel of a network that sees the pictures reduced by `ratio`.

        Args:
            nearly: To a quarter of all that.
        """
        own, wanted = found[self.sure], self.disparity[self.sure]
        part = np.float32(0.25 if nearly else 1)
        with np.errstate(invalid="ignore"):
            near = (
                np.abs(own - wanted)
                <= np.maximum(max(1.0, self.sure.shape[1] / 600, ratio), np.float32(0.08) * wanted) * part
            )
        return float(near.mean())

    def explained(self, found: Float32) -> float:
        """How far `found` explains the left picture by the right one at the sure pixels: 0 = like no parallax at all,
        1 = like the yardstick itself.
        """
        none, best = self._bits(np.zeros_like(self.disparity)), self._bits(self.disparity)
        return float((none - self._bits(found)) / max(none - best, 1e-6))

    def tells(self) -> bool:
        """Whether the pair decides anything."""
        if self.sure.mean() < SURE_LEAST or np.median(self.disparity[self.sure]) < TELLING_PX:
            return False
        none, best = self._bits(np.zeros_like(self.disparity)), self._bits(self.disparity)
        return best <= ALIKE_BITS and none - best >= TELLING_BITS

    def _bits(self, found: Float32) -> float:
        """Mean census distance at the sure pixels; a partner outside the picture counts as chance, half of the bits."""
        rows, columns = np.nonzero(self.sure)
        with np.errstate(invalid="ignore"):
            partner = columns - np.nan_to_num(
                found[self.sure] - np.float32(self.doffs_px), nan=1e6, posinf=1e6, neginf=1e6
            )
        inside = (partner >= 0) & (partner <= self.sure.shape[1] - 1)
        there = np.rint(partner.clip(0, self.sure.shape[1] - 1)).astype(np.intp)
        bits = np.bitwise_count(self.words[rows, columns] ^ self.right_words[rows, there])
        return float(np.where(inside, bits, 31).mean())


def yardstick(left: UInt8, right: UInt8, camera: Camera | None) -> Yardstick:
    """Find what is sure of a pair of RGB pictures [H, W, 3]."""
    cleaned = clean(sgbm(left, right, camera=camera), CleanSettings(sky="off", median=0, smooth_px=0))
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
    words = [census_transform(image, 1.0, 1) for image in grey]
    doffs = 0.0 if camera is None else camera.doffs_px
    return Yardstick(cleaned.disparity, cleaned.matched, words[0], words[1], doffs)
