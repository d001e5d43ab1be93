"""Folder pairs and KITTI's folders: what is joined with what, which calibration holds, where maps are written."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from calibration_texts import KITTI_2012, KITTI_RAW, MIDDLEBURY
from random_dots import CAMERA, dot_pair, true_disparity
from shared_files import shared_file

from preprocessing.ground.depth import disparity_to_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image, write_png
from preprocessing.ground.frame import Camera, Frame
from preprocessing.sets.layout import Layout
from preprocessing.sets.layouts import detect_layout

CALIBRATION = {"baseline_m": CAMERA.baseline_m, "fx_px": CAMERA.fx_px}


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def put(root: Path, name: str, content: object) -> None:
    touch(root, name)
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content))


def found(root: Path) -> tuple[Layout, dict[str, Frame]]:
    layout = detect_layout(root)
    return layout, {frame.key: frame for frame in layout.find_frames(root, None)}


def test_files_are_joined_by_stem_not_by_position(tmp_path: Path) -> None:
    """By position, the second right picture would go to the second left one."""
    touch(tmp_path, "left/a.png", "left/b.jpg", "left/c.JPEG", "right/a.jpg", "right/c.png", "right/d.png")
    _, frames = found(tmp_path)
    assert {key: frame.right for key, frame in frames.items()} == {
        "a": tmp_path / "right/a.jpg",
        "b": None,
        "c": tmp_path / "right/c.png",
    }
    assert frames["c"].left == tmp_path / "left/c.JPEG"
    assert all(frame.split == "" and frame.city == "" for frame in frames.values())


def test_every_kind_is_found_beside_the_pair(tmp_path: Path) -> None:
    kinds = ("right", "labels", "disparity", "lidar", "depth")
    touch(tmp_path, "left/n.png", "calibration.json", *(f"{kind}/n.png" for kind in kinds))
    _, frames = found(tmp_path)
    assert {kind: getattr(frames["n"], kind) for kind in kinds} == {kind: tmp_path / kind / "n.png" for kind in kinds}
    assert frames["n"].camera == tmp_path / "calibration.json"
    assert frames["n"].instances is None


def test_hidden_files_and_other_files_are_no_frames_and_png_goes_first(tmp_path: Path) -> None:
    touch(tmp_path, "right/x.png", "left/.x.png", "left/notes.txt", "left/y.jpg", "left/y.png")
    _, frames = found(tmp_path)
    assert {key: frame.left.name for key, frame in frames.items()} == {"y": "y.png"}


def test_sub_folders_are_sequences(tmp_path: Path) -> None:
    touch(tmp_path, "left/two/1.png", "left/one/1.png", "left/0.png", "left/one/deeper/9.png")
    touch(tmp_path, "right/one/1.png", "labels/two/1.png")
    layout, frames = found(tmp_path)
    assert list(frames) == ["0", "one/1", "one/deeper/9", "two/1"]
    assert frames["one/deeper/9"].city == "one/deeper"
    assert frames["one/1"].right == tmp_path / "right/one/1.png"
    assert (frames["two/1"].right, frames["two/1"].labels) == (None, tmp_path / "labels/two/1.png")
    assert layout.output_path(Path("O"), "depth", frames["one/1"]) == Path("O/depth/one/1.png")
    assert layout.output_path(Path("O"), "disparity_census", frames["0"]) == Path("O/disparity_census/0.png")


def test_a_calibration_of_the_frame_goes_before_the_sequences_before_the_sets(tmp_path: Path) -> None:
    touch(tmp_path, "left/a/1.png", "left/a/2.png", "left/b/1.png", "right/x.png")
    put(tmp_path, "calibration.json", {"baseline_m": 0.1, "fx_px": 700})
    put(tmp_path, "calibration/a.json", {"baseline_m": 0.2, "fx_px": 700})
    put(tmp_path, "calibration/a/2.json", {"baseline_m": 0.3, "fx_px": 700})
    layout, frames = found(tmp_path)
    assert {key: layout.read_camera(frame, (1280, 720)).baseline_m for key, frame in frames.items()} == {
        "a/1": 0.2,
        "a/2": 0.3,
        "b/1": 0.1,
    }


def test_a_missing_calibration_says_what_to_write(tmp_path: Path) -> None:
    touch(tmp_path, "left/seq/a.png", "right/seq/a.png")
    layout, frames = found(tmp_path)
    with pytest.raises(InputError) as caught:
        layout.read_camera(frames["seq/a"], (640, 480))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'left/seq/a.png'}: ") and "\n" not in text
    assert str(tmp_path / "calibration.json") in text
    example = text[text.index("{") : text.index("}") + 1]
    put(tmp_path, "calibration.json", example)  # what is advised works
    assert layout.read_camera(found(tmp_path)[1]["seq/a"], (640, 480)).fx_px == 700


def test_a_camera_is_scaled_to_the_images(tmp_path: Path) -> None:
    touch(tmp_path, "left/a.png", "right/a.png")
    put(
        tmp_path,
        "calibration.json",
        {"baseline_m": 0.1, "fx_px": 800, "doffs_px": 4, "width_px": 1280, "height_px": 720},
    )
    layout, frames = found(tmp_path)
    assert layout.read_camera(frames["a"], (640, 360)) == Camera(0.1, 400, 400, 0, 0, doffs_px=2)
    with pytest.raises(InputError, match="640x400"):
        layout.read_camera(frames["a"], (640, 400))


def test_there_are_no_splits(tmp_path: Path) -> None:
    touch(tmp_path, "left/a.png", "right/a.png")
    with pytest.raises(InputError, match="no split 'val'"):
        detect_layout(tmp_path).find_frames(tmp_path, "val")


def test_no_picture_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "left/a.heic", "right/a.heic")
    with pytest.raises(InputError, match=r"left: 1 file of another kind \(\.heic\) is not read; no \*\.png"):
        found(tmp_path)


@pytest.mark.parametrize(("codec", "expected"), [(None, 513 / 256), ("kitti", 513 / 256), ("cityscapes", 2.0)])
def test_the_codec_of_the_truth(tmp_path: Path, codec: str | None, expected: float) -> None:
    """p = 513: 513 / 256 px in KITTI's codec, 512 / 256 in that of Cityscapes; 0 is invalid in both."""
    put(tmp_path, "calibration.json", CALIBRATION | ({"disparity_codec": codec} if codec else {}))
    touch(tmp_path, "left/a.png", "right/a.png")
    write_png(tmp_path / "disparity/a.png", np.array([[0, 513, 513]], dtype=np.uint16))
    layout, frames = found(tmp_path)
    disparity, valid = layout.read_disparity(frames["a"])
    assert disparity.dtype == np.float32
    assert (disparity[0, 1], valid.tolist()) == (expected, [[False, True, True]])


