"""One batch: images, targets of every task and which frames have them; collating samples, copying to the device."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from advmtl.data.frames import BadFrame
from advmtl.tasks import TASKS, FrameRecord, Task, TaskSpec
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD

T = TypeVar("T")


@dataclass(frozen=True)
class Sample:
    """One frame as a worker hands it over: image uint8 `[H,W,3]`, and targets by task, as `TaskArrays.target` gives
    them. `fault`: why the frame could not be read; it is black then, without any label. `scaled`, `zoom`: as in
    `Batch`, not yet normalised; a `zoom` of a training's sample is what its labels have been freed of.
    """

    image: NDArray[np.uint8]
    targets: Mapping[str, NDArray[Any]]
    record: FrameRecord
    fault: str | None = None
    scaled: Sequence[NDArray[np.uint8]] = ()
    zoom: float = 1.0


@dataclass
class Batch:
    """The input of one step.

    Attributes:
        image: float32 `[N,3,H,W]`, channels_last, normalised by the ImageNet statistics.
        targets: by configured task, as its `TaskLearning.tensor` gives them; blank where a frame lacks the label.
        present: per task and frame, whether what is shown has a pixel with that label. On the host.
        names: frame names.
        source: number of the source, -1 where the batch mixes several; `sources` has one number per frame.
        skipped: frames of this batch that could not be read, and why.
        unread: their places in the batch; a name does not tell them, since two sources may share it.
        scaled: the same pictures at other sizes, normalised, where an evaluation asks for them (`Presentation`).
        zoom: how many times as large as behind the canonical lens things are shown, one number for all frames or
            float32 [N]; of whole frames, whose targets are those of the scene.
    """

    image: Tensor
    targets: dict[str, Tensor]
    present: dict[str, list[bool]]
    names: list[str]
    source: int = 0
    sources: list[int] = field(default_factory=list)
    skipped: list[BadFrame] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    scaled: list[Tensor] = field(default_factory=list)
    zoom: float | Tensor = 1.0

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on `device`; asynchronous where the memory is pinned."""
        targets = {name: target.to(device, non_blocking=True) for name, target in self.targets.items()}
        scaled = [image.to(device, non_blocking=True) for image in self.scaled]
        zoom = self.zoom.to(device, non_blocking=True) if isinstance(self.zoom, Tensor) else self.zoom
        return replace(self, image=self.image.to(device, non_blocking=True), targets=targets, scaled=scaled, zoom=zoom)

    def pin_memory(self) -> "Batch":
        """Called by DataLoader(pin_memory=True)."""
        targets = {name: target.pin_memory() for name, target in self.targets.items()}
        scaled = [image.pin_memory() for image in self.scaled]
        return replace(self, image=self.image.pin_memory(), targets=targets, scaled=scaled)

    def halved(self, tasks: Mapping[str, Task] = TASKS, spec: TaskSpec | None = None) -> "Batch":
        """The same frames at half the size: pictures averaged, labels picked. On the host; sides must be even.

        Half as large is behind a lens of half the focal length: labels that depend on the lens become those of the
        scene that the canonical lens would show so.
        """
        own = spec or TaskSpec()
        targets = {name: tasks[name].learning.halved(target, own) for name, target in self.targets.items()}
        seen = {name: tasks[name].learning.mask(target).flatten(1).any(1).tolist() for name, target in targets.items()}
        present = {
            name: [had and sees for had, sees in zip(there, seen[name], strict=True)]
            for name, there in self.present.items()
        }
        return replace(self, image=F.avg_pool2d(self.image, 2), targets=targets, present=present)

    def __len__(self) -> int:
        return len(self.names)


def normalize(images: Tensor) -> Tensor:
    """RGB uint8 `[N,H,W,3]` to float32 `[N,3,H,W]`, channels_last, by the ImageNet mean and deviation."""
    width = images.shape[2]
    # Over whole rows of width × 3 values: broadcasting over the last 3 alone is three times slower.
    scale = torch.tensor([1 / (255 * deviation) for deviation in IMAGENET_STD] * width, device=images.device)
    shift = torch.tensor(
        [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)] * width,
        device=images.device,
    )
    rows = images.flatten(2).float().mul_(scale).add_(shift)
    # [N,H,W,3] seen as [N,3,H,W] is the channels_last layout already: nothing is copied.
    return rows.view(images.shape).permute(0, 3, 1, 2)


def collate(
    samples: Sequence[Sample],
    tasks: Mapping[str, Task] = TASKS,
    spec: TaskSpec | None = None,
    *,
    training: bool = False,
) -> Batch:
    """Stack samples of one size. A frame has a label where the file is there and its target has a pixel to learn from
    or, unless `training`, to measure.

    `tasks`: a table with all that they have targets of.
    """
    spec = spec or TaskSpec()
    records = [sample.record for sample in samples]
    readable = [sample.fault is None for sample in samples]
    sources = [record.source for record in records]
    shown = {name: tasks[name] for name in samples[0].targets}
    return Batch(
        image=normalize(torch.from_numpy(np.stack([sample.image for sample in samples]))),
        targets={
            name: task.learning.tensor(np.stack([sample.targets[name] for sample in samples]))
            for name, task in shown.items()
        },
        present={
            name: [
                ok
                and task.has(sample.record)
                and task.arrays.is_labelled(sample.targets[name], spec, training=training)
                for sample, ok in zip(samples, readable, strict=True)
            ]
            for name, task in shown.items()
        },
        names=[record.name for record in records],
        source=sources[0] if len(set(sources)) == 1 else -1,
        sources=sources,
        skipped=[BadFrame(s.record.name, s.fault) for s in samples if s.fault is not None],
        unread=[place for place, ok in enumerate(readable) if not ok],
        scaled=[normalize(torch.from_numpy(np.stack(same))) for same in zip(*(s.scaled for s in samples), strict=True)],
        zoom=_zoom(samples, training),
    )


def _zoom(samples: Sequence[Sample], training: bool) -> float | Tensor:
    zooms = [sample.zoom for sample in samples]
    return 1.0 if training or zooms == [1.0] * len(zooms) else torch.tensor(zooms)


def with_labels_shown(batch: Batch, masks: Mapping[str, Tensor]) -> Batch:
    """The batch without the labels that it claims to have and whose `masks`, bool [N,1,H,W] by task, are empty.

    For batches that `collate` has not made. On a device it would have to be waited for: those are taken at their word.
    """
    shown = {name: mask.flatten(1).any(1).tolist() for name, mask in masks.items() if mask.device.type == "cpu"}
    claimed = {name: batch.present[name] for name in shown}
    present = {name: [a and b for a, b in zip(had, shown[name], strict=True)] for name, had in claimed.items()}
    return batch if present == claimed else replace(batch, present={**batch.present, **present})


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on `device`, in order.

    On a GPU each is copied from pinned memory on a stream of its own before the step on the one before it is queued, so
    that the copy costs the step nothing. One batch more than the step needs is then in the GPU's memory.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    side = torch.cuda.Stream(device)

    def start(batch: Batch) -> Batch:
        with torch.cuda.stream(side):
            return batch.to(device)

    for batch in one_ahead(map(start, batches)):
        now = torch.cuda.current_stream(device)
        now.wait_stream(side)
        for tensor in (batch.image, *batch.targets.values()):
            tensor.record_stream(now)  # else its memory could be given to the next copy while the step still reads it
        yield batch


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in order, each handed out once the next has been taken."""
    source = iter(items)
    try:
        held = next(source)
    except StopIteration:
        return
    for item in source:
        yield held
        held = item
    yield held
