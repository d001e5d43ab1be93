"""One made-up camera in every format gives one and the same rectified pair; what cannot be right is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import calibrations_written as written
import cv2
import numpy as np
import pytest

from preprocessing.ground import InputError, write_png
from preprocessing.job import preprocess
from preprocessing.sets import find_calibration, format_of, read_calibration, read_lens
from preprocessing.sets.calibration import FORMATS, files_with
from preprocessing.sets.calibration.document import number

WRITERS = written.WRITERS
NAMES = {"ros": "ROS", "kalibr": "Kalibr", "oak": "OAK", "euroc": "EuRoC", "basalt": "Basalt"}


@pytest.fixture(scope="module")
def truth() -> tuple[float, float, float]:
    """fx, cx, cy of OpenCV's own rectification."""
    _, _, p1, _ = written.rectification()
    return p1[0, 0], p1[0, 2], p1[1, 2]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_one_camera(name: str, tmp_path: Path, truth: tuple[float, float, float]) -> None:
    calibration = read_calibration(WRITERS[name](tmp_path))
    camera = calibration.at(written.SIZE)
    assert (camera.fx_px, camera.u0_px, camera.v0_px) == pytest.approx(truth, rel=1e-6)
    assert camera.baseline_m == pytest.approx(written.B, rel=1e-6)
    assert camera.doffs_px == 0 and camera.fy_px == camera.fx_px
    assert calibration.is_raw and format_of(calibration.path) == NAMES.get(name, "OpenCV")


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_one_raw_pair(name: str, tmp_path: Path) -> None:
    pair = read_calibration(WRITERS[name](tmp_path)).pair_at(written.SIZE)
    assert np.allclose(pair.left.matrix, written.K1) and np.allclose(pair.right.matrix, written.K2)
    assert np.allclose(pair.left.coefficients[:4], written.D1) and np.allclose(pair.right.coefficients[:4], written.D2)
    assert not pair.left.coefficients[4:].any()
    assert np.allclose(pair.rotation, written.R, atol=1e-9) and np.allclose(pair.translation_m, written.T, atol=1e-9)


