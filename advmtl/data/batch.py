"""One batch: image, targets of every task, which frames have them; made from single samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advmtl.data.frames import BadFrame, FrameRecord

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Sample:
    """One frame as a worker hands it over; shapes and units as in `Arrays`, depth clipped for training.

    `instance`: float32 `[3,H,W]` as `instance_target` gives it, None where no task asks for it.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    depth: NDArray[np.float32]
    record: FrameRecord
    fault: str | None = None
    instance: NDArray[np.float32] | None = None


@dataclass
class Batch:
    """What one step takes.

    Attributes:
        image: float32 `[N,3,H,W]`, channels_last, normalised by the ImageNet statistics.
        targets: "segmentation" int64 `[N,H,W]` (255 = ignore) and "depth" float32 `[N,1,H,W]` [m] (0 =
            invalid); where the task is configured, "instance" float32 `[N,3,H,W]`: offsets dy, dx from the
            instance's centre [px], and its id (0 = none, 65535 = ignore; the offsets are 0 there). A label
            that a frame lacks is all 255, all 0 or all id 65535.
        present: per task and frame, whether the frame has that label. On the host.
        names: frame names.
        source: number of the source, -1 where the batch mixes several; `sources` has one number per frame.
        skipped: frames of this batch that could not be read, and why.
        unread: their places in the batch; a name does not tell them, since two sources may share it.
    """

    image: Tensor
    targets: dict[str, Tensor]
    present: dict[str, list[bool]]
    names: list[str]
    source: int = 0
    sources: list[int] = field(default_factory=list)
    skipped: list[BadFrame] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on `device`; asynchronous where the memory is pinned."""
        targets = {name: target.to(device, non_blocking=True) for name, target in self.targets.items()}
        return replace(self, image=self.image.to(device, non_blocking=True), targets=targets)

    def pin_memory(self) -> "Batch":
        """Called by DataLoader(pin_memory=True)."""
        targets = {name: target.pin_memory() for name, target in self.targets.items()}
        return replace(self, image=self.image.pin_memory(), targets=targets)

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


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size."""
    records = [sample.record for sample in samples]
    readable = [sample.fault is None for sample in samples]
    sources = [record.source for record in records]
    targets = {
        "segmentation": torch.from_numpy(np.stack([sample.labels for sample in samples])).long(),
        "depth": torch.from_numpy(np.stack([sample.depth for sample in samples]))[:, None],
    }
    instances = [sample.instance for sample in samples if sample.instance is not None]
    if instances:
        targets["instance"] = torch.from_numpy(np.stack(instances))
    present = {task: [r.has(task) and ok for r, ok in zip(records, readable, strict=True)] for task in targets}
    return Batch(
        image=normalize(torch.from_numpy(np.stack([sample.image for sample in samples]))),
        targets=targets,
        present=present,
        names=[record.name for record in records],
        source=sources[0] if len(set(sources)) == 1 else -1,
        sources=sources,
        skipped=[BadFrame(s.record.name, s.fault) for s in samples if s.fault is not None],
        unread=[place for place, ok in enumerate(readable) if not ok],
    )
