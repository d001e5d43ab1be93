"""Where a left image has no disparity worth having: the sky, and what does not belong to the scene."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]

SKY_ID = 23
IGNORED_IDS = (1, 2, 3)
"""Cityscapes label ids: ego vehicle, rectification border, out of region of interest."""


@dataclass(frozen=True)
class Regions:
    """Parts of the left image that get no disparity.

    Attributes:
        sky: bool [H, W]; infinitely far, no texture.
        ignored: bool [H, W]; the ego vehicle, the border that rectification left.
    """

    sky: Bool
    ignored: Bool


def regions_from_labels(labels: npt.NDArray[np.integer]) -> Regions:
    """Return the regions that Cityscapes label ids [H, W] name."""
    return Regions(labels == SKY_ID, np.isin(labels, IGNORED_IDS))