@pytest.mark.parametrize("name", WRITERS)
def test_it_is_found_by_its_content(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    (tmp_path / "notes.yaml").write_text("driver: somebody\nK1: 7\n")
    (tmp_path / "frames.json").write_text('[{"k1": 3}]')
    found = find_calibration(tmp_path)
    assert found is not None
    assert found == path or path in files_with(found) or found in files_with(path)
    if name != "opencv in millimetres":  # there calibration.json says the unit, and its name is fixed
        assert read_calibration(found).camera.baseline_m == pytest.approx(written.B, rel=1e-6)


def test_two_calibrations_are_not_chosen_between(tmp_path: Path) -> None:
    written.opencv(tmp_path)
    written.storage(tmp_path / "other.yml", {"P1": np.eye(3, 4), "P2": np.eye(3, 4)})
    assert find_calibration(tmp_path) == tmp_path / "stereo.yml"  # by its name
    (tmp_path / "stereo.yml").rename(tmp_path / "one.yml")
    with pytest.raises(InputError, match=r'several calibrations: one\.yml, other\.yml.*"from": "one\.yml"'):
        find_calibration(tmp_path)


def test_zed_takes_the_numbers_of_the_pictures_size(tmp_path: Path) -> None:
    path = written.zed(tmp_path)
    text = path.read_text()
    # The same camera at VGA (672 x 376), other numbers than HD's scaled: its own section counts.
    for side in ("LEFT", "RIGHT"):
        text += f"[{side}_CAM_VGA]\nfx=350\nfy=350\ncx=330\ncy=190\nk1=0\nk2=0\np1=0\np2=0\nk3=0\n"
    path.write_text(text)
    calibration = read_calibration(path)
    assert calibration.pair_at((1280, 720)).left.fx_px == written.K1[0, 0]
    assert calibration.pair_at((672, 376)).left.fx_px == 350
    assert calibration.pair_at((640, 360)).left.fx_px == written.K1[0, 0] / 2  # of HD's shape
    pair = calibration.pair_at((1280, 720))
    assert np.allclose(pair.rotation, written.R) and np.allclose(pair.translation_m, written.T)
    with pytest.raises(InputError, match="another shape"):
        calibration.pair_at((1280, 800))


def test_projections_alone_are_a_rectified_camera(tmp_path: Path, truth: tuple[float, float, float]) -> None:
    calibration = read_calibration(written.opencv_rectified(tmp_path))
    assert not calibration.is_raw and calibration.pairs == ()
    assert calibration.camera.fx_px == pytest.approx(truth[0]) and calibration.camera.baseline_m == pytest.approx(
        written.B
    )


def test_equidistant_lenses_are_read_as_such(tmp_path: Path) -> None:
    pair = read_calibration(written.kalibr(tmp_path, "equidistant")).pair_at(written.SIZE)
    assert pair.left.model == "equidistant" and np.allclose(pair.left.distortion, written.E1)


def test_cameras_of_a_chain_can_be_chosen(tmp_path: Path) -> None:
    """In the chain the other way round cam1 is the left camera: refused, until somebody says so."""
    path = written.kalibr(tmp_path)
    text = path.read_text().replace("cam0:", "camX:").replace("cam1:", "cam0:").replace("camX:", "cam1:")
    turned = np.linalg.inv(written.transform())
    before, after = text.split("  T_cn_cnm1:\n")
    rows = "".join(f"  - {written.flow(row)}\n" for row in turned)
    swapped = before.replace("cam1:\n", "cam1:\n  T_cn_cnm1:\n" + rows) + "".join(after.splitlines(True)[4:])
    path.write_text(swapped)
    with pytest.raises(InputError, match=r"camchain-rig\.yaml: T_cn_cnm1 puts the right camera left.*swap"):
        read_calibration(path)
    own = written.put(tmp_path / "calibration.json", {"from": path.name, "cameras": [1, 0]})
    assert np.allclose(read_calibration(own).pair_at(written.SIZE).translation_m, written.T)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1000, r'T is 120\.025 m, more than 10.*times 0\.001 it is 0\.120025 m.*"unit": "mm"'),
        (500, r"T is 60\.0127 m.*0\.0600127 m"),
        (0.0005, r"T is 6\.00127e-05 m, less than a millimetre.*times 1000 it would be 0\.0600127 m"),
    ],
)
def test_a_unit_that_is_not_metres_is_refused_with_the_factor(tmp_path: Path, factor: float, said: str) -> None:
    content = {"M1": written.K1, "M2": written.K2, "R": written.R, "T": written.T[:, None] * factor}
    path = written.storage(tmp_path / "stereo.yml", content)
    with pytest.raises(InputError, match=rf"stereo\.yml: {said}"):
        read_calibration(path)


def test_numbers_that_yaml_takes_for_words_are_numbers(tmp_path: Path) -> None:
    """YAML 1.1 wants a point in 1e-05; Python writes none."""
    path = written.kalibr(tmp_path)
    path.write_text(path.read_text().replace(written.flow(written.D1), "[-0.21, 6e-2, 11e-4, -7e-4]"))
    assert np.allclose(read_calibration(path).pairs[0].left.distortion, written.D1)
    assert number(path, "x", "1e-05") == 1e-05


