"""Calibration files of rigs: the values that come out, and one line for everything that is wrong."""

import json
from pathlib import Path

import pytest
from calibration_texts import KITTI_2012, KITTI_RAW, MIDDLEBURY

from preprocessing.ground.codec import CITYSCAPES_DISPARITY
from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Camera
from preprocessing.sets.calibration import read_calibration


def write(tmp_path: Path, name: str, content: object) -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_json_with_every_key(tmp_path: Path) -> None:
    content = {"baseline_m": 0.12, "fx_px": 700, "fy_px": 701.5, "cx_px": 640.25, "cy_px": 360, "doffs_px": -3}
    content |= {"width_px": 1280, "height_px": 720}
    calibration = read_calibration(
        write(tmp_path, "calibration.json", {**content, "disparity_codec": "cityscapes"}),
    )
    assert calibration.camera == Camera(0.12, 700, 701.5, 640.25, 360, doffs_px=-3)
    assert (calibration.size, calibration.codec) == ((1280, 720), CITYSCAPES_DISPARITY)


def test_json_with_the_least(tmp_path: Path) -> None:
    calibration = read_calibration(write(tmp_path, "calibration.json", {"baseline_m": 0.12, "fx_px": 700}))
    assert calibration.camera == Camera(0.12, 700, 700, 0, 0)
    assert (calibration.size, calibration.codec) == (None, None)
    assert calibration.at((640, 360)) == calibration.camera


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"baseline_m": None}, "baseline_m is None.*number"),
        ({"baseline_m": "0.12"}, "baseline_m is '0.12'.*number"),
        ({"baseline_m": True}, "baseline_m is True.*number"),
        ({"baseline_m": 0}, "baseline_m is 0.*positive"),
        ({"baseline_m": -0.1}, "baseline_m is -0.1.*positive"),
        ({"baseline_m": float("nan")}, "baseline_m is NaN"),
        ({"baseline_m": 120}, "baseline_m is 120 m.*millimetres"),
        ({"fx_px": 0.0}, r"fx_px is 0\.0.*positive"),
        ({"fx_px": float("inf")}, "fx_px is beyond"),
        ({"fx_px": 10**400}, "fx_px is beyond"),
        ({"fy_px": -700}, "fy_px is -700.*positive"),
        ({"cx_px": float("nan")}, "cx_px is NaN"),
        ({"doffs_px": [1]}, r"doffs_px is \[1\].*number"),
        ({"width_px": 640}, "width_px and height_px"),
        ({"width_px": 640.5, "height_px": 360}, "width_px is 640.5.*whole"),
        ({"focal": 700}, "unknown key 'focal'; known: baseline_m"),
        ({"disparity_codec": "png"}, "disparity_codec is 'png'; offered: kitti, cityscapes"),
        ({"disparity_codec": ["kitti"]}, "disparity_codec"),
    ],
)
def test_a_bad_value_is_one_line_with_file_and_key(tmp_path: Path, change: dict[str, object], named: str) -> None:
    path = write(tmp_path, "calibration.json", {"baseline_m": 0.12, "fx_px": 700, **change})
    with pytest.raises(InputError, match=named) as caught:
        read_calibration(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["baseline_m", "fx_px"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = {"baseline_m": 0.12, "fx_px": 700}
    del content[key]
    with pytest.raises(InputError, match=f"key '{key}' is missing"):
        read_calibration(write(tmp_path, "calibration.json", content))


@pytest.mark.parametrize("content", ["{", "", "[]", "7", '"x"', "[" * 100_000])
def test_garbled_json_names_the_file_and_shows_an_example(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"calibration\.json: .*baseline_m") as caught:
        read_calibration(write(tmp_path, "calibration.json", content))
    assert "\n" not in str(caught.value)


def test_binary_and_absent_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "calib.txt").write_bytes(b"\xff\xfe\x00P0")
    for name in ("calib.txt", "calibration.json"):
        with pytest.raises(InputError, match=name):
            read_calibration(tmp_path / name)


def test_kitti_projections_by_hand(tmp_path: Path) -> None:
    """(45 + 340) / 700 = 0.55 m, doffs = 603 - 601 = 2 px; the grey pair: 378 / 700 = 0.54 m."""
    path = write(tmp_path, "calib.txt", KITTI_2012)
    colour = Camera(pytest.approx(0.55), 700, 710, 601, 181, doffs_px=2)
    assert read_calibration(path).camera == colour
    assert read_calibration(path, (2, 3)).camera == colour
    assert read_calibration(path, (0, 1)).camera == Camera(pytest.approx(0.54), 700, 700, 600, 180)
    grey = write(tmp_path, "grey.txt", "\n".join(KITTI_2012.splitlines()[:2]))
    assert read_calibration(grey).camera.baseline_m == pytest.approx(0.54)
    with pytest.raises(InputError, match=r"grey\.txt: no P2 and P3"):
        read_calibration(grey, (2, 3))


def test_kitti_raw_has_its_size(tmp_path: Path) -> None:
    """(44.85728 + 339.5242) / 721.5377 = 0.532725 m."""
    calibration = read_calibration(write(tmp_path, "calib_cam_to_cam.txt", KITTI_RAW))
    assert calibration.camera.baseline_m == pytest.approx(0.532725, abs=1e-6)
    assert (calibration.camera.fx_px, calibration.camera.doffs_px, calibration.size) == (721.5377, 0, (1242, 375))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("-340", "45", r"P2 and P3 give the baseline 0 m"),
        ("-340", "345", r"P2 and P3 give the baseline -0\.428571 m.*swapped"),
        ("P3: 700 0 603 -340", "P3: 700 0 603", "P3 is .* expected 12 numbers"),
        ("P2: 700", "P2: seven", "P2 is 'seven"),
        ("P2: 700", "P2: nan", "P2 is 'nan"),
        ("P2: 700", "P2: -700", "P2 has the focal length -700"),
        ("P2: 700 0 601 45", "P2: 1 0 601 45", "baseline_m is 385 m"),
    ],
)
def test_garbled_kitti_names_file_and_row(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = write(tmp_path, "calib.txt", KITTI_2012.replace(old, new))
    with pytest.raises(InputError, match=rf"calib\.txt: {named}"):
        read_calibration(path, (2, 3))


def test_a_text_of_neither_kind_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"P2 and P3, or P0 and P1.*cam0=.*calibration\.json"):
        read_calibration(write(tmp_path, "calib.txt", "hello: world\n"))


