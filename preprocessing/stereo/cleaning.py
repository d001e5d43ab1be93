"""The output of a matcher, and its cleaning: checks, filling, smoothing, confidence.

Every map is float32 [H, W] in px at its own width, with a bool [H, W] that says where it means anything.
"""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import MAX_STORED_PX, Bool, Float32, InputError
from preprocessing.stereo.filling import (
    Holes,
    Regions,
    confidence_of_fills,
    confidence_of_matches,
    fill_holes,
    fill_rows,
    guess_sky,
)

MATCHED_FROM = 128
"""Code of the confidence files: 0 = invalid, below this filled, from here on matched."""
CONFIDENCE_CODE = "0 invalid; 1..127 filled; 128..255 matched; rises with confidence"
# Farther from any disparity than any threshold.
_NO_ANSWER = np.float32(-1e6)

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Match:
    """The output of a matcher for one pair.

    Attributes:
        disparity: float32 [H, W], px from infinity on, d + doffs; pixel x of the left image is pixel x - d of the
            right one.
        valid: bool [H, W].
        right_disparity, right_valid: The same seen from the right image, for the left-right check; None
            where the matcher has none.
        doffs_px: What stands between the two, `Camera.doffs_px` at this width.
    """

    disparity: Float32
    valid: Bool
    right_disparity: Float32 | None = None
    right_valid: Bool | None = None
    doffs_px: float = 0.0


@dataclass(frozen=True)
class Cleaned:
    """A disparity map that has been checked and, where asked for, filled.

    Attributes:
        disparity: float32 [H, W], px; 0 where not valid.
        valid: bool [H, W]; matched or filled: the pixels used in training.
        matched: bool [H, W]; found by the matcher and kept by every check; part of `valid`.
        confidence: float32 [H, W], 0..1; 0 where not valid.
        sky: bool [H, W], what labels say or the picture suggests; never valid. None where nobody looked.
    """

    disparity: Float32
    valid: Bool
    matched: Bool
    confidence: Float32
    sky: Bool | None = None


@dataclass(frozen=True)
class CleanSettings:
    """How `clean` treats a match, in this order.

    Metrics are means over the two KITTI example pairs, of the lidar's points; D1 = off by more than 3 px and 5 %.
    docs/stereo.md has them by pair. Shares of the image mean the same at any size.

    Attributes:
        clip_px: (least, greatest) disparity kept, px from infinity on at the images' own width; what lies outside
            becomes invalid.
        left_right_px: Greatest disagreement of the left and the right match [px]; None = no check. At 1, 1.5, 2 and
            None, 91.9, 93.5, 94.7 and 97.0 % are matched at D1 1.9, 2.0, 2.2 and 3.0 %.
        speckle_ppm: Islands of up to so many millionths of the image become invalid; 0 = keep all: 94.2 % at
            D1 2.4 %. More than 600 gains nothing and loses small objects.
        sky: "labels" drops what the class labels call sky; "guess" also guesses it where there are no labels
            (`regions.guess_sky`); "off" keeps it. Sky has no texture: what is matched there is made up.
        ego_rows: Share of the height at the lower border that shows the ego vehicle and becomes invalid.
        fill: "off" keeps holes; "confident" fills those that are at least `least_confidence`; "all" fills
            everything but sky, ego vehicle and what labels call out of the region of interest: D1 3.4 % over
            all points. Filled points alone have 23 %, AbsRel 0.12 against 0.025 of matched ones: so "off" for
            training, where a hole costs nothing.
        least_confidence: The least confidence of a filled pixel with fill "confident"; filled ones reach 0.5.
            At 0.35, 2.6 % more points, with D1 14 % among them.
        median: Side of the median window, 0 = off, else 3 or 5. At 5, D1 falls by 0.06 %.
        smooth_px: Neighbours (5 x 5) that differ by less than about this are mixed (cv2.bilateralFilter); 0 = off.
            At 1, the median error falls by 3 % on KITTI and by 5 to 10 % on generated scenes.
    """

    clip_px: tuple[float, float] = (0.0, MAX_STORED_PX)
    left_right_px: float | None = 1.5
    speckle_ppm: float = 600.0
    sky: Literal["off", "labels", "guess"] = "guess"
    ego_rows: float = 0.0
    fill: Literal["off", "confident", "all"] = "off"
    least_confidence: float = 0.25
    median: Literal[0, 3, 5] = 5
    smooth_px: float = 1.0

    def __post_init__(self) -> None:
        low, high = self.clip_px
        if not 0 <= low < high <= MAX_STORED_PX:
            raise InputError(f"clip_px: {low}..{high} must be ascending within 0..{MAX_STORED_PX:.3f} px")
        if self.left_right_px is not None and not self.left_right_px > 0:
            raise InputError(f"left_right_px: {self.left_right_px} must be positive, or none for no check")
        if not 0 <= self.speckle_ppm <= 1e6:
            raise InputError(f"speckle_ppm: {self.speckle_ppm} must be within 0..1000000, millionths of the image")
        if self.sky not in ("off", "labels", "guess"):
            raise InputError(f"sky: {self.sky!r}; offered: off, labels, guess")
        if not 0 <= self.ego_rows < 1:
            raise InputError(f"ego_rows: {self.ego_rows} must be a share of the height, 0 to below 1")
        if self.fill not in ("off", "confident", "all"):
            raise InputError(f"fill: {self.fill!r}; offered: off, confident, all")
        if not 0 <= self.least_confidence <= 1:
            raise InputError(f"least_confidence: {self.least_confidence} must be within 0..1")
        if self.median not in (0, 3, 5):
            raise InputError(f"median: {self.median} must be 0 (off), 3 or 5")
        if not 0 <= self.smooth_px <= 10:
            raise InputError(f"smooth_px: {self.smooth_px} must be within 0..10 px")


