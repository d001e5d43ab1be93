"""`preprocess` on rigs whose pictures come in other ways: pairs, halves, bits, sequences, a sensor's own depth."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import advmtl
from random_dots import CAMERA, dot_pair

from preprocessing.ground.files import read_grey_or_index, write_png

CALIBRATION = json.dumps({"baseline_m": CAMERA.baseline_m, "fx_px": CAMERA.fx_px})


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    root = tmp_path / "rig"
    for name, picture in zip(("left", "right"), dot_pair(), strict=True):
        write_png(root / name / "monday/am/0.png", picture)
    (root / "calibration.json").write_text(CALIBRATION)
    return root


@pytest.fixture
def expected(rig: Path) -> np.ndarray:
    assert advmtl("preprocess", rig, "--workers", 1, "--out", rig.parent / "plain").exit_code == 0
    return read_grey_or_index(rig.parent / "plain/depth/monday/am/0.png")


def depth_of(root: Path, name: str, *options: object) -> np.ndarray:
    result = advmtl("preprocess", root, "--workers", 1, *options)
    assert result.exit_code == 0, result.output
    return read_grey_or_index(root / "depth" / f"{name}.png")


def test_both_views_in_one_picture_give_the_same_depth(tmp_path: Path, expected: np.ndarray) -> None:
    write_png(tmp_path / "zed/all/7.png", np.hstack(dot_pair()))
    (tmp_path / "zed/calibration.json").write_text(CALIBRATION)
    (tmp_path / "zed/rig.json").write_text('{"left": "all", "layout": "side_by_side"}')
    assert np.array_equal(depth_of(tmp_path / "zed", "7"), expected)


def test_ten_bits_give_the_same_depth_and_are_said(tmp_path: Path, expected: np.ndarray) -> None:
    root = tmp_path / "ten"
    for name, picture in zip(("left", "right"), dot_pair(), strict=True):
        (root / name).mkdir(parents=True)
        cv2.imwrite(str(root / name / "0.png"), picture[..., ::-1].astype(np.uint16) << 2)
    (root / "calibration.json").write_text(CALIBRATION)
    assert np.array_equal(depth_of(root, "0"), expected)
    (row,) = [json.loads(line) for line in (root / "depth/manifest.jsonl").read_text().splitlines()]
    assert row["reading"]["bits"] == 10
    assert "pictures use 10 of 16 bits" in advmtl("preprocess", root, "--dry-run").stdout
    assert "finished" not in advmtl("preprocess", root, "--dry-run", "--bits", 12).stdout.split("1 frames, 0")[0]


def test_names_that_differ_give_the_same_depth_and_are_said(tmp_path: Path, expected: np.ndarray) -> None:
    root = tmp_path / "differ"
    for name, picture in zip(("left", "right"), dot_pair(), strict=True):
        write_png(root / name / f"{name}_0001.png", picture)
    (root / "calibration.json").write_text(CALIBRATION)
    assert np.array_equal(depth_of(root, "left_0001"), expected)
    assert "names are paired by left and right" in advmtl("preprocess", root, "--dry-run").stdout


def test_one_sequence_and_those_below_it(rig: Path) -> None:
    for name, picture in zip(("left", "right"), dot_pair(1), strict=True):
        write_png(rig / name / "tuesday/0.png", picture)
    result = advmtl("preprocess", rig, "--split", "monday", "--workers", 1)
    assert result.exit_code == 0 and (rig / "depth/monday/am/0.png").exists()
    assert not (rig / "depth/tuesday").exists()
    result = advmtl("preprocess", rig, "--split", "sunday")
    assert result.exit_code == 2 and "its sequences are monday/am, tuesday" in result.output


def test_a_dry_run_ends_as_the_run_would(rig: Path) -> None:
    """0: all well; 3: one of two frames has no partner; 2: none has one."""
    assert advmtl("preprocess", rig, "--dry-run").exit_code == 0
    write_png(rig / "left/monday/am/1.png", dot_pair(1)[0])
    result = advmtl("preprocess", rig, "--dry-run")
    assert result.exit_code == 3 and "its right image is missing; right/ has monday/am/0" in result.stdout
    (rig / "right/monday/am/0.png").rename(rig / "right/monday/am/x.png")
    assert advmtl("preprocess", rig, "--dry-run").exit_code == 2


def test_a_sensors_own_depth_stays_and_nothing_is_written_beside_it(rig: Path) -> None:
    own = rig / "depth/monday/am/0.png"
    write_png(own, np.full((80, 176), 8400, np.uint16))
    content = own.read_bytes()
    for options in ((), ("--again",), ("--dry-run",)):
        result = advmtl("preprocess", rig, "--workers", 1, *options)
        assert result.exit_code == 2 and f"--out {rig}_depth" in result.output
    assert own.read_bytes() == content and [path.name for path in (rig / "depth").iterdir()] == ["monday"]
    assert advmtl("preprocess", rig, "--workers", 1, "--out", f"{rig}_depth").exit_code == 0


def test_what_is_not_read_is_said_once(rig: Path) -> None:
    (rig / "left/monday/am/1.heic").touch()
    result = advmtl("preprocess", rig, "--dry-run")
    assert result.stdout.count(f"{rig}/left: 1 file of another kind (.heic) is not read") == 1
