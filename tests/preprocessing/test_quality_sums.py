"""Quality metrics on maps of a few pixels, derived by hand."""

from dataclasses import replace

import numpy as np
import pytest

from preprocessing.quality.metrics import (
    BANDS_M,
    FrameSums,
    TruthSums,
    band_pixels,
    depth_sums,
    error_sums,
    from_whole,
    is_wrong,
    metrics_of,
    pooled,
)

TRUTH = np.array([[100, 100, 10, 10, 200]], dtype=np.float32)
FOUND = np.array([[104, 94, 12, 14, 191]], dtype=np.float32)


def row(values: list[float]) -> np.ndarray:
    return np.array([values], dtype=np.float32)


def sums(found: np.ndarray, truth: np.ndarray, answered: np.ndarray, valid: np.ndarray) -> FrameSums:
    """A frame whose depth is 400 / disparity everywhere."""
    known = truth > 0
    depth_m, truth_m = (np.where(d > 0, 400 / np.maximum(d, 1), 0).astype(np.float32) for d in (found * valid, truth))
    one = TruthSums(
        frames=1,
        pixels=int(known.sum()),
        answered=error_sums(found, truth, known & answered),
        valid=error_sums(found, truth, known & valid),
        band_pixels=band_pixels(truth_m, 80),
        depth_answered=depth_sums(depth_m, truth_m, known & answered, 80),
        depth_valid=depth_sums(depth_m, truth_m, known, 80),
    )
    counts = {"depth": int(valid.sum()), "matched": int(answered.sum()), "filled": int((valid & ~answered).sum())}
    noted = dict.fromkeys(("without_confidence", "default_cameras", "nearer_clip", "other_depth"), 0)
    return FrameSums(1, found.size, **counts, **noted, truths={"lidar": one}, photometric=None, left_right=None)


def test_d1_needs_both_conditions() -> None:
    """Off by 4 of 100 (4 %), 6 of 100 (6 %), 2 of 10 (20 %), 4 of 10 (40 %), 9 of 200 (4.5 %): two are wrong."""
    np.testing.assert_array_equal(is_wrong(np.abs(FOUND - TRUTH), TRUTH), [[False, True, False, True, False]])


def test_d1_and_epe_where_answered_where_valid_and_over_all() -> None:
    """Of five pixels three are answered (errors 4, 6, 2), one is filled (4), one has nothing.

    Answered: EPE 12 / 3, D1 1 / 3. Valid: EPE 16 / 4, D1 2 / 4. All: 2 wrong and 1 without, of 5.
    """
    answered = np.array([[True, True, True, False, False]])
    valid = np.array([[True, True, True, True, False]])
    found = metrics_of(sums(FOUND, TRUTH, answered, valid))
    truth = found["truth"]["lidar"]
    assert (found["matched_share"], found["filled_share"], found["depth_share"]) == (0.6, 0.2, 0.8)
    assert truth["answered"]["epe_mean_px"] == pytest.approx(4.0)
    assert truth["answered"]["epe_median_px"] == pytest.approx(4.0, abs=1 / 64)
    assert truth["answered"]["d1_share"] == pytest.approx(1 / 3, abs=1e-6)
    assert truth["valid"]["epe_mean_px"] == pytest.approx(4.0)
    assert truth["valid"]["d1_share"] == pytest.approx(0.5)
    assert truth["all"]["d1_share"] == pytest.approx(0.6)
    assert (truth["answered_share"], truth["valid_share"]) == (0.6, 0.8)


def test_depth_errors_fall_into_the_band_of_the_truth() -> None:
    """True 5, 10, 16, 25, 50 m, found 6, 10, 12, 25, 40 m: the band's upper end belongs to it.

    AbsRel 0..10 m: (0.2 + 0) / 2; 10..20: 0.25; 20..40: 0; 40..80: 0.2; all: 0.65 / 5.
    RMSE 0..10 m: sqrt(1 / 2); 10..20: 4; 40..80: 10; all: sqrt(117 / 5).
    """
    truth, found = row([5, 10, 16, 25, 50]), row([6, 10, 12, 25, 40])
    one = depth_sums(found, truth, truth > 0, 80)
    expected = {(0, 10): (2, 0.1), (10, 20): (1, 0.25), (20, 40): (1, 0.0), (40, 80): (1, 0.2), (0, 80): (5, 0.13)}
    for band, (count, relative) in expected.items():
        index = BANDS_M.index(band)
        assert one.count[index] == count
        assert one.relative[index] / count == pytest.approx(relative)
    assert np.sqrt(one.square_m2[BANDS_M.index((0, 10))] / 2) == pytest.approx(np.sqrt(0.5))
    assert np.sqrt(one.square_m2[BANDS_M.index((0, 80))] / 5) == pytest.approx(np.sqrt(117 / 5))


