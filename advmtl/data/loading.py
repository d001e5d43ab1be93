"""Batches for the network, from any mix of sources whose frames may lack any label.

**Bad files.** `check_frames` lists and drops those found at the start. A file that breaks later, or
whose damage shows only when decoded, does not end a training of hours: the frame is passed as black, without
any label, so that no loss counts it, and `Batch.skipped` names it and the reason.
"""

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Protocol, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from advmtl.config import Config, DataConfig, Source
from advmtl.data.batch import Batch, Sample, collate
from advmtl.data.class_pixels import count_classes, draw_by_class
from advmtl.data.dataset import FrameDataset, TaskFrames, TrainView
from advmtl.data.formats import FORMATS, Format, Role
from advmtl.data.frames import BadFrame, Look, fault_of, look_at, without_void
from advmtl.data.index import index_source, source_name
from advmtl.data.label_budget import frame_groups, keep_labels
from advmtl.data.sampling import EpochSampler
from advmtl.tasks import FrameRecord, Size, Task
from preprocessing.ground import InputError, ignore

Tasks = Mapping[str, Task]


class FrameSet(Protocol):
    """The frames behind a loader, or a caller's own, of which `loaders` makes one."""

    @property
    def records(self) -> Sequence[FrameRecord]:
        """Where the files of each are; a task's `has` tells by them which labels there are."""

    @property
    def bad_frames(self) -> Sequence[BadFrame]:
        """The frames skipped when the sources were listed."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Sample:
        """A frame with the targets of all configured tasks, blank where it has no such label."""


class Loader(Protocol):
    """Whole frames in order, as an evaluation takes them: what `val_loaders` gives, or a caller's own."""

    @property
    def dataset(self) -> FrameSet:
        """All frames, of which each of several processes may get a part."""

    def __len__(self) -> int:
        """Batches."""

    def __iter__(self) -> Iterator[Batch]: ...


class Positioned(Protocol):
    """An order of batches that is a function of the epoch, so that a run can be resumed at any of them."""

    @property
    def batches(self) -> int:
        """Batches of a whole epoch."""

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        """Go to a batch of an epoch; holds for the next iteration."""


class TrainLoader(Loader, Protocol):
    """Training batches, epoch by epoch: what `train_loader` gives, or a caller's own."""

    @property
    def batch_sampler(self) -> Positioned:
        """The order of frames."""


NamedLoader = tuple[str, Loader]


def train_loader(
    config: Config,
    *,
    epoch: int = 0,
    start_batch: int = 0,
    rank: int = 0,
    world_size: int = 1,
    tasks: Tasks | None = None,
    formats: Mapping[str, Format] = FORMATS,
    records: Sequence[FrameRecord] | None = None,
) -> TrainLoader:
    """The training batches. Build it once and move `loader.batch_sampler` by `set_position(epoch,
    start_batch)`.

    Args:
        config: names the sources, the tasks and how frames are shown.
        epoch, start_batch: where to begin.
        rank, world_size: this process's part of every global batch.
        tasks: a table with all the configured tasks; None: that which the configuration was checked against.
        formats: a table with the formats of all sources.
        records: frames of the caller's own, in the place of those of the configured sources; `source` is the place of
            their source among these, 0 where there are none.
    `loader.dataset.bad_frames` lists what was left out. Raises: InputError where a source is missing or no
    frame is good.
    """
    data, tasks = config.data, tasks or config.task_table
    if records is None:
        found = _index(data.train, config, "train", tasks, formats)
    else:
        found = _checked(records, config, tasks, "train")
        if not found.good:
            raise InputError(f"none of the training frames is good{_the_first(found.bad)}")
    groups = frame_groups(found.good, config)
    view = TrainView(data.crop or data.size, data.augment, config.seed)
    shown = [record for group, _ in groups for record in group]
    dataset = _dataset(shown, data.train, config, tasks, data.cache_mb * 0.75, view)
    dataset.bad_frames, dataset.looks = found.bad, found.looks_of(shown)
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
    loader = cast(TrainLoader, batches_of(dataset, sampler, data.workers, persistent=True))
    if data.rare_frames is not None or data.class_mix is not None:
        draw_by_class(config, loader, count_classes(config, loader))
    return loader


def val_loaders(
    config: Config,
    sources: Sequence[Source] | None = None,
    role: Role = "val",
    *,
    rank: int = 0,
    world_size: int = 1,
    tasks: Tasks | None = None,
    formats: Mapping[str, Format] = FORMATS,
    records: Sequence[FrameRecord] | None = None,
) -> list[NamedLoader]:
    """One loader per source, with its name: whole frames in order, not augmented, depth not clipped.

    `sources`: others than the configuration's validation sources; `role` decides which depth "auto" means. Of several
    processes each takes every `world_size`-th batch, so that the batches are those of one process, bit for bit.
    `tasks`, `formats`: as for `train_loader`. `records`: frames of the caller's own instead, as one source, "own".
    Raises: InputError where a source is missing or no frame of it is good.
    """
    data, tasks = config.data, tasks or config.task_table
    if records is not None:
        found = _checked([replace(record, source=0) for record in records], config, tasks, "val")
        if not found.good:
            raise InputError(f"none of the validation frames is good{_the_first(found.bad)}")
        own = _dataset(found.good, [], config, tasks, data.cache_mb * 0.25)
        own.bad_frames, own.looks = found.bad, found.looks
        return [("own", in_order(own, config, rank, world_size))]
    chosen = list(data.val if sources is None else sources)
    loaders: list[NamedLoader] = []
    for number, source in enumerate(chosen):
        found = _index([source], config, role, tasks, formats)
        own_records = [replace(record, source=number) for record in found.good]
        dataset = _dataset(own_records, chosen, config, tasks, data.cache_mb * 0.25 / len(chosen))
        dataset.bad_frames, dataset.looks = found.bad, found.looks
        loaders.append((source_name(source), in_order(dataset, config, rank, world_size)))
    return loaders


