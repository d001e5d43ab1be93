"""Sums over pixels to figures: every share is 0..1, other units stand in the keys."""

from typing import Any

import numpy as np

from preprocessing.quality.sums import (
    BANDS_M,
    PX_STEP,
    RELATIVE_STEP,
    DepthSums,
    ErrorSums,
    FrameSums,
    Int64,
    TruthSums,
)


def figures(sums: FrameSums) -> dict[str, Any]:
    """Turn sums into figures, ready for JSON: null where there is no pixel to measure, never NaN."""
    found: dict[str, Any] = {
        "pixels": sums.pixels,
        "depth_share": _ratio(sums.depth, sums.pixels),
        "matched_share": _ratio(sums.matched, sums.pixels),
        "filled_share": _ratio(sums.filled, sums.pixels),
        "truth": {source: _truth_figures(one) for source, one in sorted(sums.truths.items())},
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


def _truth_figures(sums: TruthSums) -> dict[str, Any]:
    without = sums.pixels - sums.valid.count
    return {
        "frames": sums.frames,
        "pixels": sums.pixels,
        "answered_share": _ratio(sums.answered.count, sums.pixels),
        "valid_share": _ratio(sums.valid.count, sums.pixels),
        "answered": _error_figures(sums.answered),
        "valid": _error_figures(sums.valid),
        "all": {"pixels": sums.pixels, "d1_share": _ratio(sums.valid.wrong + without, sums.pixels)},
        "depth_answered": _depth_figures(sums.depth_answered, sums.band_pixels),
        "depth_valid": _depth_figures(sums.depth_valid, sums.band_pixels),
    }


def _error_figures(sums: ErrorSums) -> dict[str, Any]:
    return {
        "pixels": sums.count,
        "epe_mean_px": _ratio(sums.absolute_px, sums.count),
        "epe_median_px": _median(sums.histogram, PX_STEP),
        "d1_share": _ratio(sums.wrong, sums.count),
    }


def _depth_figures(sums: DepthSums, truth_pixels: Int64) -> list[dict[str, Any]]:
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
