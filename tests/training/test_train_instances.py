"""Runs with the instance task, alone and with the others: learnt, measured, drawn, exported."""

from pathlib import Path

import pytest
import torch
from instance_set import write_instances
from rich.console import Console
from street_set import TASKS, write_cityscapes

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.training.fitting import fit
from advmtl.training.scores import headline, score
from export.convert.to_onnx import export_run
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image

INSTANCE = {"instance": {"losses": {"l1": 1, "mse": 0.1}}}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    for split in ("train", "val"):
        write_instances(root, split, write_cityscapes(root, split, 3)[:2])
    return root


def make_config(streets: Path, tasks: dict, **values: object) -> Config:
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    plain = {
        "tasks": tasks,
        "encoder": {"weights": None},
        "generator": {"channels": 16, "crp_stages": 1},
        "data": {**sources, "size": "96x48", "batch_size": 2, "workers": 0},
        "train": {"epochs": 2, "log_every": 1, "warmup_steps": 2, "panels": 2},
    }
    return validate(Config, {**plain, **values}, "test")


@pytest.mark.slow
def test_three_tasks_with_a_critic_that_sees_them_all(streets: Path, tmp_path: Path) -> None:
    critic = {"sees": ["segmentation", "depth", "instance"], "objective": "hinge", "channels": 4, "layers": 2}
    config = make_config(streets, {**TASKS, **INSTANCE}, discriminators={"all": critic})
    metrics = fit(config, tmp_path, torch.device("cpu"), Console(quiet=True)).metrics
    assert {"segmentation", "depth", "instance"} <= metrics.keys() and metrics["instance"]["frames"] == 2
    assert "offset RMSE" in headline(metrics) and "PQ" in headline(metrics)
    pictures = [read_image(path) for path in sorted((tmp_path / "panels").glob("town*.png"))]
    assert len(pictures) == 2 and pictures[0].shape == pictures[1].shape, "frames with and without instances"
    report = export_run(tmp_path, tmp_path / "model.onnx", count=2)
    assert report.metadata.outputs == ("classes", "depth_m", "offsets_px") and report.parity.offset_max_px is not None


def test_the_task_alone_has_a_best_checkpoint(streets: Path, tmp_path: Path) -> None:
    metrics = fit(make_config(streets, INSTANCE), tmp_path, torch.device("cpu"), Console(quiet=True)).metrics
    assert (tmp_path / "checkpoints" / "best.pt").is_file()
    assert set(metrics) == {"instance", "measured_on", "measured_as"} and "pq" not in metrics["instance"]
    assert headline(metrics).startswith("offset RMSE")


def test_a_set_without_the_label_is_an_input_error(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_cityscapes(tmp_path, split, 2)
    with pytest.raises(InputError, match=r"tasks\.instance: no training frame has this label"):
        fit(make_config(tmp_path, {**TASKS, **INSTANCE}), tmp_path / "run", torch.device("cpu"), Console(quiet=True))


def test_score_by_hand() -> None:
    """mIoU 0.4, δ1 0.6, and 1 − 6 / 8 = 0.25."""
    metrics = {
        "segmentation": {"miou": 0.4},
        "depth": {"delta1": 0.6},
        "instance": {"offset_rmse_px": 6.0, "zero_rmse_px": 8.0},
    }
    assert score(metrics) == pytest.approx(1.25 / 3)
    assert score({"instance": metrics["instance"]}) == pytest.approx(0.25)
