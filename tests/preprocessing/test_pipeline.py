import errno
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_dots import BOX, CAMERA, HEIGHT, WIDTH, write_set
from shared_files import shared_file
from written_depth import NAMES, corrupt, depth_of, good_rows, outputs, same_files

from preprocessing.ground.depth import read_depth
from preprocessing.ground.disparity import read_disparity, write_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import sha256_of
from preprocessing.job import convert
from preprocessing.job.manifest import read_manifest
from preprocessing.job.pipeline import preprocess
from preprocessing.job.settings import PreprocessSettings
from preprocessing.sets.cityscapes import find_frames, frame_path, write_camera
from preprocessing.stereo.cleaning import CleanSettings
from preprocessing.stereo.match import DatasetSettings
from preprocessing.stereo.sgbm import SgbmSettings

FIRST = 11.0  # a disparity [px] that marks one frame


def test_depth_by_hand(root: Path) -> None:
    """B f = 0.5 m * 160 px = 80 m px: the wall at 4 px is 20 m away, the box at 10 px 8 m."""
    report = preprocess(root, PreprocessSettings(pictures=1))
    depth = depth_of(root, "dots_0_2")
    assert depth.shape == (HEIGHT, WIDTH)
    assert np.median(depth[BOX][depth[BOX] > 0]) == pytest.approx(8.0, rel=0.01)
    assert np.median(depth[:, 140:][depth[:, 140:] > 0]) == pytest.approx(20.0, rel=0.02)
    assert (report.done, report.reused, report.skipped, report.default_cameras) == (3, 0, [], 0)
    assert 0.85 < report.density_mean < 1
    assert report.depth_percentiles_m[50] == pytest.approx(20.0, rel=0.02)
    assert report.depth_percentiles_m[5] == pytest.approx(8.0, rel=0.02)
    assert report.out == root


