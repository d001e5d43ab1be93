"""Frames that no file has: squares of one class before a ground of another, nearer than it; and a run of seconds."""

from pathlib import Path
from typing import Any

import numpy as np

import advmtl
from advmtl.config import Config
from advmtl.data import BadFrame, Sample
from advmtl.tasks import FrameRecord

VALUES: dict[str, Any] = {
    "name": "squares",
    "seed": 3,
    "tasks": {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}},
    "encoder": {"weights": None, "width": 0.5},
    "generator": {"channels": 8, "crp_stages": 1},
    "data": {"size": "64x32", "batch_size": 2, "workers": 0, "classes": "categories7"},
    "train": {"epochs": 1, "log_every": 1, "warmup_steps": 1, "panels": 0},
}


def squares_config(*overrides: str, **options: Any) -> Config:
    """The configuration of a run on `Squares`, without sources."""
    return advmtl.load_config(VALUES, overrides, **options)


class Squares:
    """Frames 64x32 with classes and depth; the records tell which labels there are."""

    def __init__(self, count: int, seed: int = 0, *, extra: str | None = None) -> None:
        self.bad_frames: list[BadFrame] = []
        self.seed, nowhere = seed, Path("made")
        self.records = [
            FrameRecord(
                *(f"square{seed}_{number}", nowhere, "train", "categories7"),
                labels=nowhere,
                depth=nowhere,
                extra={extra: nowhere} if extra else {},
            )
            for number in range(count)
        ]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> Sample:
        rng = np.random.default_rng((self.seed, number))
        classes, depth = np.zeros((32, 64), np.uint8), np.full((32, 64), 40.0, np.float32)
        top, left = rng.integers(0, 16), rng.integers(0, 40)
        classes[top : top + 16, left : left + 24], depth[top : top + 16, left : left + 24] = 1, 10.0
        image = np.repeat((60 + 120 * classes)[..., None], 3, 2).astype(np.uint8)
        targets = {"segmentation": classes, "depth": depth, "brightness": (image[..., 0] / 255).astype(np.float32)}
        shown = {name: target for name, target in targets.items() if name != "brightness" or self.records[0].extra}
        return Sample(image, shown, self.records[number])