def change(path: Path, old: str, new: str) -> Path:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("writer", "old", "new", "named"),
    [
        (written.kalibr, "pinhole", "omni", r"cam0\.camera_model is 'omni'"),
        (written.kalibr, "radtan", "fov", r"cam0\.distortion_model is 'fov'; known: radtan"),
        (written.kalibr, "intrinsics: [420.0, ", "intrinsics: [", r"cam0\.intrinsics is 3 values; expected 4"),
        (written.kalibr, "intrinsics: [420.0", "intrinsics: [-420.0", "focal lengths -420"),
        (written.kalibr, "T_cn_cnm1", "T_other", r"cam1\.T_cn_cnm1 is missing; expected 16"),
        (written.kalibr, "cam1:", "cam7:", "no cam1 in it"),
        (written.kalibr, "[640, 400]", "[640, 480]", r"left is for \(640, 480\), right for \(640, 400\)"),
        (written.ros, "plumb_bob", "bent", "distortion_model is 'bent'; known: plumb_bob"),
        (written.ros, "data: [420.0, ", "data: [", "camera_matrix is 8 values; expected 9 numbers"),
        (written.oak, '"toCameraSocket": 2', '"toCameraSocket": -1', "lead nowhere from socket 1 to socket 2"),
        (written.oak, "[[2, ", "[[0, ", r"cameraData has no socket 2; there are: 0, 1"),
        (written.zed, "Baseline", "Length", r"\[STEREO\] Baseline \[mm\] is missing"),
        (written.zed, "fx=420.0", "fx=abc", r"\[LEFT_CAM_HD\] fx is 'abc'"),
        (written.basalt, "pinhole-radtan8", "ds", r"camera_type is 'ds', which OpenCV cannot undistort"),
        (written.euroc, "radial-tangential", "plumb", "distortion_model is 'plumb'"),
        (written.millimetres, '"mm"', '"ell"', "unit is 'ell'; offered: m, dm, cm, mm, in"),
        (written.millimetres, "board.yml", "bord.yml", r"bord\.yml: not a readable calibration"),
        (written.millimetres, '"unit"', '"units"', "unknown key 'units'"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(
    tmp_path: Path, writer: Callable[[Path], Path], old: str, new: str, named: str
) -> None:
    path = change(writer(tmp_path), old, new)
    with pytest.raises(InputError, match=named) as caught:
        read_calibration(path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_no_format_knows_says_which_were_tried(tmp_path: Path) -> None:
    path = written.put(tmp_path / "camera.yaml", "name: front\nfocal: 700\n")
    with pytest.raises(InputError, match=r"camera\.yaml: no calibration in a known format") as caught:
        read_calibration(path)
    assert all(one.name in str(caught.value) and one.mark in str(caught.value) for one in FORMATS.values())


def test_a_rig_whose_calibration_nobody_knows_names_the_file(tmp_path: Path) -> None:
    for side in ("left", "right"):
        write_png(tmp_path / side / "0.png", np.zeros((40, 60, 3), np.uint8))
    written.put(tmp_path / "camera.yaml", "name: front\nfocal: 700\n")
    with pytest.raises(InputError, match=r"write .*calibration\.json .*camera\.yaml beside it: in none.*ROS"):
        preprocess(tmp_path)


@pytest.mark.parametrize(("writer", "second"), [(written.ros, "right.yaml"), (written.euroc, "cam1/sensor.yaml")])
def test_a_missing_right_camera_is_named(tmp_path: Path, writer: Callable[[Path], Path], second: str) -> None:
    path = writer(tmp_path)
    (tmp_path / second).unlink()
    with pytest.raises(InputError, match=rf"{path.name}: is of one camera.*{second.split('/')[0].split('.')[0]}"):
        read_calibration(path)


def test_cameras_above_each_other_are_refused(tmp_path: Path) -> None:
    content = {"M1": written.K1, "M2": written.K2, "R": np.eye(3), "T": np.array([[0.01], [-0.12], [0.0]])}
    with pytest.raises(InputError, match="T puts one camera above the other"):
        read_calibration(written.storage(tmp_path / "stereo.yml", content))


def test_what_is_no_rotation_is_refused(tmp_path: Path) -> None:
    content = {"M1": written.K1, "M2": written.K2, "R": np.diag([1.0, 1.0, -1.0]), "T": written.T[:, None]}
    with pytest.raises(InputError, match="a rotation beside T is none"):
        read_calibration(written.storage(tmp_path / "stereo.yml", content))


def test_projections_of_two_cameras_calibrated_alone_are_no_pair(tmp_path: Path) -> None:
    path = written.ros(tmp_path)
    right = tmp_path / "right.yaml"
    _, _, _, p2 = written.rectification()
    right.write_text(right.read_text().replace(repr(float(p2[1, 2])), repr(float(p2[1, 2] + 7))))
    with pytest.raises(InputError, match=r"left\.yaml: .* are of no rectified pair: .*cy 200\.915 and 207\.915"):
        read_calibration(path)


def test_a_changed_right_file_is_read_anew(tmp_path: Path) -> None:
    path = written.ros(tmp_path)
    before = read_calibration(path).camera.baseline_m
    right = tmp_path / "right.yaml"
    _, _, _, p2 = written.rectification()
    right.write_text(right.read_text().replace(repr(float(p2[0, 3])), repr(float(p2[0, 3] * 1.5))))
    assert read_calibration(path).camera.baseline_m == pytest.approx(1.5 * before)


def test_pictures_of_half_the_size_have_half_the_numbers(tmp_path: Path) -> None:
    calibration = read_calibration(written.opencv(tmp_path))
    pair = calibration.pair_at((320, 200))
    # A pixel's centre is a whole number: cx 311 of 640 is (311 + 0.5) / 2 - 0.5 of 320.
    assert (pair.left.fx_px, pair.left.cx_px, pair.left.cy_px) == (210, 155.25, 103.25)
    half, full = calibration.at((320, 200)), calibration.at((640, 400))
    assert half.baseline_m == pytest.approx(full.baseline_m) and half.fx_px == pytest.approx(full.fx_px / 2, rel=5e-3)
    with pytest.raises(InputError, match="is for 640x400 images, but the image is 640x480"):
        calibration.at((640, 480))


LENSES: dict[str, tuple[Callable[[Path], Path], float]] = {
    "kalibr": (written.kalibr, 420),
    "opencv": (written.opencv, 420),
    "oak": (written.oak, 420),
    "euroc": (written.euroc, 420),
    "basalt": (written.basalt, 420),
}


@pytest.mark.parametrize("name", LENSES)
def test_one_camera_is_enough_for_a_lens(name: str, tmp_path: Path) -> None:
    path = LENSES[name][0](tmp_path)
    if name == "euroc":
        (tmp_path / "cam1" / "sensor.yaml").unlink()
    lens = read_lens(path, written.SIZE)
    assert (lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px) == pytest.approx((420, 424, 311, 207))


def test_lenses_of_files_of_one_camera(tmp_path: Path, truth: tuple[float, float, float]) -> None:
    ros = written.ros(tmp_path / "ros")
    (tmp_path / "ros" / "right.yaml").unlink()
    assert read_lens(ros, written.SIZE).fx_px == pytest.approx(truth[0])  # P: what image_rect shows
    row = "500 0 310 0 0 505 190 0 0 0 1 0"
    assert read_lens(written.put(tmp_path / "calib.txt", f"P2: {row}\n"), (640, 400)).fy_px == 505
    single = {"camera_matrix": written.K1.tolist(), "dist_coeff": [0.0], "image_width": 640, "image_height": 400}
    found = read_lens(written.put(tmp_path / "one.json", single), (320, 200))
    assert found.fx_px == 210
    content = written.storage(tmp_path / "one.xml", {"cameraMatrix": written.K1})
    assert read_lens(content, written.SIZE).cy_px == 207


def test_fisheye_matrices_of_opencv_say_so(tmp_path: Path) -> None:
    content = {"K1": written.K1.tolist(), "D1": written.E1.tolist(), "K2": written.K2.tolist()}
    content |= {"D2": written.E2.tolist(), "R": cv2.Rodrigues(written.R)[0].ravel().tolist(), "T": written.T.tolist()}
    path = written.put(tmp_path / "stereo.json", json.dumps({**content, "fisheye": True, "image_size": [640, 400]}))
    pair = read_calibration(path).pair_at(written.SIZE)
    assert pair.right.model == "equidistant" and np.allclose(pair.rotation, written.R)