def test_an_eight_bit_truth_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "left/a.png", "right/a.png")
    write_png(tmp_path / "disparity/a.png", np.zeros((2, 3), dtype=np.uint8))
    layout, frames = found(tmp_path)
    with pytest.raises(InputError, match=r"a\.png.*16 bits"):
        layout.read_disparity(frames["a"])


@pytest.mark.parametrize(
    ("left", "right", "baseline_m"),
    [("image_2", "image_3", 0.55), ("image_0", "image_1", 0.54), ("colored_0", "colored_1", 0.55)],
)
def test_kitti_stereo_2012(tmp_path: Path, left: str, right: str, baseline_m: float) -> None:
    """Frame 000007_10 has the calibration 000007.txt; occluded truth goes before the other."""
    touch(
        tmp_path, f"{left}/000007_10.png", f"{right}/000007_10.png", f"{left}/000007_11.png", f"{right}/000007_11.png"
    )
    touch(tmp_path, "disp_noc/000007_10.png", "disp_occ/000007_10.png")
    put(tmp_path, "calib/000007.txt", KITTI_2012)
    layout, frames = found(tmp_path)
    assert layout.name == "kitti"
    assert frames["000007_10"].disparity == tmp_path / "disp_occ/000007_10.png"
    assert frames["000007_11"].disparity is None
    for frame in frames.values():
        assert layout.read_camera(frame, (1226, 370)).baseline_m == pytest.approx(baseline_m)


def test_kitti_stereo_2015_raw_and_odometry(tmp_path: Path) -> None:
    stereo, raw, odometry = (tmp_path / name for name in ("stereo", "raw", "00"))
    touch(
        stereo, "image_2/000003_10.png", "image_3/000003_10.png", "disp_occ_0/000003_10.png", "semantic/000003_10.png"
    )
    put(stereo, "calib_cam_to_cam/000003.txt", KITTI_RAW)
    touch(raw, "image_02/data/0000000009.png", "image_03/data/0000000009.png")
    put(raw, "calib_cam_to_cam.txt", KITTI_RAW)
    touch(odometry, "image_0/000001.png", "image_1/000001.png")
    put(odometry, "calib.txt", KITTI_2012)
    baselines = {}
    for root in (stereo, raw, odometry):
        layout, frames = found(root)
        (frame,) = frames.values()
        assert frame.right is not None
        baselines[root.name, frame.key] = layout.read_camera(frame, (1242, 375)).baseline_m
    assert baselines == {
        ("stereo", "000003_10"): pytest.approx(0.532725, abs=1e-6),
        ("raw", "0000000009"): pytest.approx(0.532725, abs=1e-6),
        ("00", "000001"): pytest.approx(0.54),
    }
    frame = found(stereo)[1]["000003_10"]
    assert frame.labels == stereo / "semantic/000003_10.png"
    assert frame.disparity == stereo / "disp_occ_0/000003_10.png"


