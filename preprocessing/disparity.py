"""Disparity maps: the 16-bit PNG codec of Cityscapes, and the cleaning of what a matcher answers.

Every map is float32 [H, W] in px at its own width, with a bool [H, W] that says where it means anything.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.errors import InputError
from preprocessing.files import read_grey_or_index, write_png
from preprocessing.regions import Regions

DISPARITY_SCALE = 256
MAX_STORED_PX = (65535 - 1) / DISPARITY_SCALE
"""The largest disparity that the codec can hold: 255.992 px."""

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Match:
    """What a matcher answers for one pair.

    Attributes:
        disparity: float32 [H, W], px; pixel x of the left image is pixel x - d of the right one.
        valid: bool [H, W].
        right_disparity, right_valid: The same seen from the right image, for the left-right check; None
            where the matcher has none.
    """

    disparity: Float32
    valid: Bool
    right_disparity: Float32 | None = None
    right_valid: Bool | None = None


@dataclass(frozen=True)
class Cleaned:
    """A disparity map that has been checked and, where asked for, filled.

    Attributes:
        disparity: float32 [H, W], px; 0 where not valid.
        valid: bool [H, W]; answered or filled: what training sees.
        matched: bool [H, W]; answered by the matcher and kept by every check; part of `valid`.
        confidence: float32 [H, W], 0..1; 0 where not valid.
    """

    disparity: Float32
    valid: Bool
    matched: Bool
    confidence: Float32


@dataclass(frozen=True)
class CleanSettings:
    """How `clean` treats a match, in this order.

    The defaults were measured against the lidar of KITTI's two example pairs. Matched pixels have a depth
    AbsRel of 0.022 there. Filled ones have 0.063 in holes of up to 40 ppm (0.5 % more pixels), 0.076 up to
    200 ppm and 0.141 in all: so holes are kept and left to the validity mask. Islands: 0.0233 with none
    dropped, 0.0222 at 1000 ppm for 0.8 % fewer pixels; more gains a little and loses small objects. Shares of
    the image mean the same at any size.

    Attributes:
        clip_px: (least, greatest) disparity kept, px at the images' own width; what lies outside becomes
            invalid.
        left_right_px: Greatest disagreement of the left and the right match [px]; None = no check.
        speckle_ppm: Islands of up to so many millionths of the image become invalid; 0 = keep all.
        inpaint: "off" keeps holes; "telea" fills them smoothly from around (cv2.inpaint); "background" with
            the farther of the valid ends of the row, as an occlusion is hidden part of the background.
        max_hole_ppm: Only holes of at most so many millionths of the image are filled.
        median: Side of the median window, 0 = off, else 3 or 5.
    """

    clip_px: tuple[float, float] = (0.0, MAX_STORED_PX)
    left_right_px: float | None = 1.0
    speckle_ppm: float = 1000.0
    inpaint: Literal["off", "telea", "background"] = "off"
    max_hole_ppm: float = 40.0
    median: Literal[0, 3, 5] = 5

    def __post_init__(self) -> None:
        low, high = self.clip_px
        if not 0 <= low < high <= MAX_STORED_PX:
            raise InputError(f"clip_px: {low}..{high} must be ascending within 0..{MAX_STORED_PX:.3f} px")
        if self.left_right_px is not None and not self.left_right_px > 0:
            raise InputError(f"left_right_px: {self.left_right_px} must be positive, or none for no check")
        if self.inpaint not in ("off", "telea", "background"):
            raise InputError(f"inpaint: {self.inpaint!r}; offered: off, telea, background")
        if self.median not in (0, 3, 5):
            raise InputError(f"median: {self.median} must be 0 (off), 3 or 5")
        for name in ("speckle_ppm", "max_hole_ppm"):
            if not 0 <= getattr(self, name) <= 1e6:
                raise InputError(f"{name}: {getattr(self, name)} must be within 0..1000000, millionths of the image")


def read_disparity(path: Path) -> tuple[Float32, Bool]:
    """Read a Cityscapes disparity PNG: p = 0 is invalid, else d = (p - 1) / 256.

    p = 1 is a valid match at d = 0, infinitely far: mask it before dividing (`depth.disparity_to_depth`
    does).

    Raises:
        InputError: Missing, truncated, or not a 16-bit picture of one channel.
    """
    stored = read_grey_or_index(path)
    if stored.dtype != np.uint16:
        raise InputError(f"{path}: a disparity file has 16 bits, this one has {stored.dtype}; take the original PNG")
    valid = stored > 0
    return (np.maximum(stored, 1) - 1).astype(np.float32) / np.float32(DISPARITY_SCALE), valid


def write_disparity(path: Path, disparity: Float32, valid: Bool) -> None:
    """Write disparity [H, W] in px as a 16-bit Cityscapes PNG, p = round(256 d) + 1 and 0 where invalid,
    atomically.

    Raises:
        ValueError: A valid disparity is negative, not finite, or beyond 255.992 px.
    """
    good = disparity[valid]
    if good.size and not (good.min() >= 0 and good.max() <= MAX_STORED_PX):
        raise ValueError(f"disparity must be within 0..{MAX_STORED_PX:.3f} px; it spans {good.min()}..{good.max()}")
    stored = np.zeros(disparity.shape, dtype=np.uint16)
    stored[valid] = np.rint(good.astype(np.float64) * DISPARITY_SCALE).astype(np.uint16) + 1
    write_png(path, stored, {"unit": "px", "scale": str(DISPARITY_SCALE), "offset": "1", "invalid": "0"})


def clip(disparity: Float32, valid: Bool, low: float, high: float) -> Bool:
    """Return `valid` less the pixels outside low..high [px]."""
    return valid & (disparity >= low) & (disparity <= high)


def left_right_check(match: Match, threshold_px: float) -> Bool:
    """Return validity less the pixels whose partner in the right image does not point back within
    `threshold_px`.

    Without a right disparity there is nothing to check against, and validity comes back as it is.
    """
    if match.right_disparity is None or match.right_valid is None:
        return match.valid
    width = match.disparity.shape[1]
    partner = np.rint(np.arange(width, dtype=np.float32) - match.disparity).astype(np.intp)
    inside = (partner >= 0) & (partner < width)
    partner = partner.clip(0, width - 1)
    back = np.take_along_axis(match.right_disparity, partner, axis=1)
    back_valid = np.take_along_axis(match.right_valid, partner, axis=1)
    return match.valid & inside & back_valid & (np.abs(match.disparity - back) <= threshold_px)


def remove_speckles(disparity: Float32, valid: Bool, size_px: int, step_px: float = 1.0) -> Bool:
    """Return `valid` less the islands of at most `size_px` pixels; steps up to `step_px` px join."""
    sixteenths = np.where(valid, np.rint(disparity * 16), -16).astype(np.int16)
    cv2.filterSpeckles(sixteenths, -16, size_px, step_px * 16)
    return valid & (sixteenths >= 0)


def inpaint(
    disparity: Float32, valid: Bool, max_hole_px: int, method: Literal["telea", "background"]
) -> tuple[Float32, Bool]:
    """Fill the holes of at most `max_hole_px` pixels (4-connected) and mark them valid; larger holes stay."""
    _, components, statistics, _ = cv2.connectedComponentsWithStats((~valid).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] <= max_hole_px
    small[0] = False  # component 0 is the valid part
    holes: Bool = small[components]
    if not holes.any() or not valid.any():
        return disparity, valid
    # Larger holes are filled as well, then thrown away: left at 0, they would bleed into the small ones.
    filled = _fill_rows(disparity, valid)
    if method == "telea":
        # Telea's scheme follows slopes and can shoot beyond what is around, below 0 even.
        window = np.ones((7, 7), np.uint8)
        low, high = cv2.erode(filled, window), cv2.dilate(filled, window)
        filled = np.clip(cv2.inpaint(filled, holes.astype(np.uint8), 3, cv2.INPAINT_TELEA), low, high)
    return np.where(holes, filled, disparity).astype(np.float32), valid | holes


def _fill_rows(disparity: Float32, valid: Bool) -> Float32:
    """Give invalid pixels the smaller (farther) of the next valid disparities left and right in the row."""
    width = disparity.shape[1]
    columns = np.arange(width)
    before = np.maximum.accumulate(np.where(valid, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(valid, columns, width)[:, ::-1], axis=1)[:, ::-1]
    left = np.where(before >= 0, np.take_along_axis(disparity, before.clip(0), axis=1), np.inf)
    right = np.where(after < width, np.take_along_axis(disparity, after.clip(max=width - 1), axis=1), np.inf)
    filled = np.minimum(left, right)
    # A row without any valid pixel has no end to take from.
    return np.where(np.isfinite(filled), filled, 0).astype(np.float32)


def median(disparity: Float32, valid: Bool, side: int) -> Float32:
    """Median over wholly valid side x side windows; elsewhere the value stays, so that no hole leaks out."""
    whole = cv2.erode(valid.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=0) > 0
    smooth = cv2.medianBlur(disparity, side)
    return np.where(whole, smooth, disparity).astype(np.float32)


def clean(match: Match, settings: CleanSettings, image: UInt8 | None = None, regions: Regions | None = None) -> Cleaned:
    """Clip, check left against right, drop islands, inpaint, median; disparity is 0 where invalid."""
    valid = clip(match.disparity, match.valid, *settings.clip_px)
    if settings.left_right_px is not None:
        valid &= left_right_check(match, settings.left_right_px)
    disparity = np.where(valid, match.disparity, 0).astype(np.float32)
    speckle_px = round(settings.speckle_ppm * 1e-6 * disparity.size)
    if speckle_px:
        valid = remove_speckles(disparity, valid, speckle_px)
    matched = valid
    hole_px = round(settings.max_hole_ppm * 1e-6 * disparity.size)
    if settings.inpaint != "off" and hole_px:
        disparity, valid = inpaint(disparity, valid, hole_px, settings.inpaint)
    if settings.median:
        disparity = median(disparity, valid, settings.median)
    disparity = np.where(valid, disparity, 0).astype(np.float32)
    return Cleaned(disparity, valid, matched & valid, valid.astype(np.float32))