def test_depth_beyond_the_limit_and_without_an_answer_is_left_out() -> None:
    """Truth 100 m is beyond 80, 60 m beyond a clip at 50, and at 8 m there is no depth."""
    truth, found = row([100, 60, 8, 20]), row([80, 50, 0, 20])
    assert depth_sums(found, truth, truth > 0, 80).count.tolist() == [0, 1, 0, 1, 1, 2]
    assert depth_sums(found, truth, truth > 0, 50).count.tolist() == [0, 1, 0, 0, 1, 1]
    assert band_pixels(truth, 50).tolist() == [1, 1, 0, 0, 2, 2]


def test_frames_are_pooled_by_pixel_not_averaged() -> None:
    """One pixel off by 10 px and three right ones make 2.5 px and a quarter wrong; the mean of means is 5 and 1/2."""
    bad, good = (row([30]), row([20])), (row([20, 20, 20]), row([20, 20, 20]))
    parts = [sums(found, truth, truth > 0, truth > 0) for found, truth in (bad, good)]
    total = pooled(parts[0], parts[1])
    found = metrics_of(total)["truth"]["lidar"]
    assert total.frames == 2
    assert found["valid"]["epe_mean_px"] == pytest.approx(2.5)
    assert found["all"]["d1_share"] == pytest.approx(0.25)
    assert found["depth_valid"][BANDS_M.index((10, 20))]["pixels"] == 4
    assert metrics_of(pooled(parts[1], parts[0])) == metrics_of(total)


def test_distance_from_whole_pixels_by_hand() -> None:
    """4.1, 6.5 and 9.75 px lie 0.1, 0.5 and 0.25 px from a whole one; 3.3 px is not matched. Frames are pooled."""
    found, where = row([4.1, 6.5, 9.75, 3.3]), np.array([[True, True, True, False]])
    assert from_whole(found, where) == pytest.approx(0.85, abs=1e-6)
    one, other = (replace(sums(FOUND, TRUTH, TRUTH > 0, TRUTH > 0), from_whole_px=value) for value in (0.5, 1.5))
    assert metrics_of(pooled(one, other))["from_whole_px"] == pytest.approx(2.0 / (one.matched + other.matched))
    assert metrics_of(replace(one, matched=0))["from_whole_px"] is None


def test_a_truth_that_one_frame_lacks_stays_that_of_the_other() -> None:
    first = sums(FOUND, TRUTH, TRUTH > 0, TRUTH > 0)
    bare = FrameSums(1, 5, 5, 5, 0, 0, 0, 0, 0, truths={}, photometric=None, left_right=None)
    total = pooled(pooled(None, bare), first)
    assert total.pixels == 10
    assert metrics_of(total)["truth"] == metrics_of(first)["truth"]


def test_nothing_to_measure_gives_null_not_nan() -> None:
    """Truth in one pixel, which has no answer: everything but the figure over all is unknown."""
    nothing = np.zeros((1, 1), dtype=bool)
    truth = metrics_of(sums(row([50]), row([20]), nothing, nothing))["truth"]["lidar"]
    assert truth["valid"] == {"pixels": 0, "epe_mean_px": None, "epe_median_px": None, "d1_share": None}
    assert truth["all"]["d1_share"] == 1.0
    assert truth["depth_valid"][-1]["abs_rel"] is None
    assert truth["depth_valid"][-1]["truth_pixels"] == 1


def test_medians_are_of_the_pooled_pixels() -> None:
    rng = np.random.default_rng(0)
    truth = np.full((7, 500), 20, dtype=np.float32)
    found = truth + rng.gamma(2, 1, truth.shape).astype(np.float32)
    parts = [sums(found[i : i + 1], truth[i : i + 1], truth[:1] > 0, truth[:1] > 0) for i in range(7)]
    total: FrameSums | None = None
    for part in parts:
        total = pooled(total, part)
    assert total is not None
    valid = metrics_of(total)["truth"]["lidar"]["valid"]
    assert valid["epe_median_px"] == pytest.approx(np.median(np.abs(found - truth)), abs=1 / 64)
    assert valid["epe_mean_px"] == pytest.approx(np.abs(found - truth).mean(), rel=1e-4)
