"""The tasks a network can learn: what each emits, from which label, under which losses and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Activation = Literal["softmax", "log_range", "offset"]


@dataclass(frozen=True)
class Task:
    """One task as data; code that serves a task reads this and never its name.

    Attributes:
        name: key of the task in configurations, outputs and targets.
        fixed_channels: channels of its head, or None for one per class of the label set.
        activation: what turns the head's output into a map: "softmax" (the head emits logits), "log_range"
            (the head emits metres, Z = exp(log Zmin + sigmoid(x) (log Zmax - log Zmin))) or "offset" (the head emits
            pixels, x times the generator's unit).
        target: the label as the data give it, with shape, unit and the value that means "no label".
        losses: the losses that may be configured, with the weight each has where none is given (0 = off).
        metrics: the main figures of `evaluation.json`.
    """

    name: str
    fixed_channels: int | None
    activation: Activation
    target: str
    losses: Mapping[str, float]
    metrics: tuple[str, ...]

    def channels(self, num_classes: int) -> int:
        """Number of channels its head emits for a label set of `num_classes` classes."""
        return num_classes if self.fixed_channels is None else self.fixed_channels


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "segmentation": Task(
            name="segmentation",
            fixed_channels=None,
            activation="softmax",
            target="int64 [N,H,W] class ids, 255 = ignore",
            losses=MappingProxyType({"cross_entropy": 1.0, "dice": 0.5, "perceptual": 0.0}),
            metrics=("miou", "miou_categories", "pixel_accuracy", "boundary_iou"),
        ),
        "depth": Task(
            name="depth",
            fixed_channels=1,
            activation="log_range",
            target="float32 [N,1,H,W] metres, 0 = invalid",
            losses=MappingProxyType(
                {"scale_invariant": 1.0, "berhu": 0.02, "huber": 0.0, "smoothness": 0.0, "perceptual": 0.0}
            ),
            metrics=("abs_rel", "rmse_m", "delta1", "edge_f1"),
        ),
        "instance": Task(
            name="instance",
            fixed_channels=2,
            activation="offset",
            target="float32 [N,3,H,W]: dy, dx from the instance's centre [px], and its id; 0 = none, 65535 = ignore",
            losses=MappingProxyType({"l1": 1.0, "mse": 0.0, "smooth_l1": 0.0}),
            metrics=("offset_rmse_px", "pq"),
        ),
    }
)


OFFSET_SHARE = 1 / 32
"""Offsets are learnt in units of this share of the picture's width [px]: at any size, most are then within ±1."""


def head_channels(tasks: list[str], num_classes: int) -> dict[str, int]:
    """Channels per head for the named tasks, as `build_generator` takes them. Raises KeyError on an unknown
    task.
    """
    return {name: TASKS[name].channels(num_classes) for name in tasks}
