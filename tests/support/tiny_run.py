"""A run of seconds on the `streets` of the conftest: two tasks, one discriminator, two epochs of three steps."""

from pathlib import Path

import torch
from rich.console import Console
from street_set import TASKS

from advmtl.config.experiment import Config
from advmtl.config.typed import validate

CPU = torch.device("cpu")
CRITIC = {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 4, "layers": 2}


def make_config(streets: Path, *, critic: bool = True, **train: object) -> Config:
    """The run's configuration with these settings of `train`; without its critic a step takes a third of the time."""
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    values = {
        "name": "tiny",
        "seed": 3,
        "tasks": TASKS,
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 16, "crp_stages": 1},
        "discriminators": {"both": CRITIC} if critic else {},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 0},
        "train": {"epochs": 2, "log_every": 1, "warmup_steps": 2, "panels": 2, **train},
    }
    return validate(Config, values, "test")


def quiet() -> Console:
    return Console(quiet=True)