def test_what_is_written(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=2))
    written = outputs(root)
    assert written == [
        *(f"confidence_census/train/dots/{name}_confidence.png" for name in NAMES),
        "depth/manifest.jsonl",
        "depth/pictures/train_dots_dots_0_1.png",
        "depth/pictures/train_dots_dots_0_3.png",
        "depth/preprocess.json",
        *(f"depth/train/dots/{name}_depth.png" for name in NAMES),
        *(f"disparity_census/train/dots/{name}_disparity.png" for name in NAMES),
    ]
    record = json.loads((root / "depth/preprocess.json").read_text())
    assert (record["unit"], record["scale"], record["invalid"], record["skipped"]) == ("metre", 256, 0, {})
    rows = [json.loads(line) for line in (root / "depth/manifest.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == [f"train/dots/{name}" for name in NAMES]
    row = rows[1]
    assert row["camera"]["baseline_m"] == CAMERA.baseline_m
    assert (row["matcher"]["name"], row["problem"], row["size_px"]) == ("census", None, [WIDTH, HEIGHT])
    assert row["seconds"] > 0
    depth = depth_of(root, "dots_0_2")
    assert row["density"] == pytest.approx((depth > 0).mean(), abs=1e-6)
    assert row["depth_percentiles_m"]["5"] == pytest.approx(np.percentile(depth[depth > 0], 5), abs=0.002)
    for kind in ("left", "right", "labels", "camera"):
        assert row["inputs"][kind]["sha256"] == sha256_of(root / row["inputs"][kind]["path"])
    for kind in ("depth", "disparity", "confidence"):
        path = root / row["outputs"][kind]["path"]
        assert (row["outputs"][kind]["sha256"], row["outputs"][kind]["bytes"]) == (sha256_of(path), path.stat().st_size)
    disparity, valid = read_disparity(root / row["outputs"]["disparity"]["path"])
    assert (valid & (disparity > 0)).tolist() == (depth > 0).tolist()
    assert ((np.asarray(Image.open(root / row["outputs"]["confidence"]["path"])) > 0) == valid).all()
    with Image.open(root / "depth/pictures/train_dots_dots_0_1.png") as picture:
        assert picture.width == 2 * (640 + 14 + 58)


def test_the_sets_own_disparity_is_exact(root: Path) -> None:
    settings = PreprocessSettings(matcher=DatasetSettings(), clean=CleanSettings(median=0), pictures=0)
    report = preprocess(root, settings)
    assert report.density_mean == 1.0
    expected = np.full((HEIGHT, WIDTH), 20.0)
    expected[BOX] = 8.0
    assert np.abs(depth_of(root, "dots_0_1") - expected).max() <= 0.5 / 256
    assert (root / "disparity_dataset/train/dots/dots_0_1_disparity.png").is_file()


def test_far_points_are_clipped(root: Path) -> None:
    preprocess(root, PreprocessSettings(matcher=DatasetSettings(), max_depth_m=15.0, pictures=0))
    depth = depth_of(root, "dots_0_1")
    assert depth.max() == 15.0
    assert depth[40, 95] == pytest.approx(8.0, abs=0.01)


def test_several_workers_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    preprocess(root, PreprocessSettings(out=one, workers=1))
    report = preprocess(root, PreprocessSettings(out=two, workers=2))
    assert report.done == 3
    assert outputs(one) == outputs(two)
    same_files(one, two)


def test_another_folder_becomes_a_set_of_its_own(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "out"
    preprocess(root, PreprocessSettings(out=out, pictures=0))
    assert not (root / "depth").exists()
    frames = find_frames(out, "train")
    assert [frame.name for frame in frames] == list(NAMES)
    assert all(frame.depth and frame.right and frame.labels for frame in frames)


@pytest.mark.parametrize(
    ("kind", "how", "reason"),
    [
        ("right", "missing", "right image is missing"),
        ("left", "truncated", "dots_0_2_leftImg8bit.png: the file is truncated"),
        ("right", "truncated", "dots_0_2_rightImg8bit.png: the file is truncated"),
        ("right", "smaller", "dots_0_2_rightImg8bit.png: is 168x72, but its left image is 176x80"),
        ("labels", "smaller", "dots_0_2_gtFine_labelIds.png: is 168x72"),
        ("labels", "unknown id", "dots_0_2_gtFine_labelIds.png: unknown class id 77"),
        ("camera", "garbled", "dots_0_2_camera.json: extrinsic.baseline is 0.0"),
    ],
)
def test_a_bad_frame_is_listed_and_the_rest_goes_on(root: Path, kind: str, how: str, reason: str) -> None:
    corrupt(root, kind, how)
    report = preprocess(root, PreprocessSettings(pictures=3))
    assert report.done == 2
    [(name, why)] = report.skipped
    assert name == "train/dots/dots_0_2"
    assert reason in why
    assert "\n" not in why
    assert not report.complete
    assert not [path for path in outputs(root) if "dots_0_2" in path]
    record = json.loads((root / "depth/preprocess.json").read_text())
    assert record["skipped"] == {name: why}
    assert read_manifest(root / "depth")[name] == {"frame": name, "problem": why, "outputs": {}}
    assert sorted(good_rows(root)) == ["dots_0_1", "dots_0_3"]


def test_bad_frames_are_listed_from_worker_processes_too(root: Path) -> None:
    corrupt(root, "right", "truncated")
    report = preprocess(root, PreprocessSettings(workers=2, pictures=0))
    assert (report.done, [name for name, _ in report.skipped]) == (2, ["train/dots/dots_0_2"])


def test_not_one_frame_is_an_error(tmp_path: Path) -> None:
    root = write_set(tmp_path, ("dots_0_2",))
    corrupt(root, "right", "missing")
    with pytest.raises(InputError, match=r"none of 1 frames.*dots_0_2.*right image is missing"):
        preprocess(root)


def test_a_missing_camera_means_the_papers_at_this_width_and_one_warning(root: Path) -> None:
    """B f = 473.575 at 2048 px is 40.698 at 176 px: the wall at 4 px is 10.17 m away."""
    for name in NAMES[:2]:
        frame_path(root, "camera", "train", "dots", name).unlink()
    settings = PreprocessSettings(matcher=DatasetSettings(), pictures=0)
    with pytest.warns(UserWarning, match="2 of 3 frames have no camera file") as caught:
        report = preprocess(root, settings)
    assert len(caught) == 1
    assert report.default_cameras == 2
    assert depth_of(root, "dots_0_1")[5, 5] == pytest.approx(473.575 * 176 / 2048 / 4, abs=0.01)
    assert depth_of(root, "dots_0_3")[5, 5] == pytest.approx(20.0, abs=0.01)


def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = convert.write_depth, []

    def full_after_one(path: Path, *rest: Any) -> None:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(convert, "write_depth", full_after_one)
        report = preprocess(root, PreprocessSettings(pictures=0))
    [(name, reason)] = report.skipped
    assert name == "train/dots/dots_0_2"
    assert reason.endswith("dots_0_2_depth.png: No space left on device")
    assert (report.done, report.untried, report.complete) == (1, 1, False)
    assert list(good_rows(root)) == ["dots_0_1"]
    assert not [path for path in root.rglob(".*") if path.is_file()]
    assert preprocess(root, PreprocessSettings(pictures=0)).reused == 1


def test_whatever_one_frame_brings_about_does_not_cost_the_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = convert.clean

    def odd(match: Any, *rest: Any) -> Any:
        if float(match.disparity[0, 0]) == FIRST:
            raise ZeroDivisionError("by zero")
        return real(match, *rest)

    exact = frame_path(root, "disparity", "train", "dots", "dots_0_2")
    values = np.full((HEIGHT, WIDTH), FIRST, dtype=np.float32)
    write_disparity(exact, values, np.ones(values.shape, dtype=bool))
    monkeypatch.setattr(convert, "clean", odd)
    report = preprocess(root, PreprocessSettings(matcher=DatasetSettings(), pictures=0))
    [(_, reason)] = report.skipped
    assert reason.endswith("dots_0_2_leftImg8bit.png: ZeroDivisionError: by zero")
    assert report.done == 2


def test_swapped_left_and_right_is_reported(root: Path) -> None:
    left, right = (frame_path(root, kind, "train", "dots", "dots_0_2") for kind in ("left", "right"))
    pictures = left.read_bytes(), right.read_bytes()
    left.write_bytes(pictures[1])
    right.write_bytes(pictures[0])
    report = preprocess(root, PreprocessSettings(pictures=0))
    [(name, reason)] = report.skipped
    assert name == "train/dots/dots_0_2"
    assert str(right) in reason and "swapped" in reason


def test_a_name_that_is_not_utf8_is_a_frame_like_others(root: Path) -> None:
    names = {kind: frame_path(root, kind, "train", "dots", "dots_0_2") for kind in ("left", "right", "camera")}
    for path in names.values():
        odd = os.fsencode(path.parent) + b"/dots_0_\xdf_" + os.fsencode(path.name.rpartition("_")[2])
        os.rename(path, odd)
    assert preprocess(root, PreprocessSettings(pictures=0)).done == 3
    assert preprocess(root, PreprocessSettings(pictures=0)).reused == 3


def test_a_camera_for_larger_pictures_is_refused(root: Path) -> None:
    camera = frame_path(root, "camera", "train", "dots", "dots_0_2")
    write_camera(camera, CAMERA.scaled(2.0, 2.0))
    report = preprocess(root, PreprocessSettings(matcher=DatasetSettings(), pictures=0))
    [(_, reason)] = report.skipped
    assert reason.startswith(f"{camera}: its principal point (176, 80) lies outside the image of 176x80")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_depth_m", 300.0),
        ("max_depth_m", 0.0),
        ("epsilon_px", 1.0),
        ("epsilon_px", -1e-6),
        ("epsilon_px", np.nan),
        ("infinity", "far"),
        ("workers", 0),
        ("pictures", -1),
    ],
)
def test_impossible_settings_name_the_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{key}: "):
        PreprocessSettings(**{key: value})  # type: ignore[arg-type]


def test_real_grey_pairs(tmp_path: Path) -> None:
    """The road 50 rows above the lower edge is 5 to 10 m away, and farther up it is farther."""
    drive = shared_file("data/stereo_drive")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = preprocess(drive, PreprocessSettings(SgbmSettings(mode="3way"), split="val", out=tmp_path, pictures=1))
    assert report.skipped == []
    frame = find_frames(tmp_path, "val")[0]
    assert frame.depth is not None
    depth = read_depth(frame.depth)
    near, middle = depth[-60:-40, 500:700], depth[220:240, 560:640]
    assert 5 < np.median(near[near > 0]) < 10
    assert np.median(middle[middle > 0]) > np.median(near[near > 0])
    assert report.density_mean > 0.6
