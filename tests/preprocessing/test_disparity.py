from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from preprocessing.ground.disparity import read_disparity, write_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, write_png
from preprocessing.stereo.cleaning import AS_GIVEN, CleanSettings, Match, clean, clip, left_right_check, remove_speckles
from preprocessing.stereo.filling import Regions

NO_CLEANING = CleanSettings(left_right_px=None, speckle_ppm=0, sky="off", median=0, smooth_px=0)


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


def test_clean_settings_each_do_their_own() -> None:
    disparity, valid = full((10, 20), 6.0)
    disparity[0, 0] = 90.0
    match = Match(disparity, valid)
    same = clean(match, NO_CLEANING)
    assert (same.disparity == disparity).all()
    assert same.valid.all()
    clipped = clean(match, replace(NO_CLEANING, clip_px=(0, 64)))
    assert not clipped.valid[0, 0]
    assert clipped.disparity[0, 0] == clipped.confidence[0, 0] == 0
    assert clipped.valid.sum() == 199
    # One pixel of 200 is 5000 ppm.
    assert not clean(match, replace(NO_CLEANING, speckle_ppm=5000)).valid[0, 0]
    assert clean(match, replace(NO_CLEANING, speckle_ppm=2000)).valid[0, 0]
    median = clean(match, replace(NO_CLEANING, median=3))
    assert (median.disparity == 6).all()
    rows = clean(match, replace(NO_CLEANING, ego_rows=0.2))
    assert rows.valid[:8].all()
    assert not rows.valid[8:].any()


def test_smoothing_mixes_neighbours_but_not_across_a_jump() -> None:
    rng = np.random.default_rng(0)
    disparity, valid = full((30, 44), 10.0)
    disparity[:, 20:] = 14.0
    noisy = (disparity + rng.normal(0, 0.1, disparity.shape)).astype(np.float32)
    smooth = clean(Match(noisy, valid), replace(NO_CLEANING, smooth_px=1.0)).disparity
    assert np.abs(smooth - disparity).std() < 0.5 * np.abs(noisy - disparity).std()
    assert np.abs(smooth - disparity).max() < 0.5


def _holey() -> tuple[Match, Regions]:
    """A far and a near half with holes at the jump, in the flat, at the left border and in the sky."""
    disparity, valid = full((40, 60), 8.0)
    disparity[:, 30:] = 20.0
    valid[10:30, 24:30] = False
    valid[20:, :4] = False
    valid[:6, 40:] = False
    valid[14:16, 10:13] = False
    regions = Regions(np.zeros((40, 60), dtype=bool), np.zeros((40, 60), dtype=bool))
    regions.sky[:8, 35:] = True
    regions.ignored[36:, 50:] = True
    return Match(np.where(valid, disparity, 0).astype(np.float32), valid), regions


@pytest.mark.parametrize("fill", ["off", "confident", "all"])
def test_fill_leaves_matches_and_regions_alone(fill: str) -> None:
    match, regions = _holey()
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    settings = CleanSettings(left_right_px=None, fill=fill)  # type: ignore[arg-type]
    cleaned = clean(match, settings, image, regions)
    out = regions.sky | regions.ignored
    assert (cleaned.matched == (match.valid & ~out)).all()
    assert not cleaned.valid[out].any()
    assert not cleaned.disparity[~cleaned.valid].any()
    assert not cleaned.confidence[~cleaned.valid].any()
    assert (cleaned.matched <= cleaned.valid).all()
    assert cleaned.disparity[cleaned.matched] == pytest.approx(match.disparity[cleaned.matched], abs=0.01)
    assert (cleaned.confidence[cleaned.matched] >= 0.5).all()
    filled = cleaned.valid & ~cleaned.matched
    assert ((cleaned.confidence[filled] > 0) & (cleaned.confidence[filled] < 0.5)).all()
    assert cleaned.disparity[filled] == pytest.approx(8.0)  # the far side
    assert filled.sum() == {"off": 0, "all": (~out & ~match.valid).sum()}.get(fill, filled.sum())
    if fill == "confident":
        assert 0 < filled.sum() < (~out & ~match.valid).sum()


