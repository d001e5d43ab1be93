"""The data set: frame number to sample; read or cached, augmented, with the targets of the configured tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from advmtl.config import Augment
from advmtl.data.augment import augment
from advmtl.data.batch import Batch, Sample, collate
from advmtl.data.cache import FrameCache
from advmtl.data.frames import Arrays, BadFrame, blank_frame, load_frame
from advmtl.data.sampling import FrameKey
from advmtl.tasks import FrameRecord, Size, Task, TaskSpec
from preprocessing.ground import InputError


@dataclass(frozen=True)
class TrainView:
    """How frames are presented in training: augmented by draws from (seed, key), and cropped."""

    crop: Size
    augment: Augment
    seed: int


class TaskFrames(Dataset[Sample]):
    """Frames that know which tasks their samples have targets of."""

    tasks: Mapping[str, Task]

    def __len__(self) -> int:
        raise NotImplementedError

    def batches(self, count: int) -> list[list[int]]:
        """The frames in their order, `count` together."""
        return [list(range(start, min(start + count, len(self)))) for start in range(0, len(self), count)]


class FrameDataset(TaskFrames):
    """Frames by number, whole, or, with a `TrainView`, by `FrameKey`, augmented and with targets for training."""

    def __init__(
        self,
        records: Sequence[FrameRecord],
        sizes: Sequence[Size],
        tasks: Mapping[str, Task],
        view: TrainView | None = None,
        *,
        spec: TaskSpec | None = None,
        cache_mb: float = 0,
        strict: bool = False,
    ) -> None:
        """`sizes`: network size of each source, by number. `tasks`: those that samples carry targets of; blank ones
        where a frame has no such label. `strict`: a bad file raises InputError.
        """
        self.records, self.sizes, self.view, self.strict = list(records), list(sizes), view, strict
        self.tasks, self.spec = dict(tasks), spec or TaskSpec()
        self.bad_frames: list[BadFrame] = []
        self._cache = FrameCache([self.sizes[record.source] for record in self.records], cache_mb, self.tasks)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: FrameKey | int) -> Sample:
        index = key if isinstance(key, int) else key[1]
        frame, fault = self._load(index)
        if self.view is not None:
            rng = np.random.default_rng((self.view.seed, *((0, index, 0) if isinstance(key, int) else key)))
            frame = augment(frame, self.view.crop, rng, self.view.augment, self.tasks)
        targets = {
            name: self.tasks[name].arrays.target(label, self.spec, training=self.view is not None)
            for name, label in frame.labels.items()
        }
        return Sample(frame.image, targets, self.records[index], fault)

    def batch(self, places: Sequence[int]) -> Batch:
        """Frames by number as one batch; all of one size."""
        return collate([self[place] for place in places], self.tasks)

    def _load(self, index: int) -> tuple[Arrays, str | None]:
        cached = self._cache.get(index)
        if cached is not None:
            return cached, None
        record = self.records[index]
        size = self.sizes[record.source]
        try:
            frame = load_frame(record, size, self.tasks, self.spec)
        except InputError as error:
            if self.strict:
                raise
            return blank_frame(size, self.tasks), str(error)
        self._cache.put(index, frame)
        return frame, None
