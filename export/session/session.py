"""A loaded model as one object, with pre- and postprocessing: frames in, maps out.

Nothing here imports torch or a runtime: NumPy and OpenCV are enough.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, ErrorScale, Task, TaskSpec, names_of, tasks_of, with_derived
from export.graph import DEPTH_ERROR, IGNORED_CLASS, Metadata
from preprocessing.ground import LabelSet, resize_image

Network = Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Result:
    """Outputs for one frame at the network's size, and what was derived of them, by name.

    classes: uint8 `[h, w]`, indices into the metadata's class names, 255 where
    there is none. depth_m: float32 `[h, w]`, metres. offsets_px:
    float32 `[2, h, w]`, dy and dx from the instance's centre, in pixels of this size. instances: uint16 `[h, w]`,
    class * 1000 + number, 0 = none. Each is None where the model has no such output, `instances` also where they were
    not asked for (`complete`). Every other output, also of a caller's tasks, is in `outputs`, and an attribute, too:
    `result.normals`.
    """

    outputs: Mapping[str, NDArray[Any]]

    def __getattr__(self, name: str) -> NDArray[Any]:
        outputs = self.__dict__.get("outputs", {})  # empty while it is unpickled
        if name not in outputs:
            raise AttributeError(f"no output {name!r}; there are {', '.join(outputs)}")
        found: NDArray[Any] = outputs[name]
        return found

    @property
    def classes(self) -> NDArray[np.uint8] | None:
        """Of segmentation."""
        return self.outputs.get("classes")

    @property
    def depth_m(self) -> NDArray[np.float32] | None:
        """Of depth."""
        return self.outputs.get("depth_m")

    @property
    def offsets_px(self) -> NDArray[np.float32] | None:
        """Of instances."""
        return self.outputs.get("offsets_px")

    @property
    def instances(self) -> NDArray[np.uint16] | None:
        """Offsets, grouped."""
        return self.outputs.get("instances")


@dataclass(frozen=True)
class Session:
    """A loaded model. `network` maps uint8 `[1, h, w, 3]` RGB of the network's size to its outputs by name.

    The outputs are on the host when it returns, so timing a call needs no further synchronisation.
    `provider` names what runs it, `note` says why that one, and what integers do here.
    `concurrent`: several threads may call `network` at once.
    `tasks`: a table with those that the model has learnt.
    """

    metadata: Metadata
    provider: str
    note: str
    network: Network
    concurrent: bool = True
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)

    def run(self, frame: NDArray[np.uint8]) -> Result:
        """Infer one frame, uint8 `[H, W, 3]` RGB of any size; the results have the network's size."""
        return complete(unpack(self.network(prepare(frame, self.metadata.size))), self.metadata, self.tasks)


def prepare(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a frame uint8 `[H, W, 3]` to the network's input uint8 `[1, h, w, 3]`; `size` is (width, height).

    A frame of another aspect is stretched, as in training.
    """
    return np.ascontiguousarray(resize_image(frame, size))[None]


def unpack(outputs: Mapping[str, NDArray[Any]]) -> Result:
    """Drop the batch axis of the network's outputs."""
    return Result({name: value[0] for name, value in outputs.items()})


def spec_of(metadata: Metadata) -> TaskSpec:
    """The settings of the tasks, from the model's file."""
    return TaskSpec(
        classes=metadata.label_set,
        depth_range_m=metadata.depth_range_m or TaskSpec().depth_range_m,
        width_px=metadata.size[0],
        depth_error=_error_scale(metadata),
        told_labels=LabelSet(metadata.label_set, metadata.class_names, metadata.colours),
        told_things=metadata.things,
    )


def _error_scale(metadata: Metadata) -> ErrorScale | None:
    """How to read the errors that a file gives: as they are, the graph has multiplied them already."""
    if DEPTH_ERROR not in metadata.outputs:
        return None
    interval = metadata.error_interval
    return ErrorScale() if interval is None else ErrorScale(interval=interval, frames=metadata.error_frames)


def complete(result: Result, metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> Result:
    """The result with what its tasks compute outside of the graph: offsets are grouped into instances, where there are
    offsets and classes.
    """
    return Result(with_derived(result.outputs, spec_of(metadata), tasks))


def fit(result: Result, size: tuple[int, int], tasks: Mapping[str, Task] = TASKS) -> Result:
    """Bring results to another `size` (width, height) by nearest: no class or depth invented at edges.

    Lengths in pixels are pixels of the new size: each component of an offset is multiplied by the ratio of its side.
    """
    fitted: dict[str, NDArray[Any]] = {}
    for task in tasks_of(result.outputs, tasks).values():
        there = (name for name in names_of(task) if name in result.outputs)
        fitted |= {name: task.arrays.resized(name, result.outputs[name], size) for name in there}
    return Result(fitted)


def fault_of(result: Result) -> str | None:
    """The fault that makes a result invalid, in words; None where there is none.

    A network may give NaN or infinity: broken weights, too large a number in half precision. Depth and offsets show it;
    of classes the graph itself tells, by 255 everywhere, in files exported since it does.
    """
    for name, values in result.outputs.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            return f"the network gave {name} that are not finite numbers"
    if result.classes is not None and result.classes.max() == IGNORED_CLASS:
        return "the network gave logits that are not finite numbers"
    return None
