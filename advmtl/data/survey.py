"""What the label files of training and validation hold, counted before the first step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.config import Config
from advmtl.data.frames import Look
from advmtl.tasks import FrameRecord, Task


@dataclass(frozen=True)
class Line:
    """One finding in words; `doubtful`: it can hardly be meant so."""

    text: str
    doubtful: bool = False


@dataclass(frozen=True, eq=False)
class Labels:
    """One task's labels in the frames of one role.

    Attributes:
        frames: in the role.
        files: frames with a label file.
        counted: files that were decoded; the others are taken to be labelled.
        labelled: frames whose file has a pixel that counts, or was not decoded.
        void: names of the frames whose file has none.
        classes: names of the classes, of a task that has some.
        counts: int64 `[frames, classes]`, pixels at the files' own sizes; a row of zeros where a file was not decoded.
            Rows are those of the loader's `dataset.records`.
        quantiles: 5, 50 and 95 % of the valid values, of a task that has a quantity.
    """

    frames: int
    files: int
    counted: int
    labelled: int
    void: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64), repr=False)
    quantiles: tuple[float, ...] = ()

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """int64 `[classes]`, over all frames."""
        return self.counts.sum(0)


@dataclass(frozen=True, eq=False)
class Survey:
    """What there is to learn from, and to measure on, by configured task."""

    train: Mapping[str, Labels]
    val: Mapping[str, Labels]


def survey(config: Config, train: Any, val: Sequence[Any]) -> Survey:
    """The survey of loaders, from what was found in their files when these were checked; reads none.

    Args: `train`, `val`: as of `train_loader` and `val_loaders` (without the names); of a caller's own only which
        labels their records have is known.
    """
    tasks = {name: config.task_table[name] for name in config.tasks}
    return Survey(_role([train], tasks, config, "learnt"), _role(val, tasks, config, "measured"))


def _role(loaders: Sequence[Any], tasks: Mapping[str, Task], config: Config, what: str) -> dict[str, Labels]:
    records = [record for loader in loaders for record in loader.dataset.records]
    looks = [look for loader in loaders for look in looks_of(loader.dataset)]
    return {name: _labels(task, records, looks, config, what) for name, task in tasks.items()}


def looks_of(dataset: Any) -> Sequence[Look]:
    """What was found in the files of a dataset's frames, in the order of its records."""
    return getattr(dataset, "looks", None) or [Look()] * len(dataset.records)


def _labels(task: Task, records: Sequence[FrameRecord], looks: Sequence[Look], config: Config, what: str) -> Labels:
    names = task.arrays.class_names(config.spec)
    counts = np.zeros((len(records), len(names)), np.int64)
    void, values, files, counted = [], [], 0, 0
    for row, (record, look) in enumerate(zip(records, looks, strict=True)):
        found = look.contents.get(task.name)
        if found is None or (getattr(found, what) and not task.has(record)):  # not counted, or hidden by a budget
            files += task.has(record)
            continue
        files, counted = files + 1, counted + 1
        if not getattr(found, what):
            void.append(record.name)
        if len(found.classes):
            counts[row] = found.classes
        values.append(found.values)
    pooled = np.concatenate(values) if values else np.zeros(0, np.float32)
    # The value of a pixel, not between two: one may be infinite.
    quantiles = np.quantile(pooled, (0.05, 0.5, 0.95), method="nearest").tolist() if len(pooled) else []
    labelled = files - len(void)
    return Labels(len(records), files, counted, labelled, tuple(void), names, counts, tuple(quantiles))
