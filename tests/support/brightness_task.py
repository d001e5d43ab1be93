"""A task that a caller brings: how bright each pixel is, 0..1; its label is a grey picture named in the record."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from advmtl.tasks import Array, DataSource, Figure, FrameRecord, Loss, Output, Size, Task, TaskArrays, TaskLearning
from advmtl.tasks import TaskSpec as Spec


class BrightnessArrays(TaskArrays):
    dtype = "float32"
    channels = 0
    outputs = (Output("brightness", "float32 [1,H,W], share", "absolute", 1e-3),)
    derived = ()

    def has(self, record: FrameRecord) -> bool:
        return "brightness" in record.extra

    def without(self, record: FrameRecord) -> FrameRecord:
        return replace(record, extra={k: v for k, v in record.extra.items() if k != "brightness"})

    def missing(self, sources: Sequence[DataSource]) -> str:
        return "there are no grey pictures"

    def derive(self, outputs: Mapping[str, Array], spec: Spec) -> dict[str, Array]:
        return {}

    def resized(self, output: str, values: Array, size: Size) -> Array:
        rows, columns = (np.arange(n) * old // n for n, old in zip(size[::-1], values.shape, strict=True))
        return values[rows][:, columns]


def absolute(prediction: Tensor, target: Tensor, *, processes: object = None) -> Tensor:
    """Mean |p − g|."""
    return (prediction - target).abs().mean()


class BrightnessMeter:
    def __init__(self) -> None:
        self.total, self.pixels = 0.0, 0

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        error = (outputs["brightness"] - targets["brightness"]).abs()
        self.total, self.pixels = self.total + float(error.sum()), self.pixels + error.numel()

    def merge(self, other: "BrightnessMeter") -> None:
        self.total, self.pixels = self.total + other.total, self.pixels + other.pixels

    def compute(self) -> dict[str, Any]:
        return {"mean_error": self.total / self.pixels} if self.pixels else {}


class BrightnessLearning(TaskLearning):
    losses: ClassVar[Mapping[str, Loss]] = {"absolute": Loss(absolute, weight=1.0)}
    figures = (Figure("mean_error", "1", False, main=True),)

    def channels(self, spec: Spec) -> int:
        return 1

    def activate(self, x: Tensor, spec: Spec) -> Tensor:
        return x.sigmoid()

    def tensor(self, targets: Any) -> Tensor:
        return torch.from_numpy(targets)[:, None]

    def mask(self, target: Tensor) -> Tensor:
        return target >= 0

    def meter(self, spec: Spec) -> BrightnessMeter:
        return BrightnessMeter()

    def headline(self, figures: Mapping[str, Any]) -> float:
        return float(1 - figures["mean_error"])

    def line(self, figures: Mapping[str, Any]) -> str:
        return f"brightness error {figures['mean_error']:.3f}"

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        return {"brightness": output[:, 0]}


BRIGHTNESS = Task("brightness", BrightnessArrays(), BrightnessLearning)
