"""One batch as a picture: what the network sees, each label after every transform, and what the colours mean."""

from collections.abc import Mapping

import numpy as np

from advmtl.data import Batch
from advmtl.tasks import RGB, Task, TaskSpec, caption, row_of, stack
from preprocessing.ground import denormalize

_FRAMES = 8


def batch_picture(batch: Batch, spec: TaskSpec, tasks: Mapping[str, Task], frames: int = _FRAMES) -> RGB:
    """A row a frame, of the first `frames`: its picture, and each task's label or an empty field.

    Args:
        batch: as a step gets it, on any device.
        tasks: those to show; one without a `picture` of its own is left out.
    """
    rows = [_row(batch, place, spec, tasks) for place in range(min(frames, len(batch)))]
    width = max(row.shape[1] for row in rows)
    drawn = [task for name, task in tasks.items() if _drawn(batch, 0, name, task, spec) is not None]
    return stack([*rows, *(task.arrays.footer(spec, width) for task in drawn)])


def _row(batch: Batch, place: int, spec: TaskSpec, tasks: Mapping[str, Task]) -> RGB:
    image = denormalize(batch.image[place].cpu().numpy())
    parts = [caption(image, _ascii(batch.names[place]))]
    for name, task in tasks.items():
        drawn = _drawn(batch, place, name, task, spec)
        if drawn is None:
            continue
        there = batch.present[name][place]
        known = float(task.learning.mask(batch.targets[name][place : place + 1]).float().mean())
        text = f"{name}, {known:.0%} of the pixels" if there and known else f"{name}: no label"
        parts.append(caption(drawn if there and known else np.full_like(image, 60), text))
    return row_of(parts)


def _drawn(batch: Batch, place: int, name: str, task: Task, spec: TaskSpec) -> RGB | None:
    return task.arrays.picture(batch.targets[name][place].cpu().numpy(), spec)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
