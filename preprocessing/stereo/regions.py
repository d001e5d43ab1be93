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

_SKY_LEVEL = 80
_SMOOTH_LEVELS = 12
_WARMER_LEVELS = 15
"""The sky is grey or blue: its red exceeds its blue by no more than this."""
_DARKER_LEVELS = 35
"""Darker than the seed at the border by more than this is no sky any more: it leaked into haze."""
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
    width = valid.shape[1]
    red, green, blue = cv2.split(image)
    brightest = cv2.max(cv2.max(red, green), blue)
    square = np.ones((3, 3), np.uint8)
    smooth = cv2.compare(cv2.morphologyEx(brightest, cv2.MORPH_GRADIENT, square), _SMOOTH_LEVELS, cv2.CMP_LE)
    cold = cv2.compare(red, cv2.add(blue, _WARMER_LEVELS), cv2.CMP_LE)
    bright = cv2.compare(brightest, _SKY_LEVEL, cv2.CMP_GE)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(bright & smooth & cold, connectivity=4)
    seeds = {part: float(np.median(brightest[0][parts[0] == part])) for part in np.unique(parts[0]) if part > 0}
    sky = np.zeros(valid.shape, dtype=np.uint8)
    brightest_sky = 0.0
    for part, level in sorted(seeds.items(), key=lambda seed: -seed[1]):
        left, top, columns, rows, area = statistics[part]
        box = slice(top, top + rows), slice(left, left + columns)
        inside = parts[box] == part
        known = disparity[box][inside & valid[box]]
        far = not known.size or np.percentile(known, 10) <= _FARTHEST_SHARE * width
        # Parts come from bright to dark: no part of one sky is much darker than another.
        if far and area >= _LEAST_SKY_SHARE * valid.size and level >= brightest_sky - 2 * _DARKER_LEVELS:
            brightest_sky = max(brightest_sky, level)
            sky[box] |= inside & (brightest[box] >= level - _DARKER_LEVELS)
    # The spread of levels kept off the rim by one pixel.
    return cv2.dilate(sky, square) > 0
