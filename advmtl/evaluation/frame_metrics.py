"""Metrics of single frames, for ranking them: which are worst, and is it one street or all."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from advmtl.data import Batch
from advmtl.tasks import TASKS, Task, TaskSpec
from preprocessing.ground import atomic_write, write_json

Gather = Callable[[Any], Sequence[Any]]


class Observer(Protocol):
    """An observer of the outputs of an evaluation."""

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Add a batch of the named source; outputs as `evaluate` has them."""

    def whole(self, gather: Gather) -> None:
        """Gather the results of all processes; `gather` gives each one's value, in their order."""


@dataclass
class FrameMetrics:
    """Metrics of each frame, of the tasks that have some: mIoU, AbsRel, …

    All sums stay on the device until `compute`.
    """

    spec: TaskSpec
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    _parts: list[tuple[str, list[str], Mapping[str, list[bool]], dict[str, Tensor]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        found = {name: task.learning.frame_meter(self.spec) for name, task in self.tasks.items()}
        self.meters = {name: meter for name, meter in found.items() if meter is not None}

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Add a batch of the generator's maps; frames without a task's label have no metric of it."""
        sums = {
            name: meter.sums(outputs[name], batch.targets[name])
            for name, meter in self.meters.items()
            if name in outputs and any(batch.present.get(name, []))
        }
        if sums:
            self._parts.append((source, batch.names, batch.present, sums))

    def merge(self, other: "FrameMetrics") -> None:
        """Add the frames of another one."""
        self._parts += other._parts

    def whole(self, gather: Gather) -> None:
        """Take over the frames of all processes."""
        self._parts = [part for parts in gather(self._parts) for part in parts]

    def compute(self) -> list[dict[str, Any]]:
        """One row a frame, by source and name; keys `source`, `frame` and the metrics of its labels."""
        rows = []
        for source, names, present, sums in self._parts:
            values = {task: one.cpu().numpy() for task, one in sums.items()}  # host sync, after the last batch
            for number, name in enumerate(names):
                row: dict[str, Any] = {"source": source, "frame": name}
                for task, meter in self.meters.items():
                    if task in values and present[task][number]:
                        row |= meter.figures(values[task][number])
                if len(row) > 2:
                    rows.append(row)
        return sorted(rows, key=lambda row: (row["source"], row["frame"]))


def frames_file(evaluation: Path) -> Path:
    """The file of the frames of an `evaluation.json`: `evaluation_frames.jsonl` beside it."""
    return evaluation.with_name(f"{evaluation.stem}_frames.jsonl")


def write_evaluation(path: Path, metrics: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]) -> None:
    """Write the metrics of a set as JSON, and beside it those of its frames, one line each."""
    write_json(path, metrics)  # first: by it a later call knows both for results
    with atomic_write(frames_file(path)) as temporary:
        temporary.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in frames))
