"""The fraction of a pixel of a disparity found by semi-global matching."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Float32

_SURE_SLOPE = 4.0
"""A window's costs, 0..25, that rise by so much beside the least of them tell the fraction alone."""


def with_fraction(winner: npt.NDArray[np.int32], sums: npt.NDArray[np.uint16], costs: npt.NDArray[np.uint8]) -> Float32:
    """Add to the cheapest disparities [W] the fraction at which two lines of equal slope through their costs meet.

    The lines are those of the window's own costs: the path sums hold P1 on both sides of the winner, so that theirs
    pulls every answer to a whole pixel, by up to 0.3 px where nothing else is wrong. But costs that hardly rise tell
    noise: the less they do, the more the sums have their say, and all of it where the window would choose another
    disparity. Winners at an end of the range stay whole.

    Args:
        winner: whole disparities [px].
        sums: path costs [D, W].
        costs: window costs [D, W], 0..25.
    """
    inner = winner.clip(1, sums.shape[0] - 2)
    columns = np.arange(sums.shape[1])
    fraction, _ = vertex(*(sums[inner + offset, columns] for offset in (-1, 0, 1)))
    of_window, slope = vertex(*(costs[inner + offset, columns] for offset in (-1, 0, 1)))
    fraction += (slope / np.float32(_SURE_SLOPE)).clip(0, 1) * (of_window - fraction)
    return (winner + np.where(inner == winner, fraction, 0)).astype(np.float32)


def vertex(*near: npt.NDArray[np.unsignedinteger[Any]]) -> tuple[Float32, Float32]:
    """Where two lines of equal slope through three costs meet, -0.5..0.5, and their slope, 0 where the middle is not
    the least.

    Args:
        near: costs [W] one disparity below, at and one above.
    """
    below, here, above = (costs.astype(np.float32) for costs in near)
    slope = np.maximum(below, above) - here
    fraction = (below - above) / (2 * np.maximum(slope, 1))
    return fraction.clip(-0.5, 0.5), np.where(np.minimum(below, above) >= here, slope, 0).astype(np.float32)


_SURE_SUM = 2.0
"""As `_SURE_SLOPE`, of quarters of grey slopes."""


def by_windows(left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8], disparity: Float32) -> Float32:
    """Take the fractions of a map d [H, W] px anew, from 3 x 3 windows of the two grey images' horizontal slopes.

    For a matcher whose own costs cannot be had. Windows that tell little leave the fraction as it is.
    """
    height, width = left.shape
    slopes, right_slopes = (
        cv2.Sobel(image, cv2.CV_8U, 1, 0, ksize=3, scale=0.25, delta=128) for image in (left, right)
    )
    whole = np.rint(disparity)
    beside = cv2.copyMakeBorder(right_slopes, 0, 0, 1, 1, cv2.BORDER_REPLICATE)
    around = cv2.merge([beside[:, 2:], right_slopes, beside[:, :-2]])  # partners of d - 1, d and d + 1
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    columns = np.arange(width, dtype=np.float32) - whole
    partners = cv2.remap(around, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    costs = cv2.boxFilter(cv2.absdiff(partners, cv2.merge([slopes] * 3)), cv2.CV_32F, (3, 3))
    below, here, above = cv2.split(costs)
    slope = cv2.subtract(cv2.max(below, above), here)
    fraction = ((below - above) / (2 * np.maximum(slope, np.float32(1e-3)))).clip(-0.5, 0.5)
    share = np.minimum(slope / np.float32(_SURE_SUM), 1) * (cv2.min(below, above) >= here)
    return np.asarray(disparity + share * (whole + fraction - disparity), np.float32)
