"""The tasks a network can learn. Each is one folder, from the label file to the deployed output.

A task has two halves. `arrays` needs NumPy and OpenCV alone, so that a board without torch can draw what a model gives;
`learning` needs torch and is loaded when it is first asked for. No other room knows a task by its name: all take a
table of tasks, by default `TASKS`, and a caller may hand them a larger one, `TASKS | {"flow": FLOW}`. The order
of a table is that of rows, of lines and of the parts of a label budget.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, cast

from advmtl.tasks.arrays import RGB, Array, DataSource, MapFile, Output, Size, TaskArrays, Window, warp_nearest
from advmtl.tasks.contents import Contents
from advmtl.tasks.depth.arrays import ARRAYS as DEPTH
from advmtl.tasks.depth.arrays import color_depth, depth_legend
from advmtl.tasks.depth.doubts import says_what_it_is
from advmtl.tasks.depth.files import depth_codec, read_metres
from advmtl.tasks.figure_path import FigurePath, figure_at
from advmtl.tasks.instance.arrays import ARRAYS as INSTANCE
from advmtl.tasks.instance.grouping import thing_classes
from advmtl.tasks.normals.arrays import ARRAYS as NORMALS
from advmtl.tasks.pictures import BACKGROUND, caption, row_of, stack
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.segmentation.arrays import ARRAYS as SEGMENTATION
from advmtl.tasks.segmentation.arrays import class_legend
from advmtl.tasks.spec import EXPECTED_ERROR as EXPECTED_ERROR
from advmtl.tasks.spec import LENS_SPAN as LENS_SPAN
from advmtl.tasks.spec import ErrorScale, TaskSpec

if TYPE_CHECKING:
    from advmtl.tasks.device_transfer import index_on, send, to_device
    from advmtl.tasks.learning import (
        Constant,
        ErrorMeter,
        Figure,
        FrameMeter,
        Loss,
        Meter,
        PrecisionLoss,
        Sharpness,
        TaskLearning,
        are_numbers,
        teller,
    )
    from advmtl.tasks.shrinking import shrink, shrink_mask

_TORCH = {
    **dict.fromkeys(("index_on", "send", "to_device"), "device_transfer"),
    **dict.fromkeys(("Constant", "ErrorMeter", "Figure", "FrameMeter", "Loss", "Meter"), "learning"),
    **dict.fromkeys(("PrecisionLoss", "Sharpness", "TaskLearning", "are_numbers", "teller"), "learning"),
    **dict.fromkeys(("shrink", "shrink_mask"), "shrinking"),
}


def __getattr__(name: str) -> object:
    if name not in _TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_TORCH[name]}"), name)


@dataclass(frozen=True)
class Task:
    """One task: both its halves.

    Attributes:
        name: its key in configurations, tables, outputs of the generator, targets, and metrics.
        arrays: its half without torch.
        load: gives its half with torch; called once, when `learning` is first asked for.
    """

    name: str
    arrays: TaskArrays
    load: Callable[[], "TaskLearning"]

    @cached_property
    def learning(self) -> "TaskLearning":
        """Its half with torch."""
        return self.load()

    def has(self, record: FrameRecord) -> bool:
        """Whether the frame has this task's label, and may be asked for it."""
        return self.name not in record.withheld and self.arrays.has(record)

    def class_names(self, spec: TaskSpec) -> tuple[str, ...]:
        """Names of the classes that its map is of; () of a task without classes."""
        named = getattr(self.arrays, "class_names", None)  # a caller's half may not have what it has no use for
        return () if named is None else tuple(named(spec))

    def given(self, spec: TaskSpec) -> tuple[Output, ...]:
        """What its head gives in the deployed graph under these settings."""
        given = getattr(self.arrays, "given", None)  # as above
        return self.arrays.outputs if given is None else tuple(given(spec))

    @property
    def outputs(self) -> tuple[Output, ...]:
        """All that its head may give in a deployed graph."""
        return (*self.arrays.outputs, *getattr(self.arrays, "optional", ()))

    def without(self, record: FrameRecord) -> FrameRecord:
        """The frame as if this label had never been made; what other tasks read of the same files stays."""
        return record.changed(withheld=record.withheld | {self.name})


@dataclass(frozen=True)
class _Own:
    """Loads the half of one of our tasks; a class, because what is in a table may be sent to other processes."""

    room: str

    def __call__(self) -> "TaskLearning":
        return cast("TaskLearning", import_module(f"{__name__}.{self.room}.learning").LEARNING)


TASKS: dict[str, Task] = {
    "segmentation": Task("segmentation", SEGMENTATION, _Own("segmentation")),
    "depth": Task("depth", DEPTH, _Own("depth")),
    "instance": Task("instance", INSTANCE, _Own("instance")),
    "normals": Task("normals", NORMALS, _Own("normals")),
}


def tasks_of(outputs: Collection[str], tasks: Mapping[str, Task] = TASKS) -> dict[str, Task]:
    """The tasks of a model that gives `outputs`, by name, in the order of the table."""
    return {name: task for name, task in tasks.items() if all(output.name in outputs for output in task.arrays.outputs)}


def outputs_of(tasks: Mapping[str, Task] = TASKS) -> dict[str, Output]:
    """All outputs that there may be in a deployed graph, by name, in the order of the table."""
    return {output.name: output for task in tasks.values() for output in task.outputs}


def names_of(task: Task) -> list[str]:
    """Names of all that a model may give of a task, what is derived outside of the graph last."""
    return [*(output.name for output in task.outputs), *task.arrays.derived]


def with_derived(
    outputs: Mapping[str, Array], spec: TaskSpec, tasks: Mapping[str, Task] = TASKS
) -> Mapping[str, Array]:
    """Outputs of one frame by name, and what tasks compute of them outside of the network, where it is not there."""
    for task in tasks_of(outputs, tasks).values():
        outputs = {**task.arrays.derive(outputs, spec), **outputs}
    return outputs