def test_inputs_are_what_another_root_needs(tmp_path: Path) -> None:
    """Links to `inputs` alone make a set with the same frames and cameras."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    touch(raw, "image_02/data/9.png", "image_03/data/9.png", "lidar/9.png", "depth/9.png", "disparity_census/9.png")
    put(raw, "calib_cam_to_cam.txt", KITTI_RAW)
    out.mkdir()
    for name in detect_layout(raw).inputs:
        if (raw / name).exists():
            (out / name).symlink_to(raw / name)
    layout, frames = found(out)
    assert sorted(path.name for path in out.iterdir()) == ["calib_cam_to_cam.txt", "image_02", "image_03", "lidar"]
    assert frames["9"].lidar is not None and frames["9"].depth is None
    assert layout.read_camera(frames["9"], (1242, 375)).fx_px == 721.5377


def test_an_unreadable_folder_is_not_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the file then says why; an unreadable sequence is a warning and the others go on."""
    touch(tmp_path, "left/a/1.png", "left/b/1.png", "right/a/1.png", "right/b/1.png")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder in (str(tmp_path / "left/b"), str(tmp_path / "right/a")):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match="left/b: not readable"):
        _, frames = found(tmp_path)
    assert list(frames) == ["a/1"]
    assert frames["a/1"].right == tmp_path / "right/a/1.png"


def test_layouts_go_to_worker_processes(tmp_path: Path) -> None:
    touch(tmp_path, "left/a.png", "right/a.png")
    put(tmp_path, "calibration.json", CALIBRATION)
    layout = pickle.loads(pickle.dumps(detect_layout(tmp_path)))
    (frame,) = layout.find_frames(tmp_path, None)
    assert layout.read_camera(frame, (176, 80)).fx_px == CAMERA.fx_px


def test_random_dots_through_the_layout(tmp_path: Path) -> None:
    """The wall is 4 px = 20 m away, the box 10 px = 8 m: B f = 80 m px."""
    left, right = dot_pair()
    put(tmp_path, "calibration.json", {**CALIBRATION, "disparity_codec": "cityscapes"})
    write_png(tmp_path / "left/a.png", left)
    write_png(tmp_path / "right/a.png", right)
    exact = true_disparity()
    write_disparity(tmp_path / "disparity/a.png", exact, np.ones(exact.shape, dtype=bool))
    layout, frames = found(tmp_path)
    frame = frames["a"]
    assert frame.disparity is not None
    camera = layout.read_camera(frame, (left.shape[1], left.shape[0]))
    depth = disparity_to_depth(*layout.read_disparity(frame), camera)
    assert np.unique(depth) == pytest.approx([8.0, 20.0])


@pytest.fixture
def kitti_2015(tmp_path: Path) -> Path:
    source = shared_file("data/kitti_stereo/2015_000000")
    for folder, file in (("image_2", "left"), ("image_3", "right"), ("disp_occ_0", "disparity")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "000000_10.png").symlink_to(source / f"{file}.png")
    put(tmp_path, "calib_cam_to_cam/000000.txt", KITTI_RAW)
    return tmp_path


def test_real_kitti(kitti_2015: Path) -> None:
    """Lidar sees from 5 to 80 m of a street; most of it nearer than 30 m."""
    layout, frames = found(kitti_2015)
    frame = frames["000000_10"]
    assert frame.disparity is not None
    height, width = read_image(frame.left).shape[:2]
    camera = layout.read_camera(frame, (width, height))
    disparity, valid = layout.read_disparity(frame)
    assert disparity.shape == (height, width) and 0.1 < valid.mean() < 0.4
    depth = disparity_to_depth(disparity, valid, camera)[valid]
    assert depth.min() > 3 and 8 < np.median(depth) < 30
    assert not camera.is_default


def test_real_middlebury(tmp_path: Path) -> None:
    source = shared_file("data/middlebury_motorcycle")
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "motorcycle.png").symlink_to(source / f"motorcycle_{side}.png")
    put(tmp_path, "calib.txt", MIDDLEBURY.replace("height=497", "height=500"))
    layout, frames = found(tmp_path)
    camera = layout.read_camera(frames["motorcycle"], (741, 500))
    disparity = np.load(source / "motorcycle_disp.npz")["arr_0"].astype(np.float32)
    valid = np.isfinite(disparity)
    depth = disparity_to_depth(np.where(valid, disparity, 0), valid, camera)
    assert np.median(depth[valid]) == pytest.approx(2.75, abs=0.01)  # 4.96 m without doffs
