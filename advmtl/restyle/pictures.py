"""Pictures of both sets for a step: functions of (seed, step) alone, whatever the workers."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from advmtl.config import Augment
from advmtl.data import Batch, FrameDataset, TrainView, batches_of, on_device
from advmtl.restyle.settings import Settings
from advmtl.tasks import FrameRecord, Size, Task, TaskSpec
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD

MARGIN = 1.125
"""Pictures are read so many times larger than shown, and windows of them are drawn."""
# Mirrored, moved, a little nearer or farther; colours are what is learnt.
_WINDOWS = Augment(flip=0.5, zoom=(1 / MARGIN, 1.0), rotation_deg=0, brightness=0, contrast=0, saturation=0, hue=0)
_STREAMS = {"source": 0x50, "target": 0x7A}
_CACHE_MB = 512


class Windows:
    """Windows of a set's frames, `batch` a step.

    Args:
        records: of the frames; all of one source.
        tasks: that they have targets of.
        name: "source" or "target", whose draws are apart.
    """

    def __init__(
        self, records: Sequence[FrameRecord], settings: Settings, tasks: Mapping[str, Task], spec: TaskSpec, name: str
    ) -> None:
        self._settings, self._stream = settings, _STREAMS[name]
        width, height = settings.size
        larger: Size = (round(width * MARGIN), round(height * MARGIN))
        view = TrainView(settings.size, _WINDOWS, settings.seed + self._stream)
        own = [record.changed(source=0) for record in records]
        self.dataset = FrameDataset(own, [larger], tasks, view, spec=spec, cache_mb=_CACHE_MB, fit="crop")

    def keys(self, step: int) -> list[tuple[int, int, int]]:
        """(pass, frame, 0) of each picture of a step: every pass is a permutation of all frames."""
        count, found = len(self.dataset), []
        for place in range(step * self._settings.batch, (step + 1) * self._settings.batch):
            turn, at = divmod(place, count)
            order = np.random.default_rng((self._stream, self._settings.seed, turn)).permutation(count)
            found.append((turn, int(order[at]), 0))
        return found

    def batches(self, first: int, end: int, workers: int, device: torch.device) -> Iterator[Batch]:
        """The batches of steps [first, end), on the device."""
        keys = [self.keys(step) for step in range(first, end)]
        return on_device(batches_of(self.dataset, keys, workers, training=True), device)


def normalised(pictures: Tensor) -> Tensor:
    """Pictures in 0..1 as networks see them, [N,3,H,W]."""
    mean, deviation = _statistics(pictures)
    return (pictures - mean) / deviation


def plain(images: Tensor) -> Tensor:
    """Normalised pictures [N,3,H,W] back in 0..1."""
    mean, deviation = _statistics(images)
    return (images * deviation + mean).clamp(0, 1)


def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = (like.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, deviation
