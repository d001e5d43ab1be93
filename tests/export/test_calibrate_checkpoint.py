"""A factor beside the weights of a checkpoint: what is computed, exported and described with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import advmtl
from standins import make_frame

from advmtl.config import load_config
from advmtl.training import build, load_checkpoint, load_trained, save_checkpoint
from export.calibrate import default_out, write_scaled
from export.graph import describe
from export.session import open_session

SIZE = (96, 64)


@pytest.fixture(scope="module", params=["canonical", "ignored"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the untrained state of a small network."""
    values = {
        "name": "small",
        "tasks": {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 16, "crp_stages": 1},
        "data": {"size": "{}x{}".format(*SIZE), "workers": 0},
        "depth": {"lens": request.param},
    }
    config = load_config(values)
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    state = build(config, torch.device("cpu"))
    save_checkpoint(folder / "checkpoints" / "best.pt", state.state_dict(), config)
    return folder


def test_depth_is_multiplied_and_nothing_else(run: Path, tmp_path: Path) -> None:
    out = default_out(run)
    assert out == run / "checkpoints" / "best_calibrated.pt"
    write_scaled(run, out, 0.5, {"factor": 0.5})
    write_scaled(out, tmp_path / "again.pt", 4.0, {"factor": 4.0})
    frame = make_frame(3, SIZE)
    plain, half, twice = (open_session(path, "cpu").run(frame) for path in (run, out, tmp_path / "again.pt"))
    assert plain.depth_m is not None and half.depth_m is not None and twice.depth_m is not None
    known = np.isfinite(plain.depth_m)
    assert known.any() and plain.depth_m[known].min() > 3 and plain.depth_m[known].max() < 39  # nothing is clipped
    np.testing.assert_allclose(half.depth_m[known], plain.depth_m[known] / 2, rtol=1e-5)
    np.testing.assert_allclose(twice.depth_m[known], plain.depth_m[known] * 2, rtol=1e-5)
    assert np.array_equal(plain.classes, half.classes)
    trained = load_trained(tmp_path / "again.pt")
    assert trained.config.depth.scale == 2 and trained.config.hash != load_trained(run).config.hash
    assert describe(trained.config).depth_scale == 2 and describe(load_trained(run).config).depth_scale == 1


def test_a_scale_of_one_is_a_run_of_before(run: Path) -> None:
    state, config = load_checkpoint(run / "checkpoints" / "best.pt")
    assert "scale" not in config.computed()["depth"] and "calibration" not in state


@pytest.mark.parametrize("run", ["canonical"], indirect=True)  # an export takes seconds
def test_an_export_has_the_factor(run: Path, tmp_path: Path) -> None:
    write_scaled(run, tmp_path / "half.pt", 0.5, {"factor": 0.5})
    result = advmtl("export", tmp_path / "half.pt", "--frames", _pictures(tmp_path), "--out", tmp_path / "half.onnx")
    assert result.exit_code == 0, result.output
    frame = make_frame(3, SIZE)
    exported, checkpoint = open_session(tmp_path / "half.onnx", "cpu", 1), open_session(run, "cpu")
    assert exported.metadata.depth_scale == 0.5
    half, plain = exported.run(frame).depth_m, checkpoint.run(frame).depth_m
    assert half is not None and plain is not None
    known = np.isfinite(plain) & np.isfinite(half)
    assert known.any()
    np.testing.assert_allclose(half[known], plain[known] / 2, rtol=1e-3)


def _pictures(folder: Path) -> Path:
    from preprocessing.ground import write_png

    for number in range(2):
        write_png(folder / "pictures" / f"{number}.png", make_frame(number, SIZE))
    return folder / "pictures"
