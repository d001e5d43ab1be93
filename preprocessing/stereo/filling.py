"""Where a map has no disparity worth having (holes, sky, ego vehicle), filling holes, and confidence per pixel.

Most holes of a checked map are occlusions: parts of the background that the right camera does not see. So a hole takes
the farther of the two ends of its row (Hirschmüller 2008, section 2.5.3). Smoothing across the hole guided by the
image (weighted least squares; Min et al. 2014) was measured as well: no better on KITTI, worse where depth jumps more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Float32

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Index = npt.NDArray[np.intp]

_AGREE_PX, _AGREE_SHARE = 1.5, 0.04
"""Ends that differ by less than one of these are one surface, seen at a slant."""
_MEDIAN_ROWS = 11

_SKY_LEVEL = 80
_SMOOTH_LEVELS = 12
_WARMER_LEVELS = 15
"""The sky is grey or blue: its red exceeds its blue by no more than this."""
_DARKER_LEVELS = 35
"""Darker than the seed at the border by more than this is no sky any more: it leaked into haze."""
_FARTHEST_SHARE = 0.004
_LEAST_SKY_SHARE = 0.001


@dataclass(frozen=True)
class Holes:
    """The N pixels of a map that have no value, and the columns of the next ones in their row that have.

    Attributes:
        rows, columns: Where they are, int [N].
        before, after: Columns of the next valid pixels left (-1 = none) and right (W = none), int [N].
    """

    rows: Index
    columns: Index
    before: Int32
    after: Int32

    @classmethod
    def of(cls, valid: Bool) -> "Holes":
        """Return the holes of a map with this validity, bool [H, W]."""
        height, width = valid.shape
        flat = np.flatnonzero(~valid)
        rows, columns = np.divmod(flat, width)
        filled = np.flatnonzero(valid)
        # The valid pixels lie sorted by row and column: those around a hole are neighbours in that list.
        order = np.cumsum(valid, dtype=np.int32).ravel()[flat]
        padded = np.concatenate([[-1], filled, [height * width]])
        before, after = padded[order] - rows * width, padded[order + 1] - rows * width
        before = np.where(before >= 0, before, -1)
        return cls(rows, columns, before.astype(np.int32), np.minimum(after, width).astype(np.int32))

    def ends(self, disparity: Float32) -> tuple[Float32, Float32]:
        """Return the disparities [N] px at the left and the right end, inf where there is none."""
        width = disparity.shape[1]
        left, right = disparity[self.rows, self.before.clip(0)], disparity[self.rows, self.after.clip(max=width - 1)]
        left[self.before < 0], right[self.after >= width] = np.inf, np.inf
        return left, right


def fill_rows(disparity: Float32, valid: Bool, holes: Holes) -> Float32:
    """Return [H, W] px with each row filled by itself; valid pixels keep theirs. Nothing valid gives 0 everywhere.

    Between ends that agree a hole is a slanted line, else it takes the farther end; a hole at the border takes the one
    end it has. A row without any valid pixel repeats the nearest that has some.
    """
    result = np.where(valid, disparity, np.float32(0))
    if not valid.any():
        return result
    left, right = holes.ends(result)
    filled = np.minimum(left, right)
    with np.errstate(invalid="ignore"):  # inf - inf where a row is bare
        slanted = np.flatnonzero(np.abs(left - right) <= np.maximum(_AGREE_PX, _AGREE_SHARE * filled))
    slanted = slanted[np.isfinite(filled[slanted])]
    before, after = holes.before[slanted], holes.after[slanted]
    share = ((holes.columns[slanted] - before) / (after - before)).astype(np.float32)
    filled[slanted] = left[slanted] + (right[slanted] - left[slanted]) * share
    result[holes.rows, holes.columns] = filled
    some = np.flatnonzero(valid.any(axis=1))
    if some.size == valid.shape[0]:
        return result
    # Half-way between two rows that have something is where the nearest changes.
    return result[some[np.searchsorted((some[1:] + some[:-1]) / 2, np.arange(valid.shape[0]))]]


def fill_holes(disparity: Float32, valid: Bool, holes: Holes) -> Float32:
    """Return [H, W] px with every hole filled, from rows and from what fills the holes above and below.

    Each filled pixel takes the median of its column, up to a 25th of the height up and down, so that one bad end makes
    no streak. Valid pixels keep theirs.
    """
    filled = fill_rows(disparity, valid, holes)
    height = filled.shape[0]
    step = max(1, round(height / 25 / (_MEDIAN_ROWS // 2)))
    offsets = step * (np.arange(_MEDIAN_ROWS) - _MEDIAN_ROWS // 2)
    around = np.stack([filled[(holes.rows + offset).clip(0, height - 1), holes.columns] for offset in offsets])
    result = filled.copy()
    result[holes.rows, holes.columns] = np.partition(around, _MEDIAN_ROWS // 2, axis=0)[_MEDIAN_ROWS // 2]
    return result


def confidence_of_matches(disparity: Float32, matched: Bool) -> Float32:
    """Return 0.5..1 for each pixel of a filled map [H, W] as if it were matched.

    A match is doubtful where many around it were rejected, and where depth jumps nearby. The windows are shares of the
    width: 15 and 9 px at 1242.
    """
    width = disparity.shape[1]
    density = cv2.blur(matched.astype(np.float32), (max(5, width // 80 | 1),) * 2)
    window = np.ones((max(3, width // 140 | 1),) * 2, np.uint8)
    jump = cv2.morphologyEx(disparity, cv2.MORPH_GRADIENT, window)
    doubt = (1 - density) + np.minimum(np.float32(0.15) * jump / (3 + np.float32(0.1) * disparity), np.float32(0.5))
    return (1 - np.float32(0.5) * np.minimum(doubt, 1)).astype(np.float32)


def confidence_of_fills(disparity: Float32, holes: Holes) -> Float32:
    """Return 0.01..0.49 for each hole [N] of a filled map [H, W].

    A fill is doubtful where the ends of its row disagree, where it has but one, and far from them.
    """
    width = disparity.shape[1]
    left, right = holes.ends(disparity)
    gap = np.ones_like(left)
    two = np.isfinite(np.maximum(left, right))
    gap[two] = np.abs(left[two] - right[two]) / (3 + np.float32(0.1) * np.minimum(left, right)[two])
    distance = np.minimum(
        np.where(holes.before >= 0, holes.columns - holes.before, width),
        np.where(holes.after < width, holes.after - holes.columns, width),
    )
    return np.clip(0.5 * np.exp(-20 * distance / width) / (1 + gap), 0.01, 0.49).astype(np.float32)


@dataclass(frozen=True)
class Regions:
    """Parts of the left image that get no disparity.

    Attributes:
        sky: bool [H, W]; infinitely far, no texture.
        ignored: bool [H, W]; the ego vehicle, the border that rectification left.
    """

    sky: Bool
    ignored: Bool


def guess_sky(image: UInt8, disparity: Float32, valid: Bool, nothing: Bool | None = None) -> Bool:
    """Return bool [H, W]: bright, smooth parts of an RGB image [H, W, 3] that reach its upper border and the distance.

    Its upper border is where the scene begins: below what shows none (`nothing`, bool [H, W]) at the upper edge.

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
    # One more row down than `nothing`: there the spread of levels is the picture's own.
    top = np.zeros(width, int) if nothing is None else (nothing.argmin(axis=0) + 2 * nothing[0]).clip(0, len(parts) - 1)
    columns_of_all = np.arange(width)
    first, levels = parts[top, columns_of_all], brightest[top, columns_of_all]
    seeds = {part: float(np.median(levels[first == part])) for part in np.unique(first) if part > 0}
    sky = np.zeros(valid.shape, dtype=np.uint8)
    brightest_sky = 0.0
    for part, level in sorted(seeds.items(), key=lambda seed: -seed[1]):
        left, upper, columns, rows, area = statistics[part]
        box = slice(upper, upper + rows), slice(left, left + columns)
        inside = parts[box] == part
        known = disparity[box][inside & valid[box]]
        far = not known.size or np.percentile(known, 10) <= _FARTHEST_SHARE * width
        # Parts come from bright to dark: no part of one sky is much darker than another.
        if far and area >= _LEAST_SKY_SHARE * valid.size and level >= brightest_sky - 2 * _DARKER_LEVELS:
            brightest_sky = max(brightest_sky, level)
            sky[box] |= inside & (brightest[box] >= level - _DARKER_LEVELS)
    # The spread of levels kept off the rim by one pixel.
    return cv2.dilate(sky, square) > 0
