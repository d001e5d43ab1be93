"""Filling the holes of a disparity map, and how far each pixel can be trusted.

Most holes of a checked map are occlusions: parts of the background that the right camera does not see. So a hole takes
the farther of the two ends of its row (Hirschmüller 2008, section 2.5.3). Smoothing across the hole guided by the
image (weighted least squares; Min et al. 2014) was measured as well and is worse: it mixes the two.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Int32 = npt.NDArray[np.int32]
Index = npt.NDArray[np.intp]

_AGREE_PX, _AGREE_SHARE = 1.5, 0.04
"""Ends that differ by less than one of these are one surface, seen at a slant."""
_MEDIAN_ROWS = 11


@dataclass(frozen=True)
class _Holes:
    """The N pixels without a value, and the columns of the next valid pixels left (-1 = none) and right (W = none)."""

    rows: Index
    columns: Index
    before: Int32
    after: Int32

    @classmethod
    def of(cls, valid: Bool) -> "_Holes":
        width = valid.shape[1]
        columns = np.arange(width, dtype=np.int32)
        before = np.maximum.accumulate(np.where(valid, columns, np.int32(-1)), axis=1)
        after = np.minimum.accumulate(np.where(valid, columns, np.int32(width))[:, ::-1], axis=1)[:, ::-1]
        rows, holes = np.nonzero(~valid)
        return cls(rows, holes, before[rows, holes], after[rows, holes])

    def ends(self, disparity: Float32) -> tuple[Float32, Float32]:
        """Return the disparities [N] px at the left and the right end, inf where there is none."""
        width = disparity.shape[1]
        left = np.where(self.before >= 0, disparity[self.rows, self.before.clip(0)], np.inf)
        right = np.where(self.after < width, disparity[self.rows, self.after.clip(max=width - 1)], np.inf)
        return left.astype(np.float32), right.astype(np.float32)


def fill_holes(disparity: Float32, valid: Bool) -> Float32:
    """Return [H, W] px with a value at every pixel; valid pixels keep theirs. Nothing valid gives 0 everywhere.

    Between ends that agree a hole is a slanted line, else it takes the farther end; a hole at the border takes the one
    end it has. Then each filled pixel takes the median of its column's neighbourhood, a 25th of the height up and down,
    so that one bad end makes no streak. A row without any valid pixel repeats the nearest that has some.
    """
    kept = np.where(valid, disparity, 0).astype(np.float32)
    if valid.all() or not valid.any():
        return kept
    holes = _Holes.of(valid)
    # The ends are taken from a smoothed map: an end is often the one noisy pixel that passed the checks.
    smooth = cv2.medianBlur(_fill_rows(kept, valid, holes), 5)
    filled = _fill_rows(np.where(valid, smooth, 0).astype(np.float32), valid, holes)
    step = max(1, round(kept.shape[0] / 25 / (_MEDIAN_ROWS // 2)))
    offsets = step * (np.arange(_MEDIAN_ROWS) - _MEDIAN_ROWS // 2)
    last = kept.shape[0] - 1
    around = np.stack([filled[(holes.rows + offset).clip(0, last), holes.columns] for offset in offsets])
    kept[holes.rows, holes.columns] = np.partition(around, _MEDIAN_ROWS // 2, axis=0)[_MEDIAN_ROWS // 2]
    return kept


def _fill_rows(disparity: Float32, valid: Bool, holes: _Holes) -> Float32:
    left, right = holes.ends(disparity)
    filled = np.minimum(left, right)
    two = np.flatnonzero(np.isfinite(np.maximum(left, right)))
    tolerance = np.maximum(_AGREE_PX, _AGREE_SHARE * filled[two])
    slanted = two[np.abs(left[two] - right[two]) <= tolerance]
    before, after = holes.before[slanted], holes.after[slanted]
    share = ((holes.columns[slanted] - before) / (after - before)).astype(np.float32)
    filled[slanted] = left[slanted] + (right[slanted] - left[slanted]) * share
    result = disparity.copy()
    result[holes.rows, holes.columns] = filled
    some = np.flatnonzero(valid.any(axis=1))
    # Half-way between two rows that have something is where the nearest changes.
    return result[some[np.searchsorted((some[1:] + some[:-1]) / 2, np.arange(valid.shape[0]))]]


def confidence(disparity: Float32, matched: Bool) -> Float32:
    """Return 0..1 for each pixel of a filled map [H, W]: 0.5..1 where matched, 0..0.5 where filled.

    A match is doubtful where many around it were rejected, and where depth jumps nearby. A fill is doubtful where the
    ends of its row disagree, and far from them. All windows are shares of the width.
    """
    width = disparity.shape[1]
    density = cv2.blur(matched.astype(np.float32), (max(5, width // 80 | 1),) * 2)
    window = np.ones((max(3, width // 140 | 1),) * 2, np.uint8)
    jump = cv2.dilate(disparity, window) - cv2.erode(disparity, window)
    doubt = (1 - density) + np.minimum(np.float32(0.15) * jump / (3 + np.float32(0.1) * disparity), np.float32(0.5))
    result = (1 - np.float32(0.5) * np.minimum(doubt, 1)).astype(np.float32)
    holes = _Holes.of(matched)
    left, right = holes.ends(disparity)
    two = np.isfinite(np.maximum(left, right))
    gap = np.ones_like(left)  # one end only: as if the other disagreed
    gap[two] = np.abs(left - right)[two] / (3 + np.float32(0.1) * np.minimum(left, right)[two])
    distance = np.minimum(
        np.where(holes.before >= 0, holes.columns - holes.before, width),
        np.where(holes.after < width, holes.after - holes.columns, width),
    )
    trust = 0.5 * np.exp(-20 * distance / width) / (1 + gap)
    result[holes.rows, holes.columns] = np.clip(trust, 0.01, 0.49)
    return result
