"""Run folders written by hand, as a training leaves them, without training."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.drawing.visualize import evolution_gif
from preprocessing.ground.files import write_png

NAMES = ("sky", "bui<ld>ing", "road")  # no class is called so; whatever a file says must not become markup


def write_run(folder: Path, *, old: bool = False, epochs: int = 3, **config: Any) -> Path:
    """A run of `epochs` epochs of 4 steps, logged at every second; `old`: without what later versions record."""
    values = {
        "tasks": {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}},
        "discriminators": {"both": {"sees": ["segmentation", "depth"], "objective": "hinge", "weight": 0.5}},
        "data": {"val": [{"format": "cityscapes", "root": "nowhere", "split": "val"}]},
        **config,
    }
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(validate(Config, {"train": {"epochs": epochs}, **values}, "test").to_yaml())
    rows: list[dict[str, Any]] = []
    for step in range(2, 4 * epochs + 1, 2):
        rows.append({"kind": "train", "step": step, "epoch": (step - 1) // 4, **_training(step)})
        if step % 4 == 0:
            rows.append({"kind": "validation", "step": step, "epoch": step // 4, **_measured(step, old=old)})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "evaluation.json").write_text(json.dumps(evaluation(old=old)))
    if not old:
        _write_new(folder, epochs)
    picture = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    write_png(folder / "panels" / "town_1.png", picture)
    write_png(folder / "panels" / "epoch_0001.png", picture)
    evolution_gif([picture, picture[::-1]], folder / "evolution.gif")
    return folder


def _training(step: int) -> dict[str, float]:
    return {
        **{"combined": 8 / step, "segmentation/supervised": 5 / step, "segmentation/cross_entropy": 5 / step},
        **{"depth/supervised": 2 / step, "depth/berhu": 2 / step, "adversarial/both": 2 / step},
        **{"discriminator/both/accuracy": 0.75, "discriminator/both/loss": 1.5, "balance/weight/depth": 0.25},
        **{"gradient_cosine_at_z/segmentation~depth": -0.1, "gradient_norm_at_z/depth": 0.5, "learning_rate": 0.1},
    }


def _measured(step: int, *, old: bool) -> dict[str, float]:
    losses = {
        **{"losses/combined": 9 / step, "losses/segmentation/supervised": 6 / step},
        **{"losses/depth/supervised": 2.5 / step, "losses/adversarial": 0.5 / step},
    }
    return {
        **({} if old else losses),
        **{"segmentation/miou": 0.1 * step, "segmentation/iou_per_class/road": 0.5, "depth/abs_rel": 1 / step},
        **{"depth/rmse_m": 9.0},
    }


def evaluation(*, old: bool = False) -> dict[str, Any]:
    """Figures of three classes and two bands."""
    segmentation: dict[str, Any] = {
        **{"miou": 0.5, "pixel_accuracy": 0.75, "frames": 6},
        "iou_per_class": dict(zip(NAMES, (0.25, None, 0.75), strict=True)),
    }
    depth: dict[str, Any] = {"abs_rel": 0.125, "rmse_m": 4.5, "delta1": 0.875, "pixels": 12345, "frames": 6}
    if not old:
        segmentation["confusion"] = [[30, 10, 0], [0, 0, 0], [1, 0, 399]]
        depth["bands"] = [
            {"from_m": 0, "to_m": 10, "pixels": 12000, "abs_rel": 0.1, "rmse_m": 1.0, "bias_m": -0.25},
            {"from_m": 10, "to_m": 20, "pixels": 0, "abs_rel": None, "rmse_m": None, "bias_m": None},
        ]
    return {
        **{"segmentation": segmentation, "depth": depth, "measured_on": ["cityscapes:nowhere:val"]},
        "skipped": [{"name": "town_<9>", "reason": "town_9.png: truncated"}],
    }


def _write_new(folder: Path, epochs: int) -> None:
    source = "cityscapes:nowhere:val"
    frames = [
        {"source": source, "frame": f"town_{n}", "miou": n / 10, "pixel_accuracy": 0.5, "abs_rel": n / 20, "rmse_m": n}
        for n in range(6)
    ]
    (folder / "evaluation_frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in frames))
    times = [
        {
            **{"step": step, "epoch": 0, "seconds": 10.0, "frames": 40, "frames_per_s": 5.0},
            **{"waiting_s": 1.0, "validation_s": 2.0, "saving_s": 0.0},
        }
        for step in range(2, 4 * epochs + 1, 2)
    ]
    (folder / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in times))
