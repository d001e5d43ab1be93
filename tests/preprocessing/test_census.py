import itertools

import cv2
import numpy as np
import pytest
from random_dots import dot_pair

from preprocessing.stereo import census as module
from preprocessing.stereo.census import LARGEST_P2, match_census, sum_paths
from preprocessing.stereo.costs import census_transform, cost_volume
from preprocessing.stereo.search import Search


def test_census_by_hand() -> None:
    """One dark pixel: each pixel that has it in its 9 x 7 neighbourhood has one bit set, a bit of its own."""
    grey = np.full((12, 15), 100, dtype=np.uint8)
    grey[5, 7] = 50
    words = census_transform(grey)
    window = words[2:9, 3:12]
    assert np.bitwise_count(window).sum() == 62
    assert np.unique(window[window > 0]).size == 62
    assert words[5, 7] == 0  # nothing is darker than it
    assert np.bitwise_count(words).sum() == 62


def test_a_wide_census_looks_at_every_second_pixel() -> None:
    grey = np.full((20, 30), 100, dtype=np.uint8)
    grey[9, 14] = 50
    words = census_transform(grey, step=2)
    assert words[9, 15] == 0
    assert words[9, 16] != 0
    assert words[9, 22] != 0
    assert words[9, 24] == 0


def test_costs_are_zero_on_the_true_disparity_and_bounded() -> None:
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 256, (24, 70), dtype=np.uint8)
    left, right = np.ascontiguousarray(scene[:, :60]), np.ascontiguousarray(scene[:, 5:65])  # disparity 5
    words = [
        (census_transform(left, sigma, step), census_transform(right, sigma, step))
        for sigma, step in ((0.0, 1), (1.0, 2))
    ]
    volume = cost_volume(words, 16, 3)
    assert volume.shape == (24, 16, 60)
    inner = volume[8:-8, :, 20:-14]
    assert not inner[:, 5].any()
    assert (inner[:, [d for d in range(16) if d != 5]] > 0).mean() > 0.99
    assert volume.max() + LARGEST_P2 <= 127
    # Nothing lies outside the right image: the cost there is that of the nearest column.
    assert (volume[:, 9, :9] == volume[:, 9, 9:10]).all()


def _paths_by_the_formula(costs: np.ndarray, p1: int, p2_of_steps: np.ndarray) -> np.ndarray:
    count, disparities, lanes = costs.shape
    total = np.zeros(costs.shape, dtype=int)
    for lane, order in itertools.product(range(lanes), (range(count), range(count - 1, -1, -1))):
        before: list[int] | None = None
        for at in order:
            now = []
            for d in range(disparities):
                cost = int(costs[at, d, lane])
                if before is not None:
                    jump = int(p2_of_steps[at if order.step > 0 else at + 1, lane])
                    near = [before[k] + p1 for k in (d - 1, d + 1) if 0 <= k < disparities]
                    cost += min(before[d], *near, min(before) + jump) - min(before)
                now.append(cost)
                total[at, d, lane] += cost
            before = now
    return total


def test_path_costs_equal_the_formula() -> None:
    rng = np.random.default_rng(2)
    costs = rng.integers(0, 26, (9, 7, 5), dtype=np.uint8)
    prices = rng.integers(40, LARGEST_P2 + 1, (9, 5), dtype=np.uint8)
    assert (sum_paths(costs, 13, prices) == _paths_by_the_formula(costs, 13, prices)).all()


def test_the_greatest_costs_do_not_overflow() -> None:
    """One disparity is free, all others cost 25 at each step, until changing to it is cheaper: 25 + P2 both ways."""
    costs = np.full((16, 8, 3), 25, dtype=np.uint8)
    costs[:, 0] = 0
    prices = np.full((16, 3), LARGEST_P2, dtype=np.uint8)
    expected = _paths_by_the_formula(costs, LARGEST_P2 - 1, prices)
    assert (sum_paths(costs, LARGEST_P2 - 1, prices) == expected).all()
    assert expected.max() == 2 * (25 + LARGEST_P2)


def test_strips_answer_as_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in dot_pair())
    whole = match_census(left, right, Search(0, 32), 3, 13, 100)
    monkeypatch.setattr(module, "_STRIP_BYTES", 32 * 32 * left.shape[1])
    assert len(list(module._strips(left.shape[0], 32))) == 3
    strips = match_census(left, right, Search(0, 32), 3, 13, 100)
    for a, b in zip(whole, strips, strict=True):
        assert (np.abs(a - b) > 0.5).mean() < 0.01


@pytest.mark.parametrize("disparities", [16, 144, 208])
def test_more_than_128_disparities_are_told_apart(disparities: int) -> None:
    """A pair shifted by 130 px is found if and only if the range reaches that far."""
    rng = np.random.default_rng(3)
    scene = rng.integers(0, 256, (20, 430), dtype=np.uint8)
    shift = 130 if disparities > 130 else 9
    left, right = np.ascontiguousarray(scene[:, :300]), np.ascontiguousarray(scene[:, shift : 300 + shift])
    found, found_right = match_census(left, right, Search(0, disparities), 3, 13, 100)
    assert (np.abs(found[:, shift + 10 : -10] - shift) < 0.5).mean() > 0.98
    assert (np.abs(found_right[:, 10 : -shift - 10] - shift) < 0.5).mean() > 0.98


def test_fractions_follow_a_slanted_wall() -> None:
    """Smooth texture, disparity 6 + x / 40: the mean error is well below the half pixel of whole disparities."""
    rng = np.random.default_rng(4)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (48, 400)).astype(np.float32), (0, 0), 1.2)
    texture = (texture - texture.min()) / np.ptp(texture) * 255
    columns = np.arange(240, dtype=np.float32)
    disparity = 6 + columns / 40
    rows = np.repeat(np.arange(48, dtype=np.float32)[:, None], 240, axis=1)
    # left(x) shows the texture at x, right(x - d) the same: right(u) = texture(x) with u = x - 6 - x / 40.
    behind = np.repeat(((columns + 6) / (1 - 1 / 40))[None], 48, axis=0).astype(np.float32)
    left = texture[:, :240].astype(np.uint8)
    right = cv2.remap(texture, behind, rows, cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    found, _ = match_census(np.ascontiguousarray(left), right, Search(0, 32), 3, 13, 100)
    error = np.abs(found - disparity)[:, 30:-10]
    assert np.median(error) < 0.13
    assert np.median(np.abs(np.rint(found) - disparity)[:, 30:-10]) > 0.2
