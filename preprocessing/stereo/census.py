"""Semi-global matching of census images (Hirschmüller 2008; Zabih and Woodfill 1994) in NumPy and OpenCV.

The cost of a disparity is the Hamming distance of two census words, which no difference of exposure between the
cameras touches. Four paths (left, right, up, down) sum it up. All path costs are bytes, and the pixels of a row lie
next to each other, so that NumPy works on 32 or 64 of them at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Camera, Float32, InputError
from preprocessing.stereo.cleaning import Match
from preprocessing.stereo.costs import census_transform, cost_volume
from preprocessing.stereo.search import NEAR_M, Search, check_range, search_for
from preprocessing.stereo.subpixel import with_fraction

UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
UInt64 = npt.NDArray[np.uint64]
Int32 = npt.NDArray[np.int32]

LARGEST_P2 = 100
"""The greatest P2: a path cost is at most cost + P2 = 25 + 100, and two of them must fit into a byte."""
_LEAST_P2_SHARE = 0.4
_EDGE_LEVELS = 25.0
_STRIP_BYTES = 160_000_000
_OVERLAP = 32
"""Rows that a strip sees beyond its own, so that vertical paths have settled where its own begin."""
_BLOCK_ROWS = 96
_CODE_BITS = 7


def check_settings(name: str, disparities: int | None, near_m: float, block: int, p1: int, p2: int) -> None:
    """Raise InputError naming `name` and the key where a semi-global matcher cannot work like this."""
    check_range(name, disparities, near_m)
    if block < 1 or block % 2 == 0:
        raise InputError(f"{name}.block: {block} must be odd and positive")
    if not 0 < p1 < p2:
        raise InputError(f"{name}.p2: {p2} must exceed p1 {p1}, both positive")


@dataclass(frozen=True)
class CensusSettings:
    """Semi-global matching of census images.

    Numbers are means over the two KITTI example pairs after `cleaning.clean`: share of points matched, and D1 of them
    (off by more than 3 px and 5 %). Defaults: 93.4 %, 2.0 %, 0.7 s a pair on one core; once holes are filled, D1 of
    all points is 3.5 %. See docs/stereo.md.

    Attributes:
        disparities: Search range [px], a multiple of 16; None = a tenth of the width, which reaches down to 3 m with
            KITTI's camera and 2.3 m with that of Cityscapes, at any size; more where something nearer is seen.
        near_m: Nearest distance to be measured [m]: the range goes so far where a look at a smaller size sees
            something beyond a tenth of the width.
        block: Side of the window over which costs are averaged [px], odd. 1 has 90.2 % at 1.9 %; 5 has 94.5 % at
            2.2 %, and loses detail.
        p1, p2: Penalties of a change of disparity by one, and by more, between neighbours; p2 at most 100. P1 = 6 has
            93.1 % at 2.3 %, P1 = 25 the same as 13; P2 = 40 has 91.9 % at 2.1 %, and more fine detail.
        check: Give the right image's disparity as well, for the left-right check; it costs nothing.
    """

    name: ClassVar[str] = "census"

    disparities: int | None = None
    block: int = 3
    p1: int = 13
    p2: int = LARGEST_P2
    check: bool = True
    near_m: float = NEAR_M

    def __post_init__(self) -> None:
        check_settings(self.name, self.disparities, self.near_m, self.block, self.p1, self.p2)
        if self.p2 > LARGEST_P2:
            raise InputError(f"census.p2: {self.p2} must be at most {LARGEST_P2}")


DEFAULT_CENSUS = CensusSettings()


def census(left: UInt8, right: UInt8, settings: CensusSettings = DEFAULT_CENSUS, camera: Camera | None = None) -> Match:
    """Match two rectified RGB images [H, W, 3] of one size, both ways where `settings.check` asks for it.

    Grey images come with their channel repeated, as `files.read_image` reads them. `camera`: at this width; without,
    the principal points are taken as aligned, and the range is a tenth of the width.
    """
    height, width = left.shape[:2]
    if width < 16:  # the least search range
        return Match(np.zeros((height, width), np.float32), np.zeros((height, width), bool))
    grey, right_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right))
    search = search_for(grey, right_grey, settings.disparities, settings.near_m, camera)
    steps, right_steps = match_census(grey, right_grey, search, settings.block, settings.p1, settings.p2)
    last, offset = np.float32(search.count - 1.5), np.float32(search.offset_px)
    valid = (steps < last) & search.partners(width, steps)
    if search.too_near is not None:
        valid &= ~search.too_near
    disparity = np.where(valid, steps + offset, np.float32(0))
    if not settings.check:
        return Match(disparity, valid, doffs_px=search.doffs_px)
    left_column = np.arange(width, dtype=np.float32) + right_steps + np.float32(search.first)
    right_valid = (right_steps < last) & (left_column >= 0) & (left_column < width)
    return Match(disparity, valid, right_steps + offset, right_valid, search.doffs_px)


def match_census(left: UInt8, right: UInt8, search: Search, block: int, p1: int, p2: int) -> tuple[Float32, Float32]:
    """Match two grey images [H, W]; return how far beyond `search.first` the left and the right pixels' disparities
    lie, float32 [H, W] px.

    Every pixel gets an answer, those without a partner too: what is worth having is for the left-right check. The
    right map is in whole pixels. Large images go through in strips of rows, which bounds memory to about 0.5 GB.

    Args:
        search: The range, whose count is at most the width.
        block: Side of the window over which costs are averaged, odd.
        p1, p2: P1 and P2 of Hirschmüller 2008, 0 < P1 < P2 <= `LARGEST_P2`.
    """
    height, width = left.shape
    p2_across, p2_down = _p2_of_paths(left, p2)
    words = [
        (census_transform(left, sigma, step), census_transform(right, sigma, step))
        for sigma, step in ((0.0, 1), (1.0, 2))
    ]
    found, found_right = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    for inner, outer in _strips(height, max(_OVERLAP, _STRIP_BYTES // (search.count * width))):
        costs = cost_volume([(a[outer], b[outer]) for a, b in words], search.count, block, search.first)
        vertical = sum_paths(costs, p1, p2_down[outer])
        for top in range(inner.start, inner.stop, _BLOCK_ROWS):
            rows = slice(top, min(top + _BLOCK_ROWS, inner.stop))
            part = slice(rows.start - outer.start, rows.stop - outer.start)
            turned = np.ascontiguousarray(p2_across[rows].T)
            horizontal = _turn(sum_paths(_turn(costs[part]), p1, turned))
            found[rows], found_right[rows] = _best(vertical[part], horizontal, costs[part], search.first)
    return found, found_right


def _strips(height: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """Yield (a strip's own rows, the same with overlap), of equal size as near as can be."""
    count = -(-height // rows)
    for index in range(count):
        start, stop = height * index // count, height * (index + 1) // count
        yield slice(start, stop), slice(max(0, start - _OVERLAP), min(height, stop + _OVERLAP))


def _p2_of_paths(grey: UInt8, p2: int) -> tuple[UInt8, UInt8]:
    """P2 of horizontal and of vertical paths [H, W]: lower across edges, where depth may jump."""
    slopes = (np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=1)) for dx in (1, 0))
    least = _LEAST_P2_SHARE * p2
    across, down = (np.maximum(p2 / (1 + slope / _EDGE_LEVELS), least).astype(np.uint8) for slope in slopes)
    return across, down


