from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from preprocessing.disparity import (
    CleanSettings,
    Match,
    clean,
    clip,
    inpaint,
    left_right_check,
    median,
    read_disparity,
    remove_speckles,
    write_disparity,
)
from preprocessing.errors import InputError
from preprocessing.files import read_grey_or_index, write_png

NO_CLEANING = CleanSettings(left_right_px=None, speckle_ppm=0, inpaint="off", median=0)


def full(shape: tuple[int, int], value: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full(shape, value, dtype=np.float32), np.ones(shape, dtype=bool)


def test_codec_by_hand(tmp_path: Path) -> None:
    """p = 0 invalid; 1 is d = 0, a valid match at infinity; 257 is 1 px; 65535 is 65534 / 256 px."""
    stored = np.array([[0, 1, 257], [2, 65535, 0]], dtype=np.uint16)
    write_png(tmp_path / "d.png", stored)
    disparity, valid = read_disparity(tmp_path / "d.png")
    assert disparity.tolist() == [[0.0, 0.0, 1.0], [1 / 256, 65534 / 256, 0.0]]
    assert valid.tolist() == [[False, True, True], [True, True, False]]
    write_disparity(tmp_path / "again.png", disparity, valid)
    assert read_grey_or_index(tmp_path / "again.png").tolist() == stored.tolist()


@given(hnp.arrays(np.uint16, (3, 5)))
def test_codec_keeps_every_stored_value(tmp_path_factory: pytest.TempPathFactory, stored: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("codec") / "d.png"
    write_png(path, stored)
    write_disparity(path, *read_disparity(path))
    assert (read_grey_or_index(path) == stored).all()


@pytest.mark.parametrize("bad", [-0.1, 256.0, np.nan])
def test_what_the_codec_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path, bad: float) -> None:
    disparity, valid = full((2, 3), 1.0)
    disparity[1, 2] = bad
    with pytest.raises(ValueError, match="disparity must be within"):
        write_disparity(tmp_path / "d.png", disparity, valid)
    assert list(tmp_path.iterdir()) == []
    valid[1, 2] = False  # where invalid, the value does not matter
    write_disparity(tmp_path / "d.png", disparity, valid)


def test_an_eight_bit_file_is_no_disparity(tmp_path: Path) -> None:
    write_png(tmp_path / "d.png", np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"d\.png.*16 bits"):
        read_disparity(tmp_path / "d.png")


def test_clip() -> None:
    disparity = np.array([[1.0, 2.0, 5.0, 9.0]], dtype=np.float32)
    valid = np.array([[True, True, False, True]])
    assert clip(disparity, valid, 2.0, 8.0).tolist() == [[False, True, False, False]]


def test_left_right_check_by_hand() -> None:
    """Left pixels 3 and 4 point with d = 2 to right pixels 1 and 2; 1 points back (2), 2 does not (5).

    Left pixel 1 points to -1, outside; left pixel 2 points to 0, which is invalid in the right map.
    """
    disparity, valid = full((1, 5), 2.0)
    valid[0, 0] = False
    right = np.array([[2.0, 2.0, 5.0, 2.0, 2.0]], dtype=np.float32)
    right_valid = np.array([[False, True, True, True, True]])
    match = Match(disparity, valid, right, right_valid)
    assert left_right_check(match, 1.0).tolist() == [[False, False, False, True, False]]
    assert left_right_check(match, 3.0).tolist() == [[False, False, False, True, True]]
    assert left_right_check(Match(disparity, valid), 1.0).tolist() == valid.tolist()


def test_speckles_go_and_large_islands_stay() -> None:
    disparity, valid = full((9, 14), 10.0)
    disparity[2:4, 3:6] = 40.0  # 6 px
    kept = remove_speckles(disparity, valid, size_px=6)
    assert (~kept).nonzero()[0].tolist() == [2, 2, 2, 3, 3, 3]
    assert remove_speckles(disparity, valid, size_px=5).all()
    valid[2:4, 3:6] = False
    assert (remove_speckles(disparity, valid, 6) == valid).all()


@pytest.mark.parametrize("method", ["telea", "background"])
def test_inpaint_fills_small_holes_only(method: str) -> None:
    disparity, valid = full((12, 20), 7.0)
    valid[2:4, 3:5] = False  # 4 px
    valid[6:11, 10:16] = False  # 30 px
    disparity[~valid] = 0
    filled, filled_valid = inpaint(disparity, valid, 4, method)  # type: ignore[arg-type]
    assert filled[2:4, 3:5] == pytest.approx(7.0)
    assert filled_valid[2:4, 3:5].all()
    assert not filled_valid[6:11, 10:16].any()
    assert filled_valid.sum() == 12 * 20 - 30


def test_background_takes_the_farther_side() -> None:
    disparity = np.array([[30, 30, 0, 0, 5, 5, 5]], dtype=np.float32).repeat(3, axis=0)
    valid = disparity > 0
    filled, _ = inpaint(disparity, valid, 10, "background")
    assert filled[1].tolist() == [30, 30, 5, 5, 5, 5, 5]


@given(st.integers(0, 10_000))
def test_telea_never_leaves_the_range_of_what_is_around(seed: int) -> None:
    """Its extrapolation can shoot below 0, which no codec holds: seen on a real pair."""
    rng = np.random.default_rng(seed)
    disparity = rng.uniform(0.1, 60, (14, 23)).astype(np.float32)
    valid = rng.random((14, 23)) > 0.3
    disparity[~valid] = 0
    filled, filled_valid = inpaint(disparity, valid, 12, "telea")
    assert filled[filled_valid].min() >= 0
    assert filled[filled_valid].max() <= disparity.max()
    assert (filled[valid] == disparity[valid]).all()


def test_median_removes_a_spike_but_lets_no_hole_leak() -> None:
    disparity, valid = full((9, 12), 20.0)
    disparity[4, 3] = 50.0
    valid[:, 8:] = False
    disparity[:, 8:] = 0
    smooth = median(disparity, valid, 3)
    assert smooth[4, 3] == 20.0
    assert (smooth[:, :8] == 20.0).all()


def test_clean_settings_each_do_their_own() -> None:
    disparity, valid = full((10, 20), 6.0)
    disparity[0, 0] = 90.0
    match = Match(disparity, valid)
    same, same_valid = clean(match, NO_CLEANING)
    assert (same == disparity).all()
    assert same_valid.all()
    clipped, clipped_valid = clean(match, CleanSettings(clip_px=(0, 64), speckle_ppm=0, median=0))
    assert not clipped_valid[0, 0]
    assert clipped[0, 0] == 0
    assert clipped_valid.sum() == 199
    # One pixel of 200 is 5000 ppm.
    assert not clean(match, CleanSettings(speckle_ppm=5000, median=0))[1][0, 0]
    assert clean(match, CleanSettings(speckle_ppm=2000, median=0))[1][0, 0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clip_px", (5.0, 1.0)),
        ("clip_px", (0.0, 300.0)),
        ("left_right_px", 0.0),
        ("inpaint", "magic"),
        ("median", 4),
        ("speckle_ppm", -1.0),
        ("speckle_ppm", np.nan),
        ("max_hole_ppm", -1.0),
        ("max_hole_ppm", np.inf),
        ("left_right_px", np.nan),
    ],
)
def test_impossible_settings_name_the_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{key}: "):
        CleanSettings(**{key: value})  # type: ignore[arg-type]
