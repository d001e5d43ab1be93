"""Sums over pixels that add up over frames, and the metrics of a set from them; no mean of per-image means."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Float32

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
T = TypeVar("T")

BANDS_M = ((0, 10), (10, 20), (20, 40), (40, 80), (0, 30), (0, 80))
"""Bands of true depth, above the first and up to the second figure; the last two overlap the others."""

SOURCES = {"disparity": "the set's own disparity", "lidar": "lidar"}
"""What the kinds of truth are called in print."""

_PX_BINS, PX_STEP = 64 * 64, 1 / 64  # medians are exact to 1/64 px, up to 64 px
_RELATIVE_BINS, RELATIVE_STEP = 2000, 1 / 2000  # and to 0.0005, up to 1


@dataclass(frozen=True)
class ErrorSums:
    """Disparity errors of some pixels: how many, sum [px], how many are wrong as D1 counts, histogram."""

    count: int
    absolute_px: float
    wrong: int
    histogram: Int64


@dataclass(frozen=True)
class DepthSums:
    """Depth errors by band, each [bands]: pixels, sums of |p - g| / g and (p - g)² [m²]; histograms of the former."""

    count: Int64
    relative: Float64
    square_m2: Float64
    histogram: Int64


@dataclass(frozen=True)
class TruthSums:
    """Errors against one kind of truth, over matched pixels and over valid ones, filled ones included."""

    frames: int
    pixels: int
    answered: ErrorSums
    valid: ErrorSums
    band_pixels: Int64
    depth_answered: DepthSums
    depth_valid: DepthSums


@dataclass(frozen=True)
class PhotometricSums:
    """The right image warped to the left by the disparity, and by a wrong one; see `photometric.compare`.

    Attributes:
        frames: Frames with a right image.
        pixels: Pixels with a disparity whose partner lies in the right image, by the wrong disparity too.
        error_grey, shifted_grey: Sums of |left - warped right| over them [grey levels], right and wrong disparity.
        textured: Pixels of the image with texture around them.
        explained, shifted_explained: Those whose surroundings correlate with the warped image.
    """

    frames: int
    pixels: int
    error_grey: float
    shifted_grey: float
    textured: int
    explained: int
    shifted_explained: int


@dataclass(frozen=True)
class LeftRightSums:
    """Left-right consistency: pixels with a disparity, and those that a match of the right image confirms."""

    frames: int
    matched: int
    matched_consistent: int
    filled: int
    filled_consistent: int


@dataclass(frozen=True)
class FrameSums:
    """All sums of one frame, or of many added up with `pooled`.

    Attributes:
        frames, pixels: How many.
        depth, matched, filled: Pixels with a depth, found by the matcher, filled afterwards.
        without_confidence: Frames without a confidence file: all their valid pixels count as matched.
        default_cameras: Frames without a camera file.
        nearer_clip: Frames whose depth was clipped nearer than asked for: truth beyond is left out.
        other_depth: Frames whose depth file another matcher wrote: their depth is worked out from the disparity.
        truths: "disparity" (the set's own) and "lidar", where there are any.
        from_whole_px: Sum over matched pixels of the distance of their disparity from the nearest whole pixel [px].
    """

    frames: int
    pixels: int
    depth: int
    matched: int
    filled: int
    without_confidence: int
    default_cameras: int
    nearer_clip: int
    other_depth: int
    truths: dict[str, TruthSums]
    photometric: PhotometricSums | None
    left_right: LeftRightSums | None
    from_whole_px: float = 0.0


def from_whole(disparity: Float32, where: Bool) -> float:
    """Sum up how far disparities [H, W] lie from the nearest whole pixel [px], over the pixels of `where`.

    Slanted streets have every fraction alike often, which is 0.25 px in the mean; a matcher whose fractions are pulled
    to whole pixels has less.
    """
    values = disparity[where]
    return float(np.abs(values - np.rint(values)).sum(dtype=np.float64))


def pooled(one: T | None, other: T) -> T:
    """Add up two sums of a kind, field by field; what is in one of them only stays."""
    total: T = _added(one, other)
    return total


def _added(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict):
        return {key: _added(one.get(key), other.get(key)) for key in one | other}
    if is_dataclass(one) and not isinstance(one, type):
        return replace(one, **{f.name: _added(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)})
    return one + other


def is_wrong(error_px: Float32, truth_px: Float32) -> Bool:
    """Say which disparities are wrong as KITTI 2015 counts them (D1): off by more than 3 px and more than 5 %."""
    wrong: Bool = (error_px > 3) & (error_px > 0.05 * np.abs(truth_px))
    return wrong


def error_sums(disparity: Float32, truth: Float32, where: Bool) -> ErrorSums:
    """Sum up the errors of disparity [H, W] against the truth, both px, over the pixels of `where`."""
    error, true = np.abs(disparity[where] - truth[where]), truth[where]
    return ErrorSums(
        count=error.size,
        absolute_px=float(error.sum(dtype=np.float64)),
        wrong=int(is_wrong(error, true).sum()),
        histogram=_histogram(error, PX_STEP, _PX_BINS),
    )


def _histogram(values: npt.NDArray[np.floating[Any]], step: float, bins: int) -> Int64:
    index = np.minimum(values / step, bins - 1).astype(np.int64)  # the last bin also holds all beyond it
    return np.bincount(index, minlength=bins).astype(np.int64)


def depth_sums(depth_m: Float32, truth_m: Float32, where: Bool, limit_m: float) -> DepthSums:
    """Sum up the errors of depth [H, W] in metres by band of true depth, up to `limit_m`, over `where`."""
    where = where & (depth_m > 0)
    true = truth_m[where].astype(np.float64)
    error = depth_m[where] - true
    relative = np.abs(error) / true
    inside = [_in_band(true, band, limit_m) for band in BANDS_M]
    return DepthSums(
        count=np.array([band.sum() for band in inside], dtype=np.int64),
        relative=np.array([relative[band].sum() for band in inside]),
        square_m2=np.array([np.square(error[band]).sum() for band in inside]),
        histogram=np.stack([_histogram(relative[band], RELATIVE_STEP, _RELATIVE_BINS) for band in inside]),
    )


def _in_band(depth_m: npt.NDArray[np.floating[Any]], band: tuple[float, float], limit_m: float) -> Bool:
    inside: Bool = (depth_m > max(band[0], 1e-3)) & (depth_m <= min(band[1], limit_m))
    return inside


def band_pixels(truth_m: Float32, limit_m: float) -> Int64:
    """Count the pixels of true depth [H, W] in metres, 0 = none, in each band up to `limit_m`."""
    return np.array([_in_band(truth_m, band, limit_m).sum() for band in BANDS_M], dtype=np.int64)


def metrics_of(sums: FrameSums) -> dict[str, Any]:
    """Turn sums into metrics, ready for JSON: null where there is no pixel to measure, never NaN."""
    found: dict[str, Any] = {
        "pixels": sums.pixels,
        "depth_share": _ratio(sums.depth, sums.pixels),
        "matched_share": _ratio(sums.matched, sums.pixels),
        "filled_share": _ratio(sums.filled, sums.pixels),
        "from_whole_px": _ratio(sums.from_whole_px, sums.matched),
        "truth": {source: _truth_metrics(one) for source, one in sorted(sums.truths.items())},
    }
    if sums.photometric is not None:
        one = sums.photometric
        found["photometric"] = {
            "frames": one.frames,
            "pixels": one.pixels,
            "error_grey_levels": _ratio(one.error_grey, one.pixels),
            "error_of_wrong_disparity_grey_levels": _ratio(one.shifted_grey, one.pixels),
            "error_ratio": _ratio(one.error_grey, one.shifted_grey),
            "textured_pixels": one.textured,
            "unexplained_share": _ratio(one.textured - one.explained, one.textured),
            "unexplained_by_wrong_disparity_share": _ratio(one.textured - one.shifted_explained, one.textured),
        }
    if sums.left_right is not None:
        check = sums.left_right
        found["left_right"] = {
            "frames": check.frames,
            "consistent_share": _ratio(
                check.matched_consistent + check.filled_consistent, check.matched + check.filled
            ),
            "consistent_matched_share": _ratio(check.matched_consistent, check.matched),
            "consistent_filled_share": _ratio(check.filled_consistent, check.filled),
        }
    return found


def _truth_metrics(sums: TruthSums) -> dict[str, Any]:
    without = sums.pixels - sums.valid.count
    return {
        "frames": sums.frames,
        "pixels": sums.pixels,
        "answered_share": _ratio(sums.answered.count, sums.pixels),
        "valid_share": _ratio(sums.valid.count, sums.pixels),
        "answered": _error_metrics(sums.answered),
        "valid": _error_metrics(sums.valid),
        "all": {"pixels": sums.pixels, "d1_share": _ratio(sums.valid.wrong + without, sums.pixels)},
        "depth_answered": _depth_metrics(sums.depth_answered, sums.band_pixels),
        "depth_valid": _depth_metrics(sums.depth_valid, sums.band_pixels),
    }


def _error_metrics(sums: ErrorSums) -> dict[str, Any]:
    return {
        "pixels": sums.count,
        "epe_mean_px": _ratio(sums.absolute_px, sums.count),
        "epe_median_px": _median(sums.histogram, PX_STEP),
        "d1_share": _ratio(sums.wrong, sums.count),
    }


def _depth_metrics(sums: DepthSums, truth_pixels: Int64) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for index, (low, high) in enumerate(BANDS_M):
        count = int(sums.count[index])
        square = _ratio(float(sums.square_m2[index]), count)
        rows.append(
            {
                "from_m": low,
                "to_m": high,
                "truth_pixels": int(truth_pixels[index]),
                "pixels": count,
                "abs_rel": _ratio(float(sums.relative[index]), count),
                "abs_rel_median": _median(sums.histogram[index], RELATIVE_STEP),
                "rmse_m": None if square is None else round(square**0.5, 6),
            }
        )
    return rows


def _ratio(part: float, whole: float) -> float | None:
    return round(float(part / whole), 6) if whole else None


def _median(histogram: Int64, step: float) -> float | None:
    """Find the median of binned values, taken to lie evenly within its bin."""
    cumulative = np.cumsum(histogram)
    if not cumulative[-1]:
        return None
    half = cumulative[-1] / 2
    index = int(np.searchsorted(cumulative, half))
    before = cumulative[index] - histogram[index]
    return round(float((index + (half - before) / histogram[index]) * step), 6)
