"""The fraction of a pixel of a disparity found by semi-global matching."""

from typing import Any

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