def in_order(dataset: TaskFrames, config: Config, rank: int, world_size: int) -> Loader:
    """Whole frames in their order; of several processes each takes every `world_size`-th batch."""
    data = config.data
    batches = np.split(np.arange(len(dataset)), range(data.batch_size, len(dataset), data.batch_size))
    own = [batch.tolist() for batch in batches[rank::world_size]]
    # Its workers live for one pass only: between two measurements they would hold memory for nothing.
    return cast(Loader, batches_of(dataset, own, data.workers, persistent=False))


def frame_loader(records: Sequence[FrameRecord], sizes: Sequence[Size], data: DataConfig) -> Loader:
    """Whole frames in their order without labels, each read once; a batch ends where the source of the next frame
    differs in size.

    `sizes`: network size of each source, by number. A frame that cannot be read is black and named in `Batch.skipped`.
    """
    shapes = [sizes[record.source] for record in records]
    runs = [list(run) for _, run in groupby(range(len(records)), key=shapes.__getitem__)]
    batches = [run[start : start + data.batch_size] for run in runs for start in range(0, len(run), data.batch_size)]
    return cast(Loader, batches_of(FrameDataset(records, sizes, {}), batches, data.workers, persistent=False))


def _dataset(
    records: Sequence[FrameRecord],
    sources: Sequence[Source],
    config: Config,
    tasks: Tasks,
    cache_mb: float,
    view: TrainView | None = None,
) -> FrameDataset:
    sizes = [source.size or config.data.size for source in sources] or [config.data.size]
    return FrameDataset(records, sizes, _configured(config, tasks), view, spec=config.spec, cache_mb=cache_mb)


def _configured(config: Config, tasks: Tasks) -> dict[str, Task]:
    return {name: task for name, task in tasks.items() if name in config.tasks}


@dataclass(frozen=True)
class _Found:
    """The good frames of some sources, what was found in their files, and the bad ones."""

    good: list[FrameRecord]
    looks: list[Look]
    bad: list[BadFrame]
    sources_of_bad: list[int]

    def looks_of(self, records: Sequence[FrameRecord]) -> list[Look]:
        """What was found in the files of these very good frames, in whatever order."""
        by_record = {id(record): look for record, look in zip(self.good, self.looks, strict=True)}
        return [by_record[id(record)] for record in records]


def _index(
    sources: Sequence[Source], config: Config, role: Role, tasks: Tasks, formats: Mapping[str, Format]
) -> _Found:
    if not sources:
        raise InputError(f"data.{role}: no source given; add one, e.g. cityscapes:data/synth:{role}")
    every = [index_source(source, config.data.classes, role, i, formats) for i, source in enumerate(sources)]
    found = _checked([record for own in every for record in own], config, tasks, role)
    for number, source in enumerate(sources):
        if not any(record.source == number for record in found.good):
            bad = [one for one, its in zip(found.bad, found.sources_of_bad, strict=True) if its == number]
            raise InputError(f"{source_name(source)}: every frame is bad{_the_first(bad)}")
    return found


def _the_first(bad: Sequence[BadFrame]) -> str:
    return f"; the first: {bad[0].reason}" if bad else ""


def _checked(records: Sequence[FrameRecord], config: Config, tasks: Tasks, role: Role) -> _Found:
    """Good and bad frames, without the labels that nothing learns, so that no time is spent on reading them, and
    without those that have no pixel.
    """
    own, training = _configured(config, tasks), role == "train"
    # A budget is over all sources, and before a single task's labels are chosen: every configuration learns from the
    # same ones. So it must be known of every task's labels which are void.
    whole = training and config.data.label_budget != "all"
    looks = look_at(records, tasks if whole else own, config.spec)
    records = [without_void(r, look, tasks, training=training) for r, look in zip(records, looks, strict=True)]
    if training:
        records = keep_labels(records, config.data.label_budget, config.data.label_seed, tasks)
    for name, task in tasks.items():
        if name not in config.tasks:
            records = [task.without(record) for record in records]
    faults = [fault_of(record, look, own) for record, look in zip(records, looks, strict=True)]
    kept = [place for place, fault in enumerate(faults) if fault is None]
    bad = [(record, fault) for record, fault in zip(records, faults, strict=True) if fault is not None]
    return _Found(
        [records[place] for place in kept],
        [looks[place] for place in kept],
        [BadFrame(record.name, fault) for record, fault in bad],
        [record.source for record, _ in bad],
    )


def batches_of(
    dataset: TaskFrames, sampler: EpochSampler | list[list[int]], workers: int, *, persistent: bool
) -> DataLoader[Sample]:
    """The samples of a dataset that knows its `tasks`, in the sampler's order, as batches."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=partial(collate, tasks=dataset.tasks),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=persistent and workers > 0,
        worker_init_fn=_one_thread,
        # Every `iter()` draws a worker seed. Nothing here uses it, but drawn from the global generator it would
        # make the random state depend on how often a run was resumed.
        generator=torch.Generator(),
    )


_GRACE_S = 60  # longer than a step and a save, and than the 30 s that SLURM waits before it kills


def _one_thread(worker: int) -> None:
    # Each worker is a core's work already; OpenCV's own pool would only fight over the cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Ctrl-C reaches every process of the terminal, a scheduler's signal every process of the job; a worker that died of
    # it would end the training before it can save. SIGTERM is also how an interpreter that ends gets rid of a worker
    # left over, so that is put off, not ignored.
    ignore("SIGINT", "SIGUSR1")
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_S))
