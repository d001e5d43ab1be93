"""Whether the disparity that came with a set is that of corners which are followed in its pairs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from preprocessing.ground import Float32, Frame, InputError, read_image
from preprocessing.sets import Layout, corner_disparities

PAIRS = 8
LEAST_CORNERS = 20
"""With fewer nothing is said: lidar covers a part of a picture alone."""
_LEAST_PX = 4.0  # an error of tracking is then no large share
_OFF, _ALIKE = 1.2, 0.8
"""Own over followed disparity is that far from 1 in the median, and to that side in so large a share."""


def own_disparity_doubts(layout: Layout, frames: Sequence[Frame]) -> list[str]:
    """A line where the set's own disparity is another scale than that of its pairs, by up to `PAIRS` of them."""
    usable = [frame for frame in frames if frame.disparity is not None and frame.right is not None]
    picked = sorted(set(np.linspace(0, len(usable) - 1, min(PAIRS, len(usable))).round().astype(int).tolist()))
    found = [ratios for place in picked if len(ratios := _ratios(layout, usable[place]))]
    ratio = np.concatenate(found) if found else np.zeros(0)
    if len(ratio) < LEAST_CORNERS:
        return []
    middle = float(np.median(ratio))
    same_side = float(np.mean(ratio > 1 if middle > 1 else ratio < 1))
    if max(middle, 1 / max(middle, 1e-9)) < _OFF or same_side < _ALIKE:
        return []
    return [
        f"{usable[picked[0]].disparity}: the disparity that came with the set is {middle:.3g} times that of corners "
        f"followed from left to right ({len(ratio)} corners of {len(found)} pairs); say what the files hold: "
        "disparity_codec in calibration.json"
    ]


def _ratios(layout: Layout, frame: Frame) -> npt.NDArray[np.float64]:
    """Own over followed disparity, both from infinity on, at each corner that has both; none for a faulty frame."""
    assert frame.right is not None
    try:
        left, right = read_image(frame.left, frame.reading), read_image(frame.right, frame.reading)
        disparity, valid = layout.read_disparity(frame)
        camera = layout.camera(frame, (left.shape[1], left.shape[0]))
    except InputError:
        return np.zeros(0)  # its frame will say so
    if left.shape != right.shape or disparity.shape != left.shape[:2]:
        return np.zeros(0)
    place, followed = corner_disparities(left, right, camera.doffs_px)
    return _at_corners(disparity, valid, place, followed, camera.doffs_px)


def _at_corners(
    disparity: Float32, valid: npt.NDArray[np.bool_], place: Float32, followed: Float32, doffs_px: float
) -> npt.NDArray[np.float64]:
    height, width = disparity.shape
    x = np.clip(np.rint(place[:, 0]).astype(np.intp), 0, width - 1)
    y = np.clip(np.rint(place[:, 1]).astype(np.intp), 0, height - 1)
    own = disparity[y, x] + doffs_px
    kept = valid[y, x] & (followed > _LEAST_PX) & (own > 0)
    return np.asarray(own[kept], np.float64) / followed[kept]
