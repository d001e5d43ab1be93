"""Batches for the network, from any mix of sources whose frames may lack any label.

**Bad files.** `check_frames` lists and drops those found at the start. A file that breaks later, or
whose damage shows only when decoded, does not end a training of hours: the frame is passed as black, without
any label, so that no loss counts it, and `Batch.skipped` names it and the reason.
"""

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Protocol, cast

import cv2
import torch
from torch.utils.data import DataLoader

from advmtl.config import Config, DataConfig, Source
from advmtl.data.batch import Batch, Sample, collate
from advmtl.data.class_pixels import count_classes, draw_by_class
from advmtl.data.dataset import FrameDataset, TaskFrames, TrainView
from advmtl.data.formats import FORMATS, Format, Role
from advmtl.data.frames import BadFrame
from advmtl.data.index import source_name
from advmtl.data.label_budget import frame_groups
from advmtl.data.listing import checked_frames, configured, index_frames, the_first
from advmtl.data.presentation import Presentation, PresentedFrames
from advmtl.data.restyle import train_restyle
from advmtl.data.sampling import EpochSampler, FrameKey
from advmtl.data.weather import TrainWeather, weather_epochs
from advmtl.tasks import FrameRecord, Size, Task
from preprocessing.ground import InputError, ignore
from preprocessing.weather import KINDS

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
        found = index_frames(data.train, config, "train", tasks, formats)
    else:
        found = checked_frames(records, config, tasks, "train")
        if not found.good:
            raise InputError(f"none of the training frames is good{the_first(found.bad)}")
    groups = frame_groups(found.good, config)
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
    asked = data.augment.weather
    epochs = weather_epochs(asked, config.train.steps(sampler.batches), sampler.batches)
    weather = None if asked is None else TrainWeather(asked, config.tables.get("weather", KINDS), epochs)
    size = data.crop or data.size
    restyle = train_restyle(data.augment.restyle, size)
    view = TrainView(size, data.augment, config.seed, weather, restyle)
    shown = [record for group, _ in groups for record in group]
    dataset = _dataset(shown, data.train, config, tasks, data.cache_mb * 0.75, view)
    dataset.bad_frames, dataset.looks, dataset.strays = found.bad, found.looks_of(shown), found.strays
    loader = cast(TrainLoader, batches_of(dataset, sampler, data.workers, training=True))
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
    presentation: Presentation | None = None,
) -> list[NamedLoader]:
    """One loader per source, with its name: whole frames in order, not augmented, depth not clipped.

    `sources`: others than the configuration's validation sources; `role` decides which depth "auto" means. Of several
    processes each takes every `world_size`-th batch, so that the batches are those of one process, bit for bit.
    `tasks`, `formats`: as for `train_loader`. `records`: frames of the caller's own instead, as one source, "own".
    `presentation`: other sizes than those of training. Raises: InputError where a source is missing or no frame of it
    is good.
    """
    data, tasks = config.data, tasks or config.task_table
    if records is not None:
        found = checked_frames([replace(record, source=0) for record in records], config, tasks, "val")
        if not found.good:
            raise InputError(f"none of the validation frames is good{the_first(found.bad)}")
        own = _whole(found.good, [], config, tasks, 1, presentation)
        own.bad_frames, own.looks = found.bad, found.looks
        return [("own", in_order(own, config, rank, world_size))]
    chosen = list(data.val if sources is None else sources)
    loaders: list[NamedLoader] = []
    for number, source in enumerate(chosen):
        found = index_frames([source], config, role, tasks, formats)
        own_records = [replace(record, source=number) for record in found.good]
        dataset = _whole(own_records, chosen, config, tasks, len(chosen), presentation)
        dataset.bad_frames, dataset.looks, dataset.strays = found.bad, found.looks, found.strays
        loaders.append((source_name(source), in_order(dataset, config, rank, world_size)))
    return loaders


def in_order(dataset: TaskFrames, config: Config, rank: int, world_size: int) -> Loader:
    """Whole frames in their order; of several processes each takes every `world_size`-th batch."""
    data = config.data
    own = dataset.batches(data.batch_size)[rank::world_size]
    # Its workers live for one pass only: between two measurements they would hold memory for nothing.
    return cast(Loader, batches_of(dataset, own, data.workers, training=False))


def frame_loader(records: Sequence[FrameRecord], sizes: Sequence[Size], data: DataConfig) -> Loader:
    """Whole frames in their order without labels, each read once; a batch ends where the source of the next frame
    differs in size.

    `sizes`: network size of each source, by number. A frame that cannot be read is black and named in `Batch.skipped`.
    """
    shapes = [sizes[record.source] for record in records]
    runs = [list(run) for _, run in groupby(range(len(records)), key=shapes.__getitem__)]
    batches = [run[start : start + data.batch_size] for run in runs for start in range(0, len(run), data.batch_size)]
    return cast(
        Loader, batches_of(FrameDataset(records, sizes, {}, fit=data.fit), batches, data.workers, training=False)
    )


def _whole(
    records: Sequence[FrameRecord],
    sources: Sequence[Source],
    config: Config,
    tasks: Tasks,
    parts: int,
    presentation: Presentation | None,
) -> FrameDataset | PresentedFrames:
    """Frames to measure on, of one of `parts` sources that share the cache."""
    if presentation is None:
        return _dataset(records, sources, config, tasks, config.data.cache_mb * 0.25 / parts)
    sizes = [source.size or config.data.size for source in sources] or [config.data.size]
    return PresentedFrames(records, sizes, configured(config, tasks), presentation, config.spec, config.data.fit)


def _dataset(
    records: Sequence[FrameRecord],
    sources: Sequence[Source],
    config: Config,
    tasks: Tasks,
    cache_mb: float,
    view: TrainView | None = None,
) -> FrameDataset:
    sizes = [source.size or config.data.size for source in sources] or [config.data.size]
    return FrameDataset(
        records, sizes, configured(config, tasks), view, spec=config.spec, cache_mb=cache_mb, fit=config.data.fit
    )


def batches_of(
    dataset: TaskFrames, sampler: EpochSampler | Sequence[Sequence[FrameKey | int]], workers: int, *, training: bool
) -> DataLoader[Sample]:
    """The samples of a dataset that knows its `tasks`, in the sampler's order, as batches."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=partial(collate, tasks=dataset.tasks, spec=dataset.spec, training=training),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=training and workers > 0,
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
