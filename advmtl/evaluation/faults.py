"""Frames with NaN or infinite outputs: argmax would turn them into a class, so they are excluded by name."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from advmtl.data import BadFrame, Batch
from advmtl.tasks import TASKS, Task, TaskSpec

NOT_FINITE = "the network gave numbers that are not finite"


def leave_out_faults(
    outputs: Mapping[str, Tensor], batch: Batch, spec: TaskSpec, tasks: Mapping[str, Task] = TASKS
) -> tuple[Mapping[str, Tensor], Batch]:
    """Outputs `[N,...]` and their batch as they are where all is finite; else without the labels of the other frames.

    Those frames are added to `batch.skipped`, and their outputs are 1, so that no sum over pixels meets NaN.
    """
    finite = torch.stack([one.isfinite().flatten(1).all(1) for one in outputs.values()]).all(0)
    sound = finite.tolist()  # host sync
    if all(sound):
        return outputs, batch
    present = {task: [had and ok for had, ok in zip(one, sound, strict=True)] for task, one in batch.present.items()}
    bad = [BadFrame(name, f"{name}: {NOT_FINITE}") for name, ok in zip(batch.names, sound, strict=True) if not ok]
    targets = {}
    for task, target in batch.targets.items():
        arrays, learning, size = tasks[task].arrays, tasks[task].learning, (target.shape[-1], target.shape[-2])
        blank = learning.tensor(arrays.target(arrays.blank(size), spec, training=False)[None]).to(target.device)
        targets[task] = torch.where(_per_frame(finite, target), target, blank)
    kept = {task: torch.where(_per_frame(finite, one), one, 1) for task, one in outputs.items()}
    return kept, replace(batch, targets=targets, present=present, skipped=batch.skipped + bad)


def _per_frame(flags: Tensor, like: Tensor) -> Tensor:
    return flags.view(-1, *[1] * (like.dim() - 1))