def test_middlebury_is_in_millimetres(tmp_path: Path) -> None:
    calibration = read_calibration(write(tmp_path, "calib.txt", MIDDLEBURY))
    assert calibration.camera == Camera(pytest.approx(0.193001), 994.978, 994.978, 311.193, 254.877, doffs_px=31.086)
    assert calibration.size == (741, 497)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("baseline=193.001\n", "", "baseline= .* missing"),
        ("baseline=193.001", "baseline=wide", "baseline is 'wide'"),
        ("baseline=193.001", "baseline=0", "baseline_m is 0.0"),
        ("cam0=[994.978", "cam0=[", "cam0 is .* expected 9 numbers"),
        ("doffs=31.086", "doffs=", "doffs is ''; expected 1 number$"),
    ],
)
def test_garbled_middlebury_names_file_and_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = write(tmp_path, "calib.txt", MIDDLEBURY.replace(old, new))
    with pytest.raises(InputError, match=rf"calib\.txt: {named}"):
        read_calibration(path)


def test_images_of_another_size_scale_the_camera(tmp_path: Path) -> None:
    """741x497 to 370x248: x by 370/741, y by 248/497, which agree to 0.07 %."""
    calibration = read_calibration(write(tmp_path, "calib.txt", MIDDLEBURY))
    half = calibration.at((370, 248))
    assert (half.fx_px, half.doffs_px) == pytest.approx((994.978 * 370 / 741, 31.086 * 370 / 741))
    assert (half.fy_px, half.baseline_m) == pytest.approx((994.978 * 248 / 497, 0.193001))


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    calibration = read_calibration(write(tmp_path, "calib.txt", MIDDLEBURY))
    with pytest.raises(InputError, match=r"calib\.txt: is for 741x497 images, but the image is 741x400"):
        calibration.at((741, 400))


def test_a_focal_length_in_millimetres_is_told(tmp_path: Path) -> None:
    calibration = read_calibration(write(tmp_path, "calibration.json", {"baseline_m": 0.12, "fx_px": 4.2}))
    with pytest.raises(InputError, match=r"fx_px is 4\.2 for 1280 px wide.*millimetres"):
        calibration.at((1280, 720))
