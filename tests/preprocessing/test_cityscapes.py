import json
import os
import warnings
from pathlib import Path

import pytest
from shared_files import shared_file

from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import KINDS, at_width, find_frames, frame_path, read_camera, write_camera


def touch(root: Path, kind: str, split: str, city: str, name: str) -> Path:
    path = frame_path(root, kind, split, city, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_frame_path_is_the_published_layout() -> None:
    path = frame_path(Path("R"), "labels", "val", "ulm", "ulm_000001_000019")
    assert path == Path("R/gtFine/val/ulm/ulm_000001_000019_gtFine_labelIds.png")
    camera = frame_path(Path("R"), "camera", "train", "ulm", "ulm_000001_000019")
    assert camera == Path("R/camera/train/ulm/ulm_000001_000019_camera.json")


def test_files_are_joined_by_name_not_by_position(tmp_path: Path) -> None:
    """Three left and two right images: by position the second right one would go to the second left one."""
    for name in ("a_0_1", "a_0_2", "a_0_3"):
        touch(tmp_path, "left", "train", "a", name)
    right = {name: touch(tmp_path, "right", "train", "a", name) for name in ("a_0_1", "a_0_3")}
    found = {frame.name: frame.right for frame in find_frames(tmp_path, "train")}
    assert found == {"a_0_1": right["a_0_1"], "a_0_2": None, "a_0_3": right["a_0_3"]}


def test_every_kind_is_found_and_frames_come_sorted(tmp_path: Path) -> None:
    paths = {kind: touch(tmp_path, kind, "val", "b", "b_0_1") for kind in KINDS}
    touch(tmp_path, "left", "val", "a", "a_0_9")
    touch(tmp_path, "left", "train", "z", "z_0_0")
    frames = find_frames(tmp_path)
    assert [(f.split, f.city, f.name) for f in frames] == [
        ("train", "z", "z_0_0"),
        ("val", "a", "a_0_9"),
        ("val", "b", "b_0_1"),
    ]
    assert {kind: getattr(frames[2], kind) for kind in KINDS} == paths
    assert frames[1].depth is None


def test_coarse_labels_stand_in_where_fine_ones_are_absent(tmp_path: Path) -> None:
    touch(tmp_path, "left", "train_extra", "a", "a_0_1")
    coarse = tmp_path / "gtCoarse/train_extra/a/a_0_1_gtCoarse_labelIds.png"
    coarse.parent.mkdir(parents=True)
    coarse.touch()
    assert find_frames(tmp_path)[0].labels == coarse


def test_missing_root_and_split_name_what_exists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leftImg8bit"):
        find_frames(tmp_path / "nowhere")
    touch(tmp_path, "left", "train", "a", "a_0_1")
    with pytest.raises(InputError, match=r"no split .test.; there are: train"):
        find_frames(tmp_path, "test")


def test_an_unreadable_folder_is_not_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the file then says why; an unreadable city is a warning and the others go on."""
    for city in ("a", "b"):
        touch(tmp_path, "left", "train", city, f"{city}_0_1")
        touch(tmp_path, "right", "train", city, f"{city}_0_1")
    closed = (f"{tmp_path}/leftImg8bit/train/b", f"{tmp_path}/rightImg8bit/train/a")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder in closed:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match="train/b: not readable"):
        frames = find_frames(tmp_path)
    assert [frame.name for frame in frames] == ["a_0_1"]
    assert frames[0].right == frame_path(tmp_path, "right", "train", "a", "a_0_1")
    assert frames[0].disparity is None


def test_hidden_files_are_no_frames(tmp_path: Path) -> None:
    """macOS leaves ._NAME beside NAME on foreign disks."""
    touch(tmp_path, "left", "train", "a", "a_0_1")
    touch(tmp_path, "left", "train", "a", "._a_0_1")
    assert [frame.name for frame in find_frames(tmp_path)] == ["a_0_1"]


def test_camera_round_trip(tmp_path: Path) -> None:
    camera = Camera(0.21, 2262.5, 2265.25, 1096.5, 513.0)
    write_camera(tmp_path / "c.json", camera)
    assert read_camera(tmp_path / "c.json") == camera


def test_no_camera_file_gives_the_papers_values_with_a_warning() -> None:
    """0.209313 m * 2262.52 px = 473.5748... m px."""
    with pytest.warns(UserWarning, match=r"0\.209313"):
        camera = read_camera(None)
    assert camera.is_default
    assert camera.baseline_m * camera.fx_px == pytest.approx(473.575, abs=1e-3)


def test_default_camera_is_fitted_to_the_width_and_a_read_one_is_not() -> None:
    with pytest.warns(UserWarning):
        default = read_camera(None)
    assert at_width(default, 512).fx_px == pytest.approx(2262.52 / 4)
    assert at_width(default, 512).baseline_m == default.baseline_m
    read = Camera(0.5, 700.0, 710.0, 1.0, 2.0)
    assert at_width(read, 512) == read


def test_scaled_treats_x_and_y_apart() -> None:
    assert Camera(0.5, 100.0, 200.0, 30.0, 40.0).scaled(0.5, 0.25) == Camera(0.5, 50.0, 50.0, 15.0, 10.0)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"extrinsic": {"baseline": 0.2}}',
        '{"extrinsic": {"baseline": "wide"}, "intrinsic": {"fx": 1}}',
        '{"extrinsic": {"baseline": 0}, "intrinsic": {"fx": 700}}',
        '{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": -700}}',
        '{"extrinsic": {"baseline": NaN}, "intrinsic": {"fx": 700}}',
        '{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 700, "fy": 0}}',
        '{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 700, "u0": NaN}}',
        '{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 700, "v0": -Infinity}}',
        '{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 1' + "0" * 400 + "}}",
        "[" * 100_000,
    ],
)
def test_garbled_camera_is_one_line_that_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x_camera.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"x_camera\.json") as caught:
        read_camera(path)
    assert "\n" not in str(caught.value)


def test_fy_defaults_to_fx(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 700}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_camera(path).fy_px == 700


def test_real_recording() -> None:
    root = shared_file("data/stereo_drive")
    frames = find_frames(root)
    assert len(frames) == 26
    assert all(frame.right and frame.camera and frame.labels is None for frame in frames)
    assert read_camera(frames[0].camera).baseline_m == pytest.approx(0.537151)