def test_matches_do_not_depend_on_the_filling() -> None:
    rng = np.random.default_rng(3)
    valid = rng.random((30, 41)) < 0.7
    match = Match(np.where(valid, rng.uniform(5, 50, valid.shape), 0).astype(np.float32), valid)
    off, everything = (
        clean(match, CleanSettings(left_right_px=None, speckle_ppm=0, fill=fill))  # type: ignore[arg-type]
        for fill in ("off", "all")
    )
    assert (off.disparity[off.matched] == everything.disparity[off.matched]).all()
    assert (off.confidence[off.matched] == everything.confidence[off.matched]).all()
    assert everything.valid.all()


@given(st.integers(0, 10_000))
def test_cleaning_never_leaves_the_range_of_what_came(seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = rng.random((14, 23)) < rng.uniform(0.2, 1)
    disparity = np.where(valid, rng.uniform(0.5, 60, valid.shape), 0).astype(np.float32)
    cleaned = clean(Match(disparity, valid), CleanSettings(speckle_ppm=0, fill="all"))
    assert cleaned.valid.all() == valid.any()
    if valid.any():
        assert cleaned.disparity.min() >= disparity[valid].min() - 1e-3
        assert cleaned.disparity.max() <= disparity[valid].max() + 1e-3


@pytest.mark.parametrize("fill", ["off", "confident", "all"])
def test_a_match_without_answers_stays_empty(fill: str) -> None:
    disparity, valid = full((12, 19), 3.0)
    valid[:] = False
    cleaned = clean(Match(disparity, valid), CleanSettings(fill=fill), np.zeros((12, 19, 3), np.uint8))  # type: ignore[arg-type]
    assert not cleaned.valid.any()
    assert not cleaned.disparity.any()
    assert not cleaned.confidence.any()


def test_the_sky_is_guessed_only_without_labels_and_only_where_asked() -> None:
    disparity, valid = full((60, 90), 20.0)
    disparity[:30] = 0.1
    image = np.random.default_rng(0).integers(0, 120, (60, 90, 3), dtype=np.uint8)
    image[:30] = 230
    no_sky = Regions(np.zeros((60, 90), dtype=bool), np.zeros((60, 90), dtype=bool))
    match = Match(disparity, valid)

    def sky_of(settings: CleanSettings, regions: Regions | None) -> bool:
        return not clean(match, settings, image, regions).valid[:28].any()

    assert sky_of(NO_CLEANING, None) is False
    assert sky_of(replace(NO_CLEANING, sky="guess"), None) is True
    assert sky_of(replace(NO_CLEANING, sky="guess"), no_sky) is False
    assert sky_of(replace(NO_CLEANING, sky="labels"), None) is False


def test_what_came_with_the_set_stays_as_it_came() -> None:
    match, regions = _holey()
    cleaned = clean(match, AS_GIVEN, np.full((40, 60, 3), 230, np.uint8), regions)
    assert (cleaned.disparity[cleaned.matched] == match.disparity[cleaned.matched]).all()
    assert (cleaned.valid == (match.valid & ~regions.sky & ~regions.ignored)).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clip_px", (5.0, 1.0)),
        ("clip_px", (0.0, 300.0)),
        ("left_right_px", 0.0),
        ("left_right_px", np.nan),
        ("speckle_ppm", -1.0),
        ("speckle_ppm", np.nan),
        ("sky", "blue"),
        ("ego_rows", 1.0),
        ("ego_rows", np.nan),
        ("fill", "magic"),
        ("least_confidence", 1.5),
        ("median", 4),
        ("smooth_px", -1.0),
        ("smooth_px", np.nan),
    ],
)
def test_impossible_settings_name_the_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{key}: "):
        CleanSettings(**{key: value})  # type: ignore[arg-type]
