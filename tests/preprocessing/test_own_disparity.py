"""Disparity files and what depends on where infinity lies: their stated meaning, depth, masks and the sky."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from random_dots import BOX, write_set
from textured_planes import planes

from preprocessing.ground import InputError, read_depth, read_disparity, write_disparity, write_png
from preprocessing.ground.disparity import read_own_disparity
from preprocessing.job import PreprocessSettings, preprocess, read_manifest
from preprocessing.quality import QualitySettings, check_quality
from preprocessing.sets.cityscapes import frame_path
from preprocessing.stereo import CleanSettings, DatasetSettings

BACK, FRONT = (np.s_[10:40, 40:240], np.s_[60:100, 110:170])


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """Two planes for converging cameras: Z = 84 / (d + 20), so -12 px is 10.5 m and 1 px is 4 m."""
    left, right = planes((256, 128), -12.0, ((90, 50, 190, 110, 1.0),))
    for side, picture in (("left", left), ("right", right)):
        write_png(tmp_path / side / "0.png", picture)
    (tmp_path / "calibration.json").write_text(json.dumps({"baseline_m": 0.12, "fx_px": 700, "doffs_px": 20}))
    return tmp_path


def test_a_file_says_that_it_counts_from_infinity_and_depth_is_right(rig: Path) -> None:
    preprocess(rig)
    path = rig / "disparity_census" / "0.png"
    with Image.open(path) as image:
        assert image.info["doffs_px"] == "20.0" and image.info["meaning"] == "d + doffs_px"
    stored, _ = read_disparity(path)
    own, valid = read_own_disparity(path, 20.0)
    for region, d in ((BACK, -12.0), (FRONT, 1.0)):
        assert np.median(stored[region]) == pytest.approx(d + 20, abs=0.1)
        assert np.median(own[region]) == pytest.approx(d, abs=0.1)
        assert valid[region].mean() > 0.95
        assert np.median(read_depth(rig / "depth" / "0.png")[region]) == pytest.approx(84 / (d + 20), rel=0.01)
    with pytest.raises(InputError, match=r"0\.png: was made with doffs_px 20\.0, and the camera now has 19"):
        read_own_disparity(path, 19.0)


def test_a_file_from_before_keeps_its_meaning(tmp_path: Path) -> None:
    disparity, valid = np.full((3, 5), 7.5, np.float32), np.ones((3, 5), bool)
    write_disparity(tmp_path / "old.png", disparity, valid)
    assert np.array_equal(read_own_disparity(tmp_path / "old.png", 20.0)[0], disparity)


def test_quality_measures_what_lies_behind_the_old_end(rig: Path) -> None:
    """Right at every true point of the near plane; the far one has a negative d, which no truth file holds."""
    truth = np.zeros((128, 256), np.uint16)
    truth[FRONT] = 1 * 256
    write_png(rig / "disparity" / "0.png", truth)
    preprocess(rig)
    found = check_quality(rig, QualitySettings(matcher="census"))
    measured = found.metrics["truth"]["disparity"]["answered"]
    assert measured["pixels"] > 2000 and measured["epe_mean_px"] < 0.1
    assert found.metrics["left_right"]["consistent_matched_share"] > 0.95


def test_the_sets_own_disparity_counts_from_infinity_too(rig: Path) -> None:
    write_png(rig / "disparity" / "0.png", np.full((128, 256), 1 * 256, np.uint16))
    preprocess(rig, PreprocessSettings(matcher=DatasetSettings()))
    assert np.median(read_depth(rig / "depth" / "0.png")) == pytest.approx(4.0, rel=0.01)


def test_a_mask_and_borders_get_no_depth_and_a_new_mask_makes_it_anew(rig: Path) -> None:
    mask = np.full((128, 256), 255, np.uint8)
    mask[100:, 60:200] = 0
    preprocess(rig)
    before = read_depth(rig / "depth" / "0.png")
    assert (before[mask == 0] > 0).mean() > 0.9
    write_png(rig / "mask.png", mask)
    report = preprocess(rig, PreprocessSettings(clean=CleanSettings(fill="all")))
    after = read_depth(rig / "depth" / "0.png")
    assert report.reused == 0 and not after[mask == 0].any() and (after[mask > 0] > 0).mean() > 0.9
    mask[90:100, 60:200] = 0
    write_png(rig / "mask.png", mask)
    assert preprocess(rig, PreprocessSettings(clean=CleanSettings(fill="all"))).reused == 0
    assert not read_depth(rig / "depth" / "0.png")[mask == 0].any()


def test_the_sky_has_no_distance_unless_one_is_asked_for(tmp_path: Path) -> None:
    root = write_set(tmp_path, ("dots_0_1",))
    labels = np.full((80, 176), 7, np.uint8)
    labels[BOX] = 23
    write_png(frame_path(root, "labels", "train", "dots", "dots_0_1"), labels)
    path = frame_path(root, "depth", "train", "dots", "dots_0_1")
    preprocess(root)
    assert not read_depth(path)[BOX].any()
    preprocess(root, PreprocessSettings(sky="clip", max_depth_m=60.0))
    assert (read_depth(path)[BOX] == 60).all()


def test_rows_name_the_opencv_that_made_them(tmp_path: Path) -> None:
    preprocess(write_set(tmp_path, ("dots_0_1",)))
    (row,) = read_manifest(tmp_path / "depth").values()
    assert row["opencv"] == cv2.__version__
