"""A caller's own data in the place of the configured sources: records, frames or loaders, and what each must be."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from advmtl.config import Config
from advmtl.data.batch import Batch, Sample, with_labels_shown
from advmtl.data.dataset import TaskFrames
from advmtl.data.formats import FORMATS, Format
from advmtl.data.loading import (
    FrameSet,
    Loader,
    NamedLoader,
    TrainLoader,
    batches_of,
    in_order,
    train_loader,
    val_loaders,
)
from advmtl.data.sampling import EpochSampler, FrameKey
from advmtl.tasks import FrameRecord, Task
from preprocessing.ground import InputError

OwnFrames = Sequence[FrameRecord] | FrameSet
"""Records of files, read, cached and augmented as configured; or frames made by the caller, shown as they are."""


@dataclass(frozen=True)
class Loaders:
    """What a training takes: batches to learn from, and by name what to measure on."""

    train: TrainLoader
    val: list[NamedLoader]


def loaders(
    config: Config,
    train: OwnFrames | None = None,
    val: OwnFrames | None = None,
    *,
    formats: Mapping[str, Format] = FORMATS,
    rank: int = 0,
    world_size: int = 1,
) -> Loaders:
    """Batches to learn from and to measure on, of the configured sources or of the caller's own frames.

    Args:
        config: names the sources, and how frames are shown.
        train, val: own frames; None: those of `data.train` and `data.val`.
        formats: a table with the formats of all configured sources.
        rank, world_size: this process's part of every global batch.
    Raises: InputError where a source is missing, no frame is good, or own frames are not what `FrameSet` says.
    """
    if train is None or isinstance(train, Sequence):
        learnt = train_loader(config, formats=formats, records=train, rank=rank, world_size=world_size)
    else:
        learnt = _train_batches(train, config, rank, world_size)
    if val is None or isinstance(val, Sequence):
        measured = val_loaders(config, formats=formats, records=val, rank=rank, world_size=world_size)
    else:
        measured = [("own", in_order(_Numbered(val, config, "val"), config, rank, world_size))]
    return Loaders(learnt, measured)


def _train_batches(frames: FrameSet, config: Config, rank: int, world_size: int) -> TrainLoader:
    dataset = _Numbered(frames, config, "train")
    sampler = EpochSampler([len(frames)], [1.0], config.data.batch_size, config.seed, rank, world_size)
    loader: TrainLoader = batches_of(dataset, sampler, config.data.workers, training=True)  # type: ignore[assignment]
    return loader


class _Numbered(TaskFrames):
    """A caller's frames, asked for by number or by an epoch's key."""

    def __init__(self, frames: FrameSet, config: Config, what: str) -> None:
        _check_frames(frames, config, what)
        self._frames = frames
        self.records: Sequence[FrameRecord] = frames.records
        self.bad_frames = list(frames.bad_frames)
        self.spec = config.spec
        self.tasks: Mapping[str, Task] = {name: config.task_table[name] for name in config.tasks}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, key: FrameKey | int) -> Sample:
        return self._frames[key if isinstance(key, int) else key[1]]


def _check_frames(frames: FrameSet, config: Config, what: str) -> None:
    """Raises: InputError naming what of `FrameSet` the frames lack; the first frame is looked at."""
    who = f"{what} frames {type(frames).__name__}"
    _has(frames, ("records", "bad_frames", "__len__", "__getitem__"), who, "FrameSet")
    if not len(frames) or len(frames) != len(frames.records):
        raise InputError(f"{who}: {len(frames)} frames and {len(frames.records)} records; there must be one a frame")
    first = frames[0]
    if not isinstance(first, Sample):
        raise InputError(f"{who}: frame 0 is {type(first).__name__}; it must be an advmtl.data.Sample")
    image = first.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"{who}: the image of frame 0 is {_kind(image)}; it must be uint8 [H,W,3] RGB")
    for name in config.tasks:
        if name not in first.targets:
            raise InputError(f"{who}: frame 0 has no target of {name}; give a blank one where there is no label")


def check_loader(loader: Loader, what: str, *, training: bool = False) -> None:
    """Raises: InputError naming `what`, the loader's class and what of `Loader` (or `TrainLoader`) it lacks."""
    who = f"{what} loader {type(loader).__name__}"
    _has(loader, ("dataset", "__len__", "__iter__"), who, "TrainLoader" if training else "Loader")
    _has(loader.dataset, ("records", "bad_frames", "__len__", "__getitem__"), f"{who}: its dataset", "FrameSet")
    if training:
        sampler = getattr(loader, "batch_sampler", None)
        _has(sampler, ("batches", "set_position"), f"{who}: its batch_sampler", "TrainLoader")


def checked_batches(loader: Loader, tasks: Mapping[str, Task]) -> Iterator[Batch]:
    """The loader's batches, each looked at; a label without a pixel is none. Raises: InputError, see `check_batch`."""
    collated = isinstance(loader.dataset, TaskFrames)
    for batch in loader:
        check_batch(batch, tasks, loader)
        if not collated:
            batch = with_labels_shown(batch, {name: t.learning.mask(batch.targets[name]) for name, t in tasks.items()})
        yield batch


def check_batch(batch: Batch, tasks: Collection[str], loader: Loader) -> None:
    """Raises: InputError naming the loader where a batch is none, or lacks what a step of these tasks asks for.

    Looks at shapes alone: nothing waits for the device.
    """
    who = f"loader {type(loader).__name__}"
    if not isinstance(batch, Batch):
        raise InputError(f"{who}: gave {type(batch).__name__}; it must give advmtl.data.Batch")
    count, image = len(batch.names), batch.image
    if image.ndim != 4 or image.shape[:2] != (count, 3) or not image.is_floating_point():
        raise InputError(f"{who}: an image of {_kind(image)} for {count} names; it must be float [N,3,H,W]")
    for name in tasks:
        if name not in batch.targets or name not in batch.present:
            raise InputError(f"{who}: a batch without targets or present of {name}; there must be both for every task")
        if len(batch.targets[name]) != count or len(batch.present[name]) != count:
            raise InputError(f"{who}: targets or present of {name} are not those of {count} frames")


def _has(thing: object, names: Sequence[str], who: str, contract: str) -> None:
    missing = [name for name in names if not hasattr(thing, name)]
    if missing:
        raise InputError(f"{who} has no {missing[0]}; see advmtl.data.{contract}")


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{getattr(value, 'dtype', '')} {list(shape)}"
