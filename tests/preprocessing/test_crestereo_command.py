"""CREStereo through the command: the public weights' file and an ONNX export, as a user gives them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_crestereo import made_up_weights, onnx_model
from random_dots import HEIGHT, WIDTH, write_set
from typer.testing import CliRunner

from advmtl.cli.app import app
from preprocessing.ground.disparity import read_disparity
from preprocessing.ground.files import read_image, sha256_of
from preprocessing.job.manifest import read_manifest
from preprocessing.sets.cityscapes import frame_path
from preprocessing.stereo.crestereo.network import CREStereo

NAME = "dots_0_1"


def preprocess(root: Path, *options: object) -> tuple[int, str]:
    arguments = ["preprocess", str(root), "--matcher", "crestereo", "--workers", "1", "--pictures", "0"]
    result = CliRunner().invoke(app, [*arguments, *map(str, options)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set", (NAME,))


def test_an_onnx_export(root: Path, tmp_path: Path) -> None:
    """The stand-in answers a tenth of left's blue and a hundredth of right's red; the pictures are grey."""
    model = onnx_model(tmp_path / "init.onnx", (WIDTH, HEIGHT))
    plain = [f"--set=clean.{key}=0" for key in ("median", "smooth_px", "speckle_ppm")]
    code, said = preprocess(root, "--weights", model, "--set", "matcher.check=false", *plain)
    assert code == 0, said
    row = read_manifest(root / "depth")[f"train/dots/{NAME}"]
    assert row["matcher"]["weights"] == f"init.onnx sha256:{sha256_of(model)}"
    disparity, valid = read_disparity(root / row["outputs"]["disparity"]["path"])
    left, right = (read_image(frame_path(root, kind, "train", "dots", NAME)) for kind in ("left", "right"))
    expected = 0.1 * left[..., 2] + 0.01 * right[..., 0]
    assert valid.mean() > 0.8
    assert np.abs(disparity - expected)[valid].max() < 1 / 256


def test_the_weights_file(root: Path, tmp_path: Path) -> None:
    weights = tmp_path / "made_up.pth"
    torch.save(made_up_weights(CREStereo(), 4), weights)  # of the first seeds one that answers with both signs
    options = ("--weights", weights, "--iterations", 2, "--device", "cpu", "--set", "matcher.check=false")
    code, said = preprocess(root, *options, "--set", "clean.speckle_ppm=0")
    assert code == 0, said
    row = read_manifest(root / "depth")[f"train/dots/{NAME}"]
    assert (row["matcher"]["iterations"], row["matcher"]["size"]) == (2, None)
    assert row["density"] > 0
