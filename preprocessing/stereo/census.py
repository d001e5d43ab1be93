"""Semi-global matching of census images (Hirschmüller 2008; Zabih and Woodfill 1994) in NumPy and OpenCV.

The cost of a disparity is the Hamming distance of two census words, which no difference of exposure between the
cameras touches. Four paths (left, right, up, down) sum it up. All path costs are bytes, and the pixels of a row lie
next to each other, so that NumPy works on 32 or 64 of them at a time.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground.disparity import Float32

UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
UInt64 = npt.NDArray[np.uint64]
Int32 = npt.NDArray[np.int32]

LARGEST_PRICE = 100
"""The greatest P2: a path cost is at most cost + P2 = 25 + 100, and two of them must fit into a byte."""
_NEAR_WEIGHT, _WIDE_WEIGHT = 0.25, 0.15
"""Share of each of the two census images in the cost: 62 bits each give at most 25."""
_LEAST_PRICE_SHARE = 0.4
_EDGE_LEVELS = 25.0
_STRIP_BYTES = 160_000_000
_OVERLAP = 32
"""Rows that a strip sees beyond its own, so that vertical paths have settled where its own begin."""
_BLOCK_ROWS = 96
_CODE_BITS = 7


def match_census(
    left: UInt8, right: UInt8, disparities: int, block: int, step_price: int, jump_price: int
) -> tuple[Float32, Float32]:
    """Match two grey images [H, W]; return the disparity of the left and of the right pixels, float32 [H, W] px.

    Every pixel gets an answer, those without a partner too: what is worth having is for the left-right check. The
    right map is in whole pixels. Large images go through in strips of rows, which bounds memory to about 0.5 GB.

    Args:
        disparities: Search range [px], up to the width.
        block: Side of the window over which costs are averaged, odd.
        step_price, jump_price: P1 and P2, 0 < P1 < P2 <= `LARGEST_PRICE`.
    """
    height, width = left.shape
    prices = _jump_prices(left, jump_price)
    words = [(census(left, sigma, step), census(right, sigma, step)) for sigma, step in ((0.0, 1), (1.0, 2))]
    found, found_right = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    for inner, outer in _strips(height, max(_OVERLAP, _STRIP_BYTES // (disparities * width))):
        costs = cost_volume([(a[outer], b[outer]) for a, b in words], disparities, block)
        vertical = sum_paths(costs, step_price, prices[1][outer])
        for top in range(inner.start, inner.stop, _BLOCK_ROWS):
            rows = slice(top, min(top + _BLOCK_ROWS, inner.stop))
            part = slice(rows.start - outer.start, rows.stop - outer.start)
            turned = np.ascontiguousarray(prices[0][rows].T)
            horizontal = _turn(sum_paths(_turn(costs[part]), step_price, turned))
            found[rows], found_right[rows] = _best(vertical[part], horizontal)
    return found, found_right


def _strips(height: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """Yield (a strip's own rows, the same with overlap), of equal size as near as can be."""
    count = -(-height // rows)
    for index in range(count):
        start, stop = height * index // count, height * (index + 1) // count
        yield slice(start, stop), slice(max(0, start - _OVERLAP), min(height, stop + _OVERLAP))


def census(grey: UInt8, sigma: float = 0.0, step: int = 1) -> UInt64:
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


def cost_volume(words: list[tuple[UInt64, UInt64]], disparities: int, block: int) -> UInt8:
    """Return uint8 [H, disparities, W], 0..25: the weighted Hamming distances, averaged over block x block.

    Args:
        words: Census words [H, W] of the left and the right image, near and wide.
    """
    (near, near_right), (wide, wide_right) = words
    height, width = near.shape
    volume = np.empty((height, disparities, width), np.uint8)
    for d in range(disparities):
        close = np.bitwise_count(near[:, d:] ^ near_right[:, : width - d])
        broad = np.bitwise_count(wide[:, d:] ^ wide_right[:, : width - d])
        # Four times too large until the mean is taken, or rounding would eat the small differences.
        cost = cv2.addWeighted(close, 4 * _NEAR_WEIGHT, broad, 4 * _WIDE_WEIGHT, 0)
        if block > 1:
            cost = cv2.blur(cost, (block, block))
        np.right_shift(cost + np.uint8(2), 2, out=volume[:, d, d:])
        volume[:, d, :d] = volume[:, d, d : d + 1]  # no partner in the image: as next to it
    return volume


def _jump_prices(grey: UInt8, jump_price: int) -> tuple[UInt8, UInt8]:
    """P2 of horizontal and of vertical paths [H, W]: lower across edges, where depth may jump."""
    slopes = (np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=1)) for dx in (1, 0))
    least = _LEAST_PRICE_SHARE * jump_price
    across, down = (np.maximum(jump_price / (1 + slope / _EDGE_LEVELS), least).astype(np.uint8) for slope in slopes)
    return across, down


