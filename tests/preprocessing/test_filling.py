import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.stereo.filling import Holes, confidence_of_fills, confidence_of_matches, fill_holes, fill_rows


def _random_map(seed: int, shape: tuple[int, int] = (14, 23)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    valid = rng.random(shape) < rng.uniform(0.05, 0.95)
    return np.where(valid, rng.uniform(0.1, 60, shape), 0).astype(np.float32), valid


def test_holes_by_hand() -> None:
    valid = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]], dtype=bool)
    holes = Holes.of(valid)
    found = list(zip(holes.rows, holes.columns, holes.before, holes.after, strict=True))
    bare = [(1, x, -1, 5) for x in range(5)]
    assert found == [(0, 0, -1, 1), (0, 2, 1, 4), (0, 3, 1, 4), *bare, (2, 4, 3, 5)]


def test_an_occlusion_takes_the_farther_end() -> None:
    disparity = np.array([[30, 30, 0, 0, 5, 5, 5]], dtype=np.float32).repeat(3, axis=0)
    valid = disparity > 0
    assert fill_rows(disparity, valid, Holes.of(valid))[1].tolist() == [30, 30, 5, 5, 5, 5, 5]


def test_ends_that_agree_make_a_slanted_line() -> None:
    """20 and 21 px differ by less than 1.5 px: 20.25, 20.5, 20.75 between them."""
    disparity = np.array([[20, 0, 0, 0, 21, 0]], dtype=np.float32)
    valid = disparity > 0
    filled = fill_rows(disparity, valid, Holes.of(valid))[0]
    assert filled.tolist() == pytest.approx([20, 20.25, 20.5, 20.75, 21, 21])


def test_borders_take_their_one_end_and_bare_rows_the_nearest_row() -> None:
    disparity = np.zeros((6, 5), dtype=np.float32)
    disparity[1, 2], disparity[4, 3] = 8, 3
    valid = disparity > 0
    filled = fill_rows(disparity, valid, Holes.of(valid))
    assert filled[:, 0].tolist() == [8, 8, 8, 3, 3, 3]
    assert (filled == filled[:, :1]).all()


def test_one_bad_end_makes_no_streak() -> None:
    """A ground whose disparity grows downward; in one row the hole's end is off by 20 px."""
    disparity = np.repeat(np.linspace(10, 40, 50, dtype=np.float32)[:, None], 60, axis=1)
    truth = disparity.copy()
    valid = np.ones(disparity.shape, dtype=bool)
    valid[:, :25] = False
    disparity[25, 25] -= 20
    holes = Holes.of(valid)
    assert np.abs(fill_rows(disparity, valid, holes) - truth)[25, :25].min() > 19
    assert np.abs(fill_holes(disparity, valid, holes) - truth)[3:-3, :25].max() < 1.5


@given(st.integers(0, 10_000))
def test_fills_keep_what_is_there_and_stay_within_its_range(seed: int) -> None:
    disparity, valid = _random_map(seed)
    holes = Holes.of(valid)
    for filled in (fill_rows(disparity, valid, holes), fill_holes(disparity, valid, holes)):
        assert (filled[valid] == disparity[valid]).all()
        if valid.any():
            assert filled.min() >= disparity[valid].min() - 1e-4
            assert filled.max() <= disparity[valid].max() + 1e-4


@given(st.integers(0, 10_000))
def test_constant_in_constant_out(seed: int) -> None:
    _, valid = _random_map(seed, (9, 31))
    valid[4, 7] = True
    disparity = np.where(valid, np.float32(17.3), np.float32(0))
    assert fill_holes(disparity, valid, Holes.of(valid)) == pytest.approx(17.3)


def test_nothing_valid_gives_zeros() -> None:
    nothing = np.zeros((5, 8), dtype=bool)
    assert not fill_holes(np.full((5, 8), 9, dtype=np.float32), nothing, Holes.of(nothing)).any()


def test_confidence_falls_at_jumps_and_among_rejected_matches() -> None:
    disparity = np.full((60, 200), 10, dtype=np.float32)
    disparity[:, 120:] = 40
    matched = np.ones(disparity.shape, dtype=bool)
    matched[:, :40:2] = False
    trust = confidence_of_matches(disparity, matched)
    assert trust[30, 80] == trust[30, 170] == 1
    assert trust[30, 119] < 0.8
    assert trust[30, 21] < 0.85
    assert trust.min() >= 0.5


def test_confidence_of_fills_by_hand() -> None:
    """Width 20: a pixel from an end exp(-1); ends that agree count in full, a lone end half of that."""
    disparity = np.full((1, 20), 10, dtype=np.float32)
    valid = np.ones((1, 20), dtype=bool)
    valid[0, [5, 6, 7, 18, 19]] = False
    near, far = 0.5 * np.exp(-1), 0.5 * np.exp(-2)
    trust = confidence_of_fills(disparity, Holes.of(valid))
    assert trust.tolist() == pytest.approx([near, far, near, near / 2, far / 2], rel=1e-5)
    disparity[0, 4] = 10 + 3 + 0.1 * 10  # now they disagree by as much as halves it
    assert confidence_of_fills(disparity, Holes.of(valid))[0] == pytest.approx(near / 2, rel=1e-5)
