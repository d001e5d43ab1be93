"""Which disparities a pair is searched for: from infinity on, down to the nearest distance that is to be measured.

Here and in every map of this room a disparity counts from infinity: d + doffs, the parallax that cameras with aligned
principal points would give, so that 0 is infinitely far with any camera and Z = B f / (d + doffs). A matcher compares
pixel x of the left image with pixel x - d of the right one, so it begins at d = -doffs.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import MAX_STORED_PX, Bool, Camera, Float32, InputError

UInt8 = npt.NDArray[np.uint8]

LARGEST_RANGE = int(MAX_STORED_PX) // 16 * 16
"""The widest search range that the disparity files can hold [px]."""
NEAR_M = 2.5
"""Nearest distance that is measured by default [m]; the bonnet hides what is nearer, or the bumper has hit it."""
FAR_PX = 0.5
"""A parallax of less than this is as good as none: it tells the farthest distance that can be measured."""
_LOOK_WIDTH = 260
_LOOK_REACH = 352  # px at full width: beyond the range, what is too near is to be seen as such
# What is so near that the range must grow is large: a foot across at 2.5 m takes more of any picture than this.
_LOOK_PPM = 3000


@dataclass(frozen=True)
class Search:
    """The range of one pair.

    Attributes:
        first: least d [px], -doffs rounded down to a whole number.
        count: how many whole disparities from there on; the last one does not count, since a thing nearer than the
            range ends there too.
        doffs_px: of the camera.
        too_near: bool [H, W] of the left image, what a look at a smaller size finds beyond the range; None = nothing.
    """

    first: int
    count: int
    doffs_px: float = 0.0
    too_near: Bool | None = None

    @property
    def offset_px(self) -> float:
        """What turns a number of the range, 0..count-1, into d + doffs [px]; -1 to 0."""
        return self.first + self.doffs_px

    def partners(self, width: int, steps: Float32) -> Bool:
        """Whether the partner of left pixels lies in the right image; `steps` [H, W]: numbers of the range."""
        most = np.arange(width, dtype=np.float32) - np.float32(self.first)
        inside = steps <= most
        return inside & (steps >= most - np.float32(width - 1)) if self.first < 0 else inside


def search_range(disparities: int | None, width: int) -> int:
    """Return the search range [px]: as given, else a tenth of the width, rounded up to a multiple of 16."""
    return min(-(-width // 160) * 16, LARGEST_RANGE) if disparities is None else disparities


def check_range(name: str, disparities: int | None, near_m: float) -> None:
    """Raise InputError naming `name` and the key of a range that no matcher has."""
    if disparities is not None and not (0 < disparities <= LARGEST_RANGE and disparities % 16 == 0):
        raise InputError(f"{name}.disparities: {disparities} must be a multiple of 16 up to {LARGEST_RANGE}")
    if not 0.05 <= near_m <= 100:
        raise InputError(f"{name}.near_m: {near_m:g} must be within 0.05..100 m")


def widest_range(disparities: int | None, near_m: float, width: int, camera: Camera | None) -> int:
    """Return the range [px] that a pair may get: as given, else down to `near_m` and a tenth of the width at least."""
    least = search_range(disparities, width)
    if disparities is not None or camera is None:
        return least
    # One step more than the distance asks for: the last one does not count.
    wanted = math.ceil((camera.baseline_m * camera.fx_px / near_m + 2) / 16) * 16
    return min(max(least, wanted), LARGEST_RANGE, -(-width // 16) * 16)


def measurable_m(count: int, camera: Camera) -> tuple[float, float]:
    """Return the nearest and the farthest distance [m] that a range of `count` disparities measures."""
    product = camera.baseline_m * camera.fx_px
    return product / max(count - 2, 1), product / FAR_PX


def search_for(left: UInt8, right: UInt8, disparities: int | None, near_m: float, camera: Camera | None) -> Search:
    """Return the range for a pair of grey images [H, W].

    A tenth of the width will do for most. Where a look at about 260 px width sees something nearer than that, the range
    goes down to `near_m`, and to what was seen if that is nearer still. What lies beyond the range all the same is
    told, and gets no disparity: a matcher without the right answer in its range gives a wrong one.

    Args:
        disparities, near_m: Of the matcher's settings.
        camera: At this width; None where nothing is known of it: the principal points are taken as aligned.
    """
    width = left.shape[1]
    doffs = 0.0 if camera is None else camera.doffs_px
    first, count = math.floor(-doffs), search_range(disparities, width)
    if camera is None or width < 2 * count or min(left.shape) < 32:
        return Search(first, min(count, width), doffs)
    seen = _look(left, right, first, count)
    near = seen[seen > count - 3]
    if near.size and disparities is None:
        nearest = math.ceil((float(np.percentile(near, 99)) + 3) / 16) * 16
        wanted = max(nearest, widest_range(None, near_m, width, camera))
        count = max(count, min(wanted, LARGEST_RANGE, width // 16 * 16))
    beyond = seen > count
    return Search(first, min(count, width), doffs, _at_size(beyond, left.shape) if beyond.any() else None)


def _look(left: UInt8, right: UInt8, first: int, count: int) -> Float32:
    """Return at about 260 px width how many full pixels beyond `first` things lie that end the range `count` or lie
    beyond it; 0 elsewhere, and where the look is not sure.
    """
    reduction = max(1, round(left.shape[1] / _LOOK_WIDTH))
    height, width = (side // reduction for side in left.shape)
    one, other = (cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in (left, right))
    least = math.floor(first / reduction)
    reach = -(-min(_LOOK_REACH // reduction, width // 2) // 16) * 16
    bound = 16 * ((count - 3 + first) / reduction - least)
    steps = sgbm_steps(one, other, least, reach, _LOOK)
    near = (steps > bound) & (steps < 16 * (reach - 1))
    size = round(_LOOK_PPM * 1e-6 * near.size)
    if not _islands(near, size).any():
        return np.zeros((height, width), np.float32)
    # Seldom: what looks near must do so from the right as well.
    mirrored = np.ascontiguousarray(other[:, ::-1]), np.ascontiguousarray(one[:, ::-1])
    back = sgbm_steps(*mirrored, least, reach, _LOOK)[:, ::-1]
    columns = np.arange(width) - np.rint(steps / 16).astype(int) - least
    there = np.take_along_axis(back, columns.clip(0, width - 1), axis=1)
    near &= (columns >= 0) & (columns < width) & (np.abs(there - steps) <= 24)
    near = _islands(near, size)
    return np.where(near, (steps / np.float32(16) + least) * reduction - first, 0).astype(np.float32)


def _islands(mask: Bool, size: int) -> Bool:
    """Return the connected parts of more than `size` pixels."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    large = statistics[:, cv2.CC_STAT_AREA] > size
    large[0] = False
    return np.asarray(large[parts], bool)


