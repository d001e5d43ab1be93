"""Batches for the network, from any mix of sources whose frames may lack any label.

**Bad files.** `check_frames` lists and drops what it can tell at the start. A file that breaks later, or
whose damage shows only when decoded, does not end a training of hours: the frame is passed as black, without
any label, so that no loss counts it, and `Batch.skipped` names it and the reason.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from advmtl.config import Augment, Config, Source
from advmtl.config.data import DataConfig
from advmtl.data.augment import Arrays, Size, augment
from advmtl.data.batch import Batch as Batch  # part of this module's interface
from advmtl.data.batch import Sample, collate
from advmtl.data.cache import FrameCache
from advmtl.data.frames import BadFrame, FrameRecord, check_frames, load_frame
from advmtl.data.index import Role, index_source
from advmtl.data.label_budget import frame_groups, keep_labels
from advmtl.data.sampling import EpochSampler, FrameKey
from advmtl.tasks.grouping import IGNORED_INSTANCE, instance_target
from preprocessing.ground import IGNORE, InputError

# Where the scene is farther, a depth map that `preprocess` clipped holds exactly the bound (steps: 1/256 m).


@dataclass(frozen=True)
class TrainView:
    """How frames are shown in training: augmented by draws from (seed, key), cropped, depth clipped to the
    range [m].
    """

    crop: Size
    augment: Augment
    seed: int
    depth_range_m: tuple[float, float]


class FrameDataset(Dataset[Sample]):
    """Frames by number (whole, depth unclipped) or, with a `TrainView`, by `FrameKey` (augmented)."""

    def __init__(
        self,
        records: Sequence[FrameRecord],
        sizes: Sequence[Size],
        view: TrainView | None = None,
        *,
        cache_mb: float = 0,
        strict: bool = False,
        instances: bool = False,
    ) -> None:
        """`sizes`: network size of each source, by number. `strict`: a bad file raises InputError. `instances`: whether
        samples carry the instance target, ignored everywhere where a frame has no such label.
        """
        self.records, self.sizes, self.view, self.strict = list(records), list(sizes), view, strict
        self.instances = instances
        self.bad_frames: list[BadFrame] = []
        shapes = [self.sizes[record.source] for record in self.records]
        self._cache = FrameCache(shapes, cache_mb, instances=instances)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: FrameKey | int) -> Sample:
        index = key if isinstance(key, int) else key[1]
        record = self.records[index]
        frame, fault = self._load(index)
        if self.view is not None:
            frame = self._show(frame, (0, index, 0) if isinstance(key, int) else key)
        return Sample(frame.image, frame.labels, frame.depth, record, fault, self._target(frame))

    def _target(self, frame: Arrays) -> NDArray[np.float32] | None:
        """Offsets of what is shown, after every transform: the centre is that of the pixels in the picture."""
        if not self.instances:
            return None
        ids = frame.instances
        return instance_target(np.full(frame.labels.shape, IGNORED_INSTANCE, np.uint16) if ids is None else ids)

    def _load(self, index: int) -> tuple[Arrays, str | None]:
        cached = self._cache.get(index)
        if cached is not None:
            return cached, None
        record = self.records[index]
        size = self.sizes[record.source]
        try:
            frame = load_frame(record, size)
        except InputError as error:
            if self.strict:
                raise
            return _blank(size), str(error)
        self._cache.put(index, frame)
        return frame, None

    def _show(self, frame: Arrays, key: FrameKey) -> Arrays:
        assert self.view is not None
        low, high = self.view.depth_range_m
        rng = np.random.default_rng((self.view.seed, *key))
        shown = augment(frame, self.view.crop, rng, self.view.augment)
        depth = np.where(shown.depth > 0, np.clip(shown.depth, low, high), np.float32(0))
        return replace(shown, depth=depth.astype(np.float32, copy=False))


def _blank(size: Size) -> Arrays:
    width, height = size
    return Arrays(
        np.zeros((height, width, 3), np.uint8),
        np.full((height, width), IGNORE, np.uint8),
        np.zeros((height, width), np.float32),
    )


def train_loader(
    config: Config, *, epoch: int = 0, start_batch: int = 0, rank: int = 0, world_size: int = 1
) -> DataLoader[Sample]:
    """The training batches. Build it once and move `loader.batch_sampler` by `set_position(epoch,
    start_batch)`.

    `loader.dataset.bad_frames` lists what was left out. Raises: InputError where a source is missing or no
    frame is good.
    """
    data = config.data
    records, bad = _index(data.train, config, "train")
    groups = frame_groups(records, config)
    records = [record for group, _ in groups for record in group]
    sizes = [source.size or data.size for source in data.train]
    view = TrainView(data.crop or data.size, data.augment, config.seed, (config.depth.min_m, config.depth.max_m))
    dataset = FrameDataset(records, sizes, view, cache_mb=data.cache_mb * 0.75, instances="instance" in config.tasks)
    dataset.bad_frames = bad
    sampler = EpochSampler(
        lengths=[len(group) for group, _ in groups],
        weights=[weight for _, weight in groups],
        batch_size=data.batch_size,
        seed=config.seed,
        rank=rank,
        world_size=world_size,
        epoch=epoch,
        start_batch=start_batch,
    )
    return DataLoader(dataset, batch_sampler=sampler, **_loading(data.workers))


def val_loaders(
    config: Config, sources: Sequence[Source] | None = None, role: Role = "val", *, rank: int = 0, world_size: int = 1
) -> list[tuple[str, DataLoader[Sample]]]:
    """One loader per source, with its name: whole frames in order, not augmented, depth not clipped.

    `sources`: others than the configuration's validation sources; `role` decides which depth "auto" means. Of several
    processes each takes every `world_size`-th batch, so that the batches are those of one process, bit for bit.
    Raises: InputError where a source is missing or no frame of it is good.
    """
    data = config.data
    chosen = list(data.val if sources is None else sources)
    loaders: list[tuple[str, DataLoader[Sample]]] = []
    for number, source in enumerate(chosen):
        records, bad = _index([source], config, role)
        records = [replace(record, source=number) for record in records]
        sizes = [one.size or data.size for one in chosen]
        cache_mb = data.cache_mb * 0.25 / len(chosen)
        dataset = FrameDataset(records, sizes, cache_mb=cache_mb, instances="instance" in config.tasks)
        dataset.bad_frames = bad
        # Its workers live for one pass only: between two measurements they would hold memory for nothing.
        loading = {**_loading(data.workers), "persistent_workers": False}
        batches = np.split(np.arange(len(dataset)), range(data.batch_size, len(dataset), data.batch_size))
        own = [batch.tolist() for batch in batches[rank::world_size]]
        loader = DataLoader(dataset, batch_sampler=own, **loading)
        loaders.append((source_name(source), loader))
    return loaders


def frame_loader(records: Sequence[FrameRecord], sizes: Sequence[Size], data: DataConfig) -> DataLoader[Sample]:
    """Whole frames in their order, each read once; a batch ends where the source of the next frame differs in size.

    `sizes`: network size of each source, by number. A frame that cannot be read is black and named in `Batch.skipped`.
    """
    shapes = [sizes[record.source] for record in records]
    runs = [list(run) for _, run in groupby(range(len(records)), key=shapes.__getitem__)]
    batches = [run[start : start + data.batch_size] for run in runs for start in range(0, len(run), data.batch_size)]
    loading = {**_loading(data.workers), "persistent_workers": False}
    return DataLoader(FrameDataset(records, sizes), batch_sampler=batches, **loading)


def source_name(source: Source) -> str:
    """`format:root[:split]`, as it is written on the command line."""
    return ":".join(part for part in (source.format, source.root, source.split) if part)


def _index(sources: Sequence[Source], config: Config, role: Role) -> tuple[list[FrameRecord], list[BadFrame]]:
    if not sources:
        raise InputError(f"data.{role}: no source given; add one, e.g. cityscapes:data/synth:{role}")
    good: list[FrameRecord] = []
    bad: list[BadFrame] = []
    every = [index_source(source, config.data.classes, role, number) for number, source in enumerate(sources)]
    if role == "train":
        # Over all sources, and before a single task's labels are chosen: every configuration learns from the same ones.
        together = [record for found in every for record in found]
        kept = iter(keep_labels(together, config.data.label_budget, config.data.label_seed))
        every = [[next(kept) for _ in found] for found in every]
    for source, found in zip(sources, every, strict=True):
        passed, failed = check_frames([_only_tasks(record, list(config.tasks)) for record in found])
        if not passed:
            raise InputError(f"{source_name(source)}: every frame is bad; the first: {failed[0].reason}")
        good += passed
        bad += failed
    return good, bad


def _only_tasks(record: FrameRecord, tasks: Sequence[str]) -> FrameRecord:
    """Forget labels that nothing learns, so that nobody spends time on reading them."""
    if "segmentation" not in tasks:
        record = replace(record, labels=None)
    if "depth" not in tasks:
        record = replace(record, depth=None, disparity=None)
    if "instance" not in tasks:
        record = replace(record, instances=None)
    return record


def _loading(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "collate_fn": collate,
        "pin_memory": torch.cuda.is_available(),
        "persistent_workers": workers > 0,
        "worker_init_fn": _one_thread,
        # Every `iter()` draws a worker seed. Nothing here uses it, but drawn from the global generator it would
        # make the random state depend on how often a run was resumed.
        "generator": torch.Generator(),
    }


_GRACE_S = 60  # longer than a step and a save, and than the 30 s that SLURM waits before it kills


def _one_thread(worker: int) -> None:
    # Each worker is a core's work already; OpenCV's own pool would only fight over the cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Ctrl-C reaches every process of the terminal, a scheduler's signal every process of the job; a worker that died of
    # it would end the training before it can save. SIGTERM is also how an interpreter that ends gets rid of a worker
    # left over, so that is put off, not ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_S))
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
