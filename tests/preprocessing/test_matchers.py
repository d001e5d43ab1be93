from pathlib import Path

import numpy as np
import pytest
from random_dots import BOX, FAR_PX, NEAR_PX, WIDTH, dot_pair, true_disparity, write_set

from preprocessing.cityscapes import find_frames
from preprocessing.disparity import CleanSettings, clean
from preprocessing.errors import InputError
from preprocessing.files import read_grey_or_index, read_image, write_png
from preprocessing.matchers import MATCHERS, SGBM_MODES, SgbmSettings, find_matcher, sgbm

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.parametrize("mode", list(SGBM_MODES))
def test_known_disparity_of_random_dots(mode: str) -> None:
    left, right = dot_pair()
    match = sgbm(left, right, SgbmSettings(mode=mode))  # type: ignore[arg-type]
    disparity, valid = clean(match, CleanSettings())
    error = np.abs(disparity - true_disparity())[valid]
    assert valid.mean() > 0.85
    assert (error > 1).mean() < 0.02
    assert np.median(disparity[BOX][valid[BOX]]) == pytest.approx(NEAR_PX, abs=0.1)
    assert np.median(disparity[:, 140:][valid[:, 140:]]) == pytest.approx(FAR_PX, abs=0.1)


def test_the_left_strip_is_answered_and_nothing_points_outside() -> None:
    """The search range of 32 px would be left out; only the 4 columns whose partner lies outside may be."""
    left, right = dot_pair()
    settings = SgbmSettings()
    assert settings.range_for(WIDTH) == 32
    match = sgbm(left, right, settings)
    assert match.valid[5:-5, FAR_PX + 2 : 32].mean() > 0.9
    assert (match.disparity <= np.arange(WIDTH))[match.valid].all()


def test_the_right_map_is_seen_from_the_right_image() -> None:
    """In the right image the box lies NEAR_PX further left."""
    match = sgbm(*dot_pair())
    assert match.right_disparity is not None
    assert match.right_valid is not None
    rows, columns = slice(BOX[0].start + 5, BOX[0].stop - 5), BOX[1]
    inside = slice(columns.start - NEAR_PX + 4, columns.stop - NEAR_PX - 4)
    values = match.right_disparity[rows, inside][match.right_valid[rows, inside]]
    assert np.median(values) == pytest.approx(NEAR_PX, abs=0.1)
    assert sgbm(*dot_pair(), SgbmSettings(check=False)).right_disparity is None


def test_the_check_drops_what_is_hidden_from_the_right_camera() -> None:
    """Left of the box, NEAR_PX - FAR_PX = 6 columns of the wall are behind it in the right image."""
    hidden = (slice(30, 54), slice(BOX[1].start - 5, BOX[1].start - 1))
    match = sgbm(*dot_pair())
    settings = {"speckle_ppm": 0.0, "median": 0}
    checked = clean(match, CleanSettings(**settings))[1][hidden]  # type: ignore[arg-type]
    assert checked.mean() < 0.1


@pytest.mark.parametrize(("width", "expected"), [(128, 16), (512, 64), (1242, 128), (2048, 208), (8000, 240)])
def test_search_range_grows_with_width(width: int, expected: int) -> None:
    assert SgbmSettings().range_for(width) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [("disparities", 40), ("disparities", 256), ("block", 4), ("jump_price", 3), ("uniqueness", -1), ("mode", "fast")],
)
def test_impossible_settings_name_the_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=key):
        SgbmSettings(**{key: value})  # type: ignore[arg-type]


def test_an_unknown_matcher_names_those_offered() -> None:
    with pytest.raises(InputError, match=r"crestereo.*sgbm, dataset"):
        find_matcher("crestereo")


def test_the_sets_own_disparity(tmp_path: Path) -> None:
    frame = find_frames(write_set(tmp_path, ("dots_0_1",)))[0]
    match = MATCHERS["dataset"](frame, read_image(frame.left), SgbmSettings())
    assert (match.disparity == true_disparity()).all()
    assert match.valid.all()


@pytest.mark.parametrize(("matcher", "kind"), [("sgbm", "right"), ("dataset", "disparity")])
def test_missing_or_misfit_files_are_named(tmp_path: Path, matcher: str, kind: str) -> None:
    frame = find_frames(write_set(tmp_path, ("dots_0_1",)))[0]
    left = read_image(frame.left)
    path: Path = getattr(frame, kind)
    stored = read_image(path) if kind == "right" else read_grey_or_index(path)
    write_png(path, np.ascontiguousarray(stored[:-2]))
    with pytest.raises(InputError, match=rf"{path.name}: is 176x78, but its left image is 176x80"):
        MATCHERS[matcher](frame, left, SgbmSettings())
    path.unlink()
    frame = find_frames(tmp_path)[0]
    with pytest.raises(InputError, match=r"dots_0_1_leftImg8bit\.png.*missing"):
        MATCHERS[matcher](frame, left, SgbmSettings())


def test_real_pairs_against_lidar() -> None:
    """Over both pairs 91 % answered and 1.4 % off by more than 3 px; bounds with room for other OpenCVs."""
    folder = SHARED / "kitti_stereo"
    if not folder.is_dir():
        pytest.skip("the shared KITTI pairs are absent")
    points, answered, errors = 0, 0, []
    for pair in ("2015_000000", "2012_000000"):
        lidar = read_grey_or_index(folder / pair / "disparity.png").astype(np.float32) / 256
        left, right = (read_image(folder / pair / f"{side}.png") for side in ("left", "right"))
        disparity, valid = clean(sgbm(left, right), CleanSettings())
        both = valid & (lidar > 0)
        points += int((lidar > 0).sum())
        answered += int(both.sum())
        errors.append(np.abs(disparity - lidar)[both])
    assert answered / points > 0.85
    assert (np.concatenate(errors) > 3).mean() < 0.025
