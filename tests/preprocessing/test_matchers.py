from pathlib import Path

import numpy as np
import pytest
from random_dots import dot_pair, true_disparity, write_set

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, read_image, write_png
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import find_frames
from preprocessing.sets.layouts import CITYSCAPES
from preprocessing.stereo.census import CensusSettings, census
from preprocessing.stereo.match import find_matcher, match_dataset, match_pair
from preprocessing.stereo.sgbm import SgbmSettings, sgbm

CAMERA = Camera(0.3, 200.0, 200.0, 0.0, 0.0)


def test_an_unknown_matcher_names_those_offered() -> None:
    with pytest.raises(InputError, match=r"^matcher: 'magic'.*census.*sgbm.*dataset"):
        find_matcher("magic")
    assert find_matcher("sgbm") is SgbmSettings and find_matcher("census") is CensusSettings


def test_the_settings_choose_the_matcher() -> None:
    left, right = dot_pair()
    by_census, by_sgbm = census(left, right).disparity, sgbm(left, right).disparity
    assert (match_pair(left, right, CensusSettings()).disparity == by_census).all()
    assert (match_pair(left, right, SgbmSettings()).disparity == by_sgbm).all()
    assert (by_census != by_sgbm).any()


def test_the_sets_own_disparity(tmp_path: Path) -> None:
    frame = find_frames(write_set(tmp_path, ("dots_0_1",)))[0]
    found = match_dataset(frame, read_image(frame.left), CITYSCAPES, CAMERA)
    assert (found.disparity == true_disparity()).all()
    assert found.valid.all()
    assert found.right_disparity is None


def test_missing_or_misfit_disparity_is_named(tmp_path: Path) -> None:
    frame = find_frames(write_set(tmp_path, ("dots_0_1",)))[0]
    left = read_image(frame.left)
    assert frame.disparity is not None
    write_png(frame.disparity, np.ascontiguousarray(read_grey_or_index(frame.disparity)[:-2]))
    with pytest.raises(InputError, match=rf"{frame.disparity.name}: is 176x78, but its left image is 176x80"):
        match_dataset(frame, left, CITYSCAPES, CAMERA)
    frame.disparity.unlink()
    with pytest.raises(InputError, match=r"dots_0_1_leftImg8bit\.png: .*no disparity"):
        match_dataset(find_frames(tmp_path)[0], left, CITYSCAPES, CAMERA)
