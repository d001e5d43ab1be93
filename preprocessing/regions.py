"""Where a left image has no disparity worth having: the sky, and what does not belong to the scene."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

SKY_ID = 23
IGNORED_IDS = (1, 2, 3)
"""Cityscapes label ids: ego vehicle, rectification border, out of region of interest."""

_SKY_LEVEL = 150
_SMOOTH_LEVELS = 12
_FARTHEST_SHARE = 0.004
_LEAST_SKY_SHARE = 0.001


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


def guess_sky(image: UInt8, disparity: Float32, valid: Bool) -> Bool:
    """Return bool [H, W]: bright, smooth parts of an RGB image [H, W, 3] that reach its upper border and the distance.

    Without texture a matcher only spreads what stands around the sky over it: its disparity [H, W] there runs from near
    to far. A white wall is as bright and smooth, but at one distance: so a part is sky only if a tenth of its matched
    pixels have less than 0.4 % of the width (77 m with KITTI's camera). Patches of sky between branches stay.
    """
    height, width = valid.shape
    brightest = image.max(axis=2)
    spread = cv2.morphologyEx(brightest, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    # The sky is grey or blue, never redder than blue by much.
    cold = image[..., 2].astype(np.int16) + 15 >= image[..., 0]
    candidate = (brightest >= _SKY_LEVEL) & (spread <= _SMOOTH_LEVELS) & cold
    _, parts = cv2.connectedComponents(candidate.astype(np.uint8), connectivity=4)
    sky = np.zeros((height, width), dtype=np.uint8)
    for part in np.unique(parts[:2][candidate[:2]]):
        inside = parts == part
        known = disparity[inside & valid]
        large = inside.sum() >= _LEAST_SKY_SHARE * inside.size
        if large and (not known.size or np.percentile(known, 10) <= _FARTHEST_SHARE * width):
            sky[inside] = 1
    # The spread of levels kept off the rim by one pixel.
    return cv2.dilate(sky, np.ones((3, 3), np.uint8)) > 0