def sum_paths(costs: UInt8, p1: int, p2_of_steps: UInt8) -> UInt8:
    """Return the path costs along the first axis of [N, D, M], forward plus backward, as uint8 [N, D, M].

    L(i, d) = C(i, d) + min(L(i-1, d), L(i-1, d±1) + P1, min_k L(i-1, k) + P2) - min_k L(i-1, k)
    (Hirschmüller 2008, Eq. 13).

    Args:
        p2_of_steps: P2 [N, M] of the step from i - 1 to i.
    """
    count = costs.shape[0]
    step = _Step(costs.shape[1:], p1)
    sums = np.empty_like(costs)
    sums[0] = costs[0]
    for i in range(1, count):
        step.take(costs[i], sums[i - 1], p2_of_steps[i], sums[i])
    before, after = costs[-1].copy(), np.empty_like(costs[-1])
    sums[-1] += before
    for i in range(count - 2, -1, -1):
        step.take(costs[i], before, p2_of_steps[i + 1], after)
        sums[i] += after
        before, after = after, before
    return sums


class _Step:
    """One step along all paths, with its scratch memory: fresh arrays would double the time."""

    def __init__(self, shape: tuple[int, ...], p1: int) -> None:
        self.p1 = np.uint8(p1)
        self.scratch = np.empty(shape, np.uint8)
        self.least, self.jump = np.empty(shape[1:], np.uint8), np.empty(shape[1:], np.uint8)

    def take(self, costs: UInt8, before: UInt8, p2_of_steps: UInt8, after: UInt8) -> None:
        """Set `after` [D, M] from the path costs `before` it."""
        np.minimum.reduce(before, axis=0, out=self.least)
        np.add(self.least, p2_of_steps, out=self.jump)
        np.minimum(before, self.jump, out=after)
        np.add(before, self.p1, out=self.scratch)
        np.minimum(after[1:], self.scratch[:-1], out=after[1:])
        np.minimum(after[:-1], self.scratch[1:], out=after[:-1])
        np.subtract(costs, self.least, out=self.scratch)  # may wrap below 0; the sum wraps back
        np.add(after, self.scratch, out=after)