def _at_size(mask: Bool, shape: tuple[int, ...]) -> Bool:
    # The outline of a small picture's match lies up to a block beside the thing.
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    return cv2.resize(grown, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST) > 0


@dataclass(frozen=True)
class SgbmPrices:
    """What OpenCV's matcher is told; see `sgbm.SgbmSettings`."""

    block: int
    p1: int
    p2: int
    uniqueness: int
    mode: int


_LOOK = SgbmPrices(5, 16, 48, 15, cv2.STEREO_SGBM_MODE_SGBM_3WAY)
# OpenCV's documentation says that a value of 0 or less switches its own left-right check off; it is taken as 1 px, the
# strictest there is. Only a bound that no disparity reaches switches it off.
_NO_CHECK = 1_000_000


def sgbm_steps(left: UInt8, right: UInt8, first: int, count: int, prices: SgbmPrices) -> npt.NDArray[np.int16]:
    """Match grey images [H, W] with OpenCV's semi-global block matching.

    Returns: int16 [H, W], sixteenths of a pixel beyond `first`; negative where there is no answer.
    """
    matcher = cv2.StereoSGBM.create(
        minDisparity=first,
        numDisparities=count,
        blockSize=prices.block,
        P1=prices.p1 * prices.block**2,
        P2=prices.p2 * prices.block**2,
        disp12MaxDiff=_NO_CHECK,  # our own check compares with a match of its own, not with this one's costs
        preFilterCap=63,
        uniquenessRatio=prices.uniqueness,
        speckleWindowSize=0,  # `cleaning.clean` does it after the left-right check
        speckleRange=0,
        mode=prices.mode,
    )
    # SGBM leaves out the columns without a partner for every disparity; padded by that many, it matches all.
    before, after, width = max(first + count, 0), max(-first, 0), left.shape[1]
    padded = [cv2.copyMakeBorder(image, 0, 0, before, after, cv2.BORDER_REPLICATE) for image in (left, right)]
    sixteenths = matcher.compute(*padded)[:, before : before + width]
    return np.asarray(sixteenths - np.int16(16 * first), np.int16)
