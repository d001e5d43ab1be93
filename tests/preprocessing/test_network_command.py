"""`preprocess --matcher onnx` as a user runs it: plan, refusal with what mends it, depth, resuming."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_crestereo import onnx_model
from made_up_stereo import stereo_model
from random_dots import HEIGHT, WIDTH, true_disparity, write_set
from typer.testing import CliRunner

from advmtl.cli.app import app
from preprocessing.ground import read_disparity, read_image, write_png
from preprocessing.job import read_manifest
from preprocessing.sets.cityscapes import frame_path
from preprocessing.stereo.network import OnnxSettings, onnx

NAMES = ("dots_0_1", "dots_0_2")
OPEN = ("width", "height")


def preprocess(root: Path, *options: object, workers: int = 1) -> tuple[int, str]:
    arguments = ["preprocess", str(root), "--matcher", "onnx", "--workers", str(workers), "--pictures", "0"]
    result = CliRunner().invoke(app, [*arguments, *map(str, options)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set", NAMES)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_set_becomes_depth(root: Path, tmp_path: Path, workers: int) -> None:
    model = stereo_model(tmp_path / "net.onnx", OPEN, factor=-16.0)
    (tmp_path / "net.onnx.json").write_text('{"sign": -1, "scale": 0.0625}')
    code, said = preprocess(root, "--weights", model, workers=workers)
    assert code == 0, said
    assert "2 frames with depth" in said
    row = read_manifest(root / "depth")[f"train/dots/{NAMES[0]}"]
    assert (row["matcher"]["sign"], row["matcher"]["scale"], row["matcher"]["input_range"]) == (-1, 0.0625, "0..255")
    assert "trust" not in row["matcher"] and "device" not in row["matcher"]
    disparity, valid = read_disparity(root / row["outputs"]["disparity"]["path"])
    assert row["outputs"]["disparity"]["path"].startswith("disparity_onnx/")
    off = np.abs(disparity - true_disparity())[valid]
    assert valid.mean() > 0.85 and (off > 3).mean() < 0.01  # D1
    assert preprocess(root, "--weights", model)[1].startswith("2 frames with depth (2 from before)")


def test_a_wrong_sign_is_refused_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    model = stereo_model(tmp_path / "net.onnx", OPEN, factor=-1.0)
    code, said = preprocess(root, "--weights", model)
    assert code == 2
    assert "net.onnx: does not match pair train/dots/dots_0_2 and 1 more" in said
    assert "the disparities are right when multiplied by -1: --set matcher.sign=-1" in said
    assert not (root / "depth").exists()
    assert preprocess(root, "--weights", model, "--set", "matcher.sign=-1")[0] == 0


def test_trust_goes_on(root: Path, tmp_path: Path) -> None:
    """Four times too large, and more than the picture is wide is left out; what is left is wrong, as asked for."""
    model = stereo_model(tmp_path / "net.onnx", OPEN, factor=4.0)
    assert preprocess(root, "--weights", model)[0] == 2
    options = ("--weights", model, "--set", "matcher.trust=true", "--set", "clean.left_right_px=none")
    assert preprocess(root, *options)[0] == 0


def test_a_dry_run_says_what_it_will_do_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    model = stereo_model(tmp_path / "net.onnx", (160, 96), expects="0..1")
    code, said = preprocess(root, "--weights", model, "--set", "matcher.input_range=0..1", "--dry-run")
    assert code == 0
    assert "network net.onnx: taken as lite_any_stereo; left and right take left and right: float32, 0..1, RGB" in said
    assert f"{WIDTH}x{HEIGHT} resized to 160x96" in said
    assert "disparity = 1 x answer, in pixels of its input" in said
    assert "pair train/dots/dots_0_2: agrees with OpenCV's sure disparities" in said
    assert "problem" not in said
    code, said = preprocess(root, "--weights", model, "--dry-run")
    assert code == 2 and "problem: " in said and "--set matcher.input_range=0..1" in said
    assert not (root / "depth").exists()


def test_pairs_that_decide_nothing_are_a_doubt_not_a_refusal(root: Path, tmp_path: Path) -> None:
    for path in (root / "rightImg8bit").rglob("*.png"):
        noise = np.random.default_rng(len(path.name)).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        write_png(path, noise)
    model = stereo_model(tmp_path / "net.onnx", OPEN, factor=1.0)
    options = ("--weights", model, "--set", "matcher.check=false", "--set", "clean.speckle_ppm=0")
    code, said = preprocess(root, *options)
    assert code == 0, said
    assert "warning: " in said and "no pair of 2 could tell whether it is fed and read rightly" in said
    assert "no pair of 2" in json.dumps(preprocess(root, *options, "--again", "--dry-run")[1])


def test_what_is_no_stereo_network_is_one_line(root: Path, tmp_path: Path) -> None:
    garbage = tmp_path / "net.onnx"
    garbage.write_bytes(b"garbage")
    code, said = preprocess(root, "--weights", garbage)
    assert code == 2 and "net.onnx: is no ONNX file" in said and "Traceback" not in said
    assert preprocess(root)[0] == 2
    assert "the matcher onnx has no such setting" in preprocess(root, "--weights", garbage, "--iterations", 3)[1]


def test_one_picture_of_an_odd_size_costs_itself_alone(root: Path, tmp_path: Path) -> None:
    """A network for 96 rows at most: the second frame, tried first, has more, and is listed."""
    model = stereo_model(tmp_path / "net.onnx", OPEN, most_rows=96)
    for side in ("left", "right"):
        path = frame_path(root, side, "train", "dots", NAMES[1])
        picture = read_image(path)
        write_png(path, np.concatenate([picture, picture]))
    frame_path(root, "labels", "train", "dots", NAMES[1]).unlink()
    code, said = preprocess(root, "--weights", model)
    assert code == 3, said
    assert "1 frames with depth" in said and "ONNX Runtime cannot run it at 192x160" in said


def test_crestereo_s_two_passes_are_run_as_ever(tmp_path: Path) -> None:
    """Left blue / 10 + right red / 100, and the half pair adds left blue less right blue; see `made_up_crestereo`."""
    left, right = np.zeros((2, 100, 320, 3), np.uint8)
    left[..., 2], left[..., 0], right[..., 2], right[..., 0] = 90, 40, 30, 200
    combined = onnx_model(tmp_path / "combined.onnx", (160, 120), half=(80, 60))
    settings = OnnxSettings(weights=combined, device="cpu", check=False)
    assert settings.family == "crestereo"
    found = onnx(left, right, settings).disparity[50, 250:]
    np.testing.assert_allclose(found, (9 + 2 + 60) * 320 / 160, atol=1e-2)
    before = onnx_model(tmp_path / "init.onnx", (80, 60))
    after = onnx_model(tmp_path / "next.onnx", (160, 120), flow=(80, 60))
    settings = OnnxSettings(weights=after, weights_init=before, device="cpu", check=False)
    np.testing.assert_allclose(onnx(left, right, settings).disparity[50, 250:], 2 * 11 * 2, atol=1e-2)