def _turn(volume: UInt8) -> UInt8:
    """[A, D, B] -> [B, D, A]; OpenCV transposes twenty times faster than NumPy copies."""
    rows, disparities, columns = volume.shape
    turned = np.empty((columns, disparities, rows), np.uint8)
    for d in range(disparities):
        turned[:, d] = cv2.transpose(volume[:, d])
    return turned


def _best(vertical: UInt8, horizontal: UInt8, costs: UInt8, first: int) -> tuple[Float32, Float32]:
    """Return the number of the cheapest disparity of the left (with fractions) and of the right pixels, from both sums.

    `costs`: of the windows; all are [H, D, W]. `first`: the disparity of number 0.
    """
    height, disparities, width = vertical.shape
    left, right = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    sums = np.empty((disparities, width), np.uint16)
    lead = max(0, -first)
    padded = np.full((disparities, lead + width + max(0, first) + disparities), 65535, np.uint16)
    keys = padded[:, lead : lead + width]
    # Column x of `skewed` holds what the right pixel x would share with the left pixels x + d.
    skewed = np.lib.stride_tricks.as_strided(padded[:, lead + first :], keys.shape, (padded.strides[0] + 2, 2))
    codes = (np.arange(disparities, dtype=np.uint16) % (1 << _CODE_BITS))[:, None]
    for y in range(height):
        np.add(vertical[y], horizontal[y], out=sums, dtype=np.uint16)
        # Sum and disparity in one number: the least number has the least sum, and names its disparity.
        np.left_shift(sums, _CODE_BITS, out=keys)
        np.bitwise_or(keys, codes, out=keys)
        left[y] = with_fraction(_least(keys), sums, costs[y])
        right[y] = _least(skewed)
    return left, right


def _least(keys: UInt16) -> Int32:
    """Return the disparity with the least key per column of [D, W]; 16 bits name 128 disparities, so in parts."""
    span = 1 << _CODE_BITS
    parts = [np.minimum.reduce(keys[start : start + span], axis=0) for start in range(0, keys.shape[0], span)]
    winner = (parts[0] & (span - 1)).astype(np.int32)
    least = parts[0] >> _CODE_BITS
    for index, part in enumerate(parts[1:], start=1):
        better = (part >> _CODE_BITS) < least
        winner = np.where(better, (part & (span - 1)) + index * span, winner).astype(np.int32)
        least = np.where(better, part >> _CODE_BITS, least)
    return winner
