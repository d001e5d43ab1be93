"""The cost of a disparity: Hamming distances of census words (Zabih and Woodfill 1994), averaged over windows."""

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]

_NEAR_WEIGHT, _WIDE_WEIGHT = 0.25, 0.15
"""Share of each of the two census images in the cost: 62 bits each give at most 25."""
_COST_ROWS = 64
"""Rows whose costs are worked out at a time: their words then stay in the cache of a core."""


def census_transform(grey: UInt8, sigma: float = 0.0, step: int = 1) -> UInt64:
    """Return for each pixel of [H, W] which of its 62 neighbours in a 9 x 7 grid are darker, as the bits of a word.

    Args:
        sigma: Blur before that [px]; 0 = none.
        step: Distance of the grid's points [px].
    """
    if sigma:
        grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    (height, width), across, down = grey.shape, 4 * step, 3 * step
    padded = cv2.copyMakeBorder(grey, down, down, across, across, cv2.BORDER_REPLICATE)
    words = np.zeros(grey.shape, np.uint64)
    for y in range(0, 2 * down + 1, step):
        for x in range(0, 2 * across + 1, step):
            if (y, x) != (down, across):
                words <<= np.uint64(1)
                words |= padded[y : y + height, x : x + width] < grey
    return words


def cost_volume(words: list[tuple[UInt64, UInt64]], disparities: int, block: int, first: int = 0) -> UInt8:
    """Return uint8 [H, disparities, W], 0..25: the weighted Hamming distances, averaged over block x block.

    Args:
        words: Census words [H, W] of the left and the right image, near and wide.
        first: The disparity of number 0; left pixel x is compared with right pixel x - first - number.
    """
    height, width = words[0][0].shape
    volume = np.empty((height, disparities, width), np.uint8)
    around = block // 2
    for top in range(0, height, _COST_ROWS):
        bottom = min(top + _COST_ROWS, height)
        seen = slice(max(0, top - around), min(height, bottom + around))
        strip = [(left[seen], right[seen]) for left, right in words]
        _fill_costs(volume[top:bottom], strip, slice(top - seen.start, bottom - seen.start), block, first)
    return volume


def _fill_costs(volume: UInt8, words: list[tuple[UInt64, UInt64]], rows: slice, block: int, first: int) -> None:
    """Fill `volume` [h, D, W] with the costs of those `rows` of the words; the others only widen the windows."""
    (near, near_right), (wide, wide_right) = words
    width = near.shape[1]
    for index in range(volume.shape[1]):
        d = index + first
        start, stop = max(d, 0), min(width, width + d)  # the left pixels that have a partner in the image
        if start >= stop:
            volume[:, index] = volume[:, index - 1] if index else 255 >> 3
            continue
        here, there = np.s_[:, start:stop], np.s_[:, start - d : stop - d]
        close = np.bitwise_count(near[here] ^ near_right[there])
        broad = np.bitwise_count(wide[here] ^ wide_right[there])
        # Four times too large until the mean is taken, or rounding would eat the small differences.
        cost = cv2.addWeighted(close, 4 * _NEAR_WEIGHT, broad, 4 * _WIDE_WEIGHT, 0)
        if block > 1:
            cost = cv2.blur(cost, (block, block))
        cost += np.uint8(2)
        np.right_shift(cost[rows], 2, out=volume[:, index, start:stop])
        volume[:, index, :start] = volume[:, index, start : start + 1]  # no partner in the image: as next to it
        volume[:, index, stop:] = volume[:, index, stop - 1 : stop]
