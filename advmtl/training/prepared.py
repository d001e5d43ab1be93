"""The data of a training, looked at before its first step."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from advmtl.config import Config
from advmtl.data import (
    Line,
    Loader,
    Loaders,
    NamedLoader,
    Seen,
    Survey,
    TrainLoader,
    check_loader,
    seen_frames,
    survey_data,
    survey_lines,
    train_loader,
    val_loaders,
)
from advmtl.distributed import Processes
from advmtl.training.labels import label_counts
from advmtl.training.state import State


@dataclass(frozen=True)
class Prepared:
    """What a training takes.

    Attributes:
        config: with numbers of steps in the place of shares of the training.
        data: what to learn from and to measure on.
        survey: what the label files hold.
        seen: the frames, on the first process.
    """

    config: Config
    data: Loaders
    survey: Survey
    seen: Seen | None

    @property
    def lines(self) -> list[Line]:
        """What was found in the data, in words."""
        return survey_lines(self.survey, self.config)


def prepare(
    config: Config,
    processes: Processes,
    console: Console,
    train: TrainLoader | None = None,
    val: Sequence[NamedLoader] | None = None,
) -> Prepared:
    """Open the data of a training and look at them; what is left out is told, and all processes have the same.

    Raises: InputError where a source is missing, no frame is good, or a task has nothing to learn from.
    """
    processes.assert_equal(config.hash, "configuration")
    data = processes.raise_together(lambda: _loaders(config, processes, train, val))
    everything = [data.train, *(loader for _, loader in data.val)]
    _report_bad(console, everything)
    names = (record.name for one in everything for record in one.dataset.records)
    processes.assert_equal(hashlib.sha256("\n".join(names).encode()).hexdigest(), "frames of the data sources")
    found, batches, seen = survey_data(config, data.train, everything[1:]), data.train.batch_sampler.batches, None
    label_counts(config, found)  # refuses what has nothing to learn
    if processes.is_main:
        records = [loader.dataset.records for loader in everything]
        own = {name: config.task_table[name] for name in config.tasks}
        seen = seen_frames(records[0], records[1:], own, batches)
    return Prepared(config.settled(config.train.steps(batches)), data, found, seen)


def first_line(state: State, prepared: Prepared) -> str:
    """The run in one line."""
    config, loader, count = state.config, prepared.data.train, state.processes.count
    size, batches, steps = config.data.batch_size, loader.batch_sampler.batches, config.train.max_steps
    whole = f"{size} frames a step" if count == 1 else f"{count} processes × {size} = {count * size} frames a step"
    length = f"{config.train.epochs} epochs" if steps is None else f"{steps} steps ({steps / batches:.3g} epochs)"
    return (
        f"{config.name} ({config.hash}): {len(loader.dataset)} frames ({label_counts(config, prepared.survey)}), "
        f"{batches} steps an epoch, {whole}, {length}, "
        f"{sum(p.numel() for p in state.generator.parameters()) / 1e6:.2f} M parameters"
        f"{state.freezing.text(state.step)}" + (f", resumed at step {state.step}" if state.step else "")
    )


def _loaders(
    config: Config, processes: Processes, train: TrainLoader | None, val: Sequence[NamedLoader] | None
) -> Loaders:
    rank, count = processes.rank, processes.count
    if train is not None:
        check_loader(train, "train", training=True)
    for name, loader in val or []:
        check_loader(loader, f"val {name}")
    return Loaders(
        train_loader(config, rank=rank, world_size=count) if train is None else train,
        val_loaders(config, rank=rank, world_size=count) if val is None else list(val),
    )


def _report_bad(console: Console, loaders: Sequence[Loader]) -> None:
    bad = [frame for loader in loaders for frame in loader.dataset.bad_frames]
    for frame in bad[:20]:
        console.print(f"[yellow]skipped[/] {frame.name}: {frame.reason}")
    if len(bad) > 20:
        console.print(f"[yellow]skipped[/] {len(bad) - 20} more frames")