def sum_paths(costs: UInt8, step_price: int, jump_prices: UInt8) -> UInt8:
    """Return the path costs along the first axis of [N, D, M], forward plus backward, as uint8 [N, D, M].

    L(i, d) = C(i, d) + min(L(i-1, d), L(i-1, d±1) + P1, min_k L(i-1, k) + P2) - min_k L(i-1, k)
    (Hirschmüller 2008, Eq. 13).

    Args:
        jump_prices: P2 [N, M] of the step from i - 1 to i.
    """
    count = costs.shape[0]
    step = _Step(costs.shape[1:], step_price)
    sums = np.empty_like(costs)
    sums[0] = costs[0]
    for i in range(1, count):
        step.take(costs[i], sums[i - 1], jump_prices[i], sums[i])
    before, after = costs[-1].copy(), np.empty_like(costs[-1])
    sums[-1] += before
    for i in range(count - 2, -1, -1):
        step.take(costs[i], before, jump_prices[i + 1], after)
        sums[i] += after
        before, after = after, before
    return sums


class _Step:
    """One step along all paths, with its scratch memory: fresh arrays would double the time."""

    def __init__(self, shape: tuple[int, ...], step_price: int) -> None:
        self.price = np.uint8(step_price)
        self.scratch = np.empty(shape, np.uint8)
        self.least, self.jump = np.empty(shape[1:], np.uint8), np.empty(shape[1:], np.uint8)

    def take(self, costs: UInt8, before: UInt8, jump_prices: UInt8, after: UInt8) -> None:
        """Set `after` [D, M] from the path costs `before` it."""
        np.minimum.reduce(before, axis=0, out=self.least)
        np.add(self.least, jump_prices, out=self.jump)
        np.minimum(before, self.jump, out=after)
        np.add(before, self.price, out=self.scratch)
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


def _best(vertical: UInt8, horizontal: UInt8) -> tuple[Float32, Float32]:
    """Return the cheapest disparity of the left (with fractions) and of the right pixels, from both sums."""
    height, disparities, width = vertical.shape
    left, right = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    sums = np.empty((disparities, width), np.uint16)
    padded = np.full((disparities, width + disparities), 65535, np.uint16)
    keys = padded[:, :width]
    # Column x of `skewed` holds what the right pixel x would share with the left pixels x + d.
    skewed = np.lib.stride_tricks.as_strided(padded, keys.shape, (padded.strides[0] + 2, 2))
    codes = (np.arange(disparities, dtype=np.uint16) % (1 << _CODE_BITS))[:, None]
    for y in range(height):
        np.add(vertical[y], horizontal[y], out=sums, dtype=np.uint16)
        # Sum and disparity in one number: the least number has the least sum, and names its disparity.
        np.left_shift(sums, _CODE_BITS, out=keys)
        np.bitwise_or(keys, codes, out=keys)
        left[y] = _refine(sums, _least(keys))
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


def _refine(sums: UInt16, winner: Int32) -> Float32:
    """Add the fraction at which two lines of equal slope through the winner and its neighbours meet."""
    inner = winner.clip(1, sums.shape[0] - 2)
    columns = np.arange(sums.shape[1])
    below, here, above = (sums[inner + offset, columns].astype(np.float32) for offset in (-1, 0, 1))
    slope = np.maximum(np.maximum(below - here, above - here), 1)
    fraction = np.where(inner == winner, (below - above) / (2 * slope), 0)
    return (winner + fraction.clip(-0.5, 0.5)).astype(np.float32)
