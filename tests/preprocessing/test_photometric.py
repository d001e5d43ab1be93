"""Quality without truth: the right disparity explains the images, a wrong one does not, exposure matters little."""

import numpy as np
import pytest
from random_dots import BOX, FAR_PX, NEAR_PX, dot_pair, true_disparity

from preprocessing.quality.metrics import PhotometricSums
from preprocessing.quality.photometric import compare, correlation, error_map, left_right, warp

EVERYWHERE = np.ones(true_disparity().shape, dtype=bool)


def unexplained(sums: PhotometricSums) -> float:
    return 1 - sums.explained / sums.textured


def test_warp_samples_the_right_image_left_of_the_pixel() -> None:
    """Right row 0 10 20 30 40 and d = 1.5: pixel 3 looks at 1.5, which is 15; pixels 0 and 1 look outside."""
    right = np.array([[0, 10, 20, 30, 40], [0, 0, 0, 0, 0]], dtype=np.float32)
    disparity = np.full(right.shape, 1.5, dtype=np.float32)
    warped, inside = warp(right, disparity, np.array([[True] * 4 + [False]] * 2))
    np.testing.assert_array_equal(inside[0], [False, False, True, True, False])
    np.testing.assert_allclose(warped[0, 2:4], [5, 15], atol=0.2)  # OpenCV interpolates in steps of 1/32 px


def test_error_is_zero_where_the_disparity_is_right() -> None:
    """Whole pixels need no interpolation. Left of the box 6 columns of the wall are hidden behind it."""
    error, inside = error_map(*dot_pair(), true_disparity(), EVERYWHERE)
    hidden = np.zeros_like(inside)
    hidden[BOX[0], BOX[1].start - (NEAR_PX - FAR_PX) : BOX[1].start] = True
    assert error[inside & ~hidden].max() == 0
    assert error[hidden].mean() > 40
    assert not inside[:, :FAR_PX].any()


def test_the_true_disparity_beats_a_wrong_one() -> None:
    right = compare(*dot_pair(), true_disparity(), EVERYWHERE)
    wrong = compare(*dot_pair(), true_disparity() + 3, EVERYWHERE)
    assert right.error_grey / right.pixels < 3 < 60 < wrong.error_grey / wrong.pixels
    assert unexplained(right) < 0.08 < 0.9 < unexplained(wrong)
    # The scale that stands beside it is as bad as any wrong disparity.
    assert right.shifted_grey / right.pixels > 60
    assert right.shifted_explained / right.textured < 0.05


def test_a_hole_is_left_unexplained() -> None:
    """Half of the image without a disparity leaves about half of it unexplained, and no error there."""
    valid = EVERYWHERE.copy()
    valid[:, :88] = False
    sums = compare(*dot_pair(), true_disparity(), valid)
    assert unexplained(sums) == pytest.approx(0.5, abs=0.05)
    assert sums.pixels <= valid.sum()
    assert sums.explained <= valid.sum()


def test_exposure_changes_the_error_but_not_what_is_explained() -> None:
    left, right = dot_pair()
    darker = (right * 0.5 + 20).astype(np.uint8)
    same, other = (compare(left, image, true_disparity(), EVERYWHERE) for image in (right, darker))
    assert other.error_grey > 5 * same.error_grey
    assert unexplained(other) == pytest.approx(unexplained(same), abs=0.01)


def test_without_texture_nothing_is_claimed() -> None:
    flat = np.full((*EVERYWHERE.shape, 3), 128, dtype=np.uint8)
    sums = compare(flat, flat, true_disparity(), EVERYWHERE)
    assert (sums.textured, sums.explained, sums.shifted_explained, sums.error_grey) == (0, 0, 0, 0)


def test_correlation_leaves_invalid_pixels_out_and_has_its_bounds() -> None:
    rng = np.random.default_rng(1)
    one = rng.uniform(0, 255, (30, 44)).astype(np.float32)
    spoilt, valid = one.copy(), np.ones(one.shape, dtype=bool)
    spoilt[10:20, 15:18], valid[10:20, 15:18] = 9e3, False
    np.testing.assert_allclose(correlation(one, 0.4 * spoilt + 7, valid), 1, atol=1e-3)
    np.testing.assert_allclose(correlation(one, -one, np.ones_like(valid)), -1, atol=1e-3)
    assert (correlation(one, np.full_like(one, 3), valid) == 0).all()


def test_the_left_right_check_confirms_the_truth_and_rejects_what_is_wrong() -> None:
    """The box is taken for filled and 5 px off: it fails; the wall, matched and right, passes."""
    disparity, matched = true_disparity(), EVERYWHERE.copy()
    disparity[BOX] += 5
    matched[BOX] = False
    sums = left_right(*dot_pair(), disparity, EVERYWHERE, matched)
    assert (sums.matched, sums.filled) == (matched.sum(), (~matched).sum())
    assert sums.matched_consistent / sums.matched > 0.85
    assert sums.filled_consistent / sums.filled < 0.05


def test_the_left_right_check_searches_as_far_as_the_disparity_reaches() -> None:
    """The default range of 176 px wide images ends at 32 px; here everything is 41 px away."""
    rng = np.random.default_rng(2)
    wall = np.repeat(rng.integers(0, 256, (60, 176 + 41, 1), dtype=np.uint8), 3, axis=2)
    disparity = np.full((60, 176), 41, dtype=np.float32)
    seen = np.ones(disparity.shape, dtype=bool)
    seen[:, :50] = False
    sums = left_right(wall[:, :176], wall[:, 41:], disparity, seen, seen)
    assert sums.matched_consistent / sums.matched > 0.9
