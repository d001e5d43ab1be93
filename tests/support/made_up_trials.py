"""Trials of a study without training: metrics that follow from the configuration, told as `fit` tells them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from street_set import TASKS

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.training.callbacks import Callback

Metrics = dict[str, dict[str, Any]]
NETWORK = {"encoder": {"weights": None, "width": 0.5}, "generator": {"channels": 8, "crp_stages": 0}}
TRAIN = {"epochs": 2, "log_every": 1, "warmup_steps": 1, "panels": 0}


def street_config(root: Path, **sections: Mapping[str, Any]) -> Config:
    """Two tasks on the streets of the fixture, a small network, two epochs of three steps."""
    sources = {role: [{"format": "cityscapes", "root": str(root), "split": role}] for role in ("train", "val")}
    values = {
        **{"name": "street", "seed": 4, "tasks": TASKS, **NETWORK},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 8},
        "train": {**TRAIN, **sections.get("train", {})},
        **{name: values for name, values in sections.items() if name != "train"},
    }
    return validate(Config, values, "test")


def by_learning_rate(config: Config, epoch: int) -> Metrics:
    """Best mIoU at 0.003; AbsRel falls with the rate; both better with every epoch."""
    rate, left = config.train.learning_rate, 0.1 * (config.train.epochs - epoch)
    return {
        "segmentation": {"miou": 0.6 - abs(rate - 0.003) * 20 - left, "iou_per_class": {"car": 0.5, "bus": None}},
        "depth": {"abs_rel": 0.5 - 10 * rate + left},
    }


class MadeUp:
    """In the place of `fit`: notes the configurations it is given, and writes the rows that it tells of.

    `fails` is asked before each epoch and may raise, as training does.
    """

    def __init__(
        self,
        metrics: Callable[[Config, int], Metrics] = by_learning_rate,
        fails: Callable[[Config, int], None] = lambda config, epoch: None,
    ) -> None:
        self.metrics, self.fails, self.configs = metrics, fails, list[Config]()

    def __call__(
        self, config: Config, folder: Path, device: object, console: object, *, callbacks: Sequence[Callback] = ()
    ) -> SimpleNamespace:
        """Go on where the rows in the folder end."""
        self.configs.append(config)
        path = folder / "metrics.jsonl"
        begun = len(path.read_text().splitlines()) if path.is_file() else 0
        found: Metrics = self.metrics(config, begun) if begun else {}
        for epoch in range(begun + 1, config.train.epochs + 1):
            self.fails(config, epoch)
            found = self.metrics(config, epoch)
            with path.open("a") as file:
                file.write(json.dumps({"kind": "validation", "step": 3 * epoch, "epoch": epoch, **flat(found)}) + "\n")
            for one in callbacks:
                one.on_epoch(epoch, found)
        return SimpleNamespace(metrics=found)


def flat(metrics: Metrics) -> dict[str, float]:
    """As in metrics.jsonl; what is no number is left out."""
    rows: dict[str, float] = {}
    for task, figures in metrics.items():
        for name, value in figures.items():
            parts = value if isinstance(value, dict) else {"": value}
            keys = {f"{task}/{name}{f'/{part}' if part else ''}": one for part, one in parts.items()}
            rows |= {key: one for key, one in keys.items() if one is not None and one - one == 0}
    return rows