AS_GIVEN = CleanSettings(left_right_px=None, speckle_ppm=0, sky="labels", median=0, smooth_px=0)
"""For the disparity that came with a set: as it is, less what its labels call sky or no part of the scene."""


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
    height, width = match.disparity.shape
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    answers = np.where(match.right_valid, match.right_disparity, _NO_ANSWER)
    partner = cv2.subtract(columns + np.float32(match.doffs_px), match.disparity)
    # Nearest: a mean of two answers is none. Beyond the border there is no partner.
    back = cv2.remap(answers, partner, rows.copy(), cv2.INTER_NEAREST, borderValue=float(_NO_ANSWER))
    return match.valid & (cv2.absdiff(match.disparity, back) <= threshold_px)


def remove_speckles(disparity: Float32, valid: Bool, size_px: int, step_px: float = 1.0) -> Bool:
    """Return `valid` less the islands of at most `size_px` pixels; steps up to `step_px` px join."""
    sixteenths = np.where(valid, np.rint(disparity * 16), -16).astype(np.int16)
    cv2.filterSpeckles(sixteenths, -16, size_px, step_px * 16)
    return valid & (sixteenths >= 0)


def clean(
    match: Match,
    settings: CleanSettings,
    image: UInt8 | None = None,
    regions: Regions | None = None,
    nothing: Bool | None = None,
) -> Cleaned:
    """Check a match, fill its holes where asked for, smooth it, and give each pixel a confidence.

    Args:
        image: The left image, RGB [H, W, 3], by which the sky is guessed where `regions` is None.
        regions: What the labels say.
        nothing: bool [H, W], what of the left image shows no scene (`masks`); it gets no disparity.
    """
    matched = clip(match.disparity, match.valid, *settings.clip_px)
    if settings.left_right_px is not None:
        matched &= left_right_check(match, settings.left_right_px)
    speckle_px = round(settings.speckle_ppm * 1e-6 * matched.size)
    if speckle_px:
        matched = remove_speckles(match.disparity, matched, speckle_px)
    sky = _sky(match, matched, settings, image, regions, nothing)
    left_out = _left_out(settings, regions, matched.shape)
    for part in (sky, nothing):
        if part is not None:
            left_out |= part
    matched &= ~left_out
    return replace(_fill(match.disparity, matched, ~left_out, settings), sky=sky)


def _fill(disparity: Float32, matched: Bool, wanted: Bool, settings: CleanSettings) -> Cleaned:
    holes = Holes.of(matched)
    # Roughly filled, so that no hole leaks into the median of its neighbours.
    smooth = fill_rows(disparity, matched, holes)
    if settings.median:
        smooth = cv2.medianBlur(smooth, settings.median)
    if settings.smooth_px:
        smooth = cv2.bilateralFilter(smooth, 5, settings.smooth_px, 3)
    trust = confidence_of_matches(smooth, matched)
    valid = matched
    if settings.fill != "off" and matched.any():
        # The ends of the holes come from the smooth map: an end is often the one noisy pixel that passed the checks.
        smooth = fill_holes(smooth, matched, holes)
        trust[holes.rows, holes.columns] = confidence_of_fills(smooth, holes)
        least = 0.0 if settings.fill == "all" else settings.least_confidence
        valid = matched | (wanted & (trust >= least))
    nothing = np.float32(0)
    return Cleaned(np.where(valid, smooth, nothing), valid, matched, np.where(valid, trust, nothing))


def _sky(
    match: Match,
    matched: Bool,
    settings: CleanSettings,
    image: UInt8 | None,
    regions: Regions | None,
    nothing: Bool | None,
) -> Bool | None:
    if settings.sky == "off":
        return None
    if regions is not None:
        return regions.sky
    if settings.sky == "guess" and image is not None:
        sky = guess_sky(image, match.disparity, matched, nothing)
        return sky if nothing is None else sky & ~nothing
    return None


def _left_out(settings: CleanSettings, regions: Regions | None, shape: tuple[int, ...]) -> Bool:
    """Return bool [H, W]: what gets no disparity, matched or not."""
    left_out = np.zeros(shape, dtype=bool)
    left_out[shape[0] - round(settings.ego_rows * shape[0]) :] = True
    if regions is not None:
        left_out |= regions.ignored
    return left_out


def store_confidence(cleaned: Cleaned) -> UInt8:
    """Code confidence [H, W] in 8 bits: 0 invalid, 1..127 filled, 128..255 matched, rising with confidence."""
    # Cut off below, so that halves are rounded up.
    coded = np.where(cleaned.matched, MATCHED_FROM + 0.5, 1.5).astype(np.float32)
    coded += np.clip(cleaned.confidence, 0, 1) * np.float32(126)
    return np.where(cleaned.valid, coded, 0).astype(np.uint8)
