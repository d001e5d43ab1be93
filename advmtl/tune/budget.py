"""How long a trial trains: epochs, steps, or the steps that fit into so many seconds."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, cast

import torch

from advmtl.compare import ready
from advmtl.config import Config
from advmtl.data import Batch, TrainLoader, train_loader, val_loaders
from advmtl.evaluation import evaluate
from advmtl.terms import Term
from advmtl.training import State, save_checkpoint, settle, train_step

Unit = Literal["epochs", "steps", "seconds"]
Length = dict[str, int | None]
"""Keys of `train` that say how long: {"epochs": 20, "max_steps": None}, or {"max_steps": 1500}."""
_WARM_UP, _TIMED = 2, 4
_LENGTH = 10**6  # of a training in which shares are told from steps


@dataclass(frozen=True)
class Budget:
    """`amount` of a `unit` for every trial; without a unit, what the configuration says."""

    unit: Unit | None = None
    amount: float = 0

    @property
    def text(self) -> str:
        """In words."""
        return "as the configuration says" if self.unit is None else f"{self.amount:g} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def length(self, config: Config, device: torch.device, folder: Path) -> Length:
        """How long a trial of this configuration is. In seconds it is measured, so what it gives must be kept.

        `folder`: of the trial, where a checkpoint is written and removed. Raises: what opening the data and a step
        raise.
        """
        if self.unit is None:
            return {"epochs": config.train.epochs, "max_steps": config.train.max_steps}
        if self.unit == "epochs":
            return {"epochs": int(self.amount), "max_steps": None}
        if self.unit == "steps":
            return {"max_steps": int(self.amount)}
        return {"max_steps": measure(config, device, folder).steps_in(self.amount)}


@dataclass(frozen=True)
class Costs:
    """What the parts of a training take.

    Attributes:
        step_s: of a step, by whether its pictures have half the size and how many of the `starts` it is past.
        starts: from where on further terms are at work, ascending: steps, or shares of all steps, below 1.
        small_share: of the steps, with pictures of half the size; reckoned as if they were the first.
        measurement_s: of a measurement, and one more of the best state at the end.
        saving_s: of a checkpoint: one an epoch, and one of the best state at a measurement.
        batches: steps of an epoch.
        every: epochs from one measurement to the next.
    """

    step_s: Mapping[tuple[bool, int], float]
    starts: tuple[float, ...]
    small_share: float
    measurement_s: float
    saving_s: float
    batches: int
    every: int

    def seconds(self, steps: int) -> float:
        """Of a whole training of so many steps."""
        epochs = ceil(steps / self.batches)
        measurements = ceil(epochs / self.every)
        starts = [start * steps if 0 < start < 1 else start for start in self.starts]
        small = self.small_share * steps
        marks = sorted({0.0, small, *(start for start in starts if start < steps), float(steps)})
        training = sum(
            (end - begin) * self.step_s[begin < small, bisect_right(starts, begin)] for begin, end in pairwise(marks)
        )
        return training + (measurements + 1) * self.measurement_s + (epochs + measurements) * self.saving_s

    def steps_in(self, seconds: float) -> int:
        """The most steps, at least one, that take so many seconds at most."""
        low, high = 1, 2
        while self.seconds(high) <= seconds:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.seconds(middle) <= seconds else (low, middle)
        return low


def measure(config: Config, device: torch.device, folder: Path) -> Costs:
    """Time some steps of every kind, batches read as in training, a measurement and a checkpoint.

    On a processor in its own seconds, so that trials are as long as each other whatever else runs beside them.
    """
    clock = _clock(config, device)
    state, loader = ready(config.settled(_LENGTH), device), train_loader(config)
    settle(state, loader)
    every = sorted({cast(Term, term).start_step for term in state.terms.values()} - {0})
    batches, settings = _endless(loader), config.train
    step_s = {
        (small, past): _mean_step(state, batches, small, every[past - 1] if past else 0, clock)
        for small in ((True, False) if settings.halves else (False,))
        for past in range(len(every) + 1)
    }
    start = clock()
    evaluate(state.ema, val_loaders(config), config, device, tasks=config.task_table)
    measured_s = clock() - start
    path, start = folder / "timed.pt", time.perf_counter()  # a disk's time is no processor's
    save_checkpoint(path, state.state_dict(), config)
    saved_s = time.perf_counter() - start
    path.unlink()
    return Costs(
        step_s,
        tuple(_start(step, config) for step in every),
        settings.half_size_share,
        measured_s,
        saved_s,
        loader.batch_sampler.batches,
        settings.evaluate_every_epochs,
    )


def _start(step: int, config: Config) -> float:
    """A start within `_LENGTH` steps as the share that the configuration gives, or the step itself."""
    share = step / _LENGTH
    given = [float(text.rstrip("%")) / 100 for text in config.shares.values()]
    return share if any(abs(share - one) < 1e-6 for one in given) else float(step)


def _endless(loader: TrainLoader) -> Iterator[Batch]:
    epoch = 0
    while True:
        loader.batch_sampler.set_position(epoch)
        yield from loader
        epoch += 1


def _clock(config: Config, device: torch.device) -> Callable[[], float]:
    """Seconds: this process's own on the processor where it does all the work, shared by its threads; else of the wall.

    Ten trials beside other work were given 0.5 to 1.0 of their seconds by the wall, and the shortest seemed the worst.
    """
    if device.type == "cpu" and config.data.workers == 0:
        threads = torch.get_num_threads()
        return lambda: time.process_time() / threads
    return time.perf_counter


def _mean_step(state: State, batches: Iterator[Batch], small: bool, number: int, clock: Callable[[], float]) -> float:
    """Seconds of a step and the wait for its batch, the mean."""
    state.step, times = number, []
    for _ in range(_WARM_UP + _TIMED):
        start = clock()
        batch = next(batches)
        train_step(
            state, (batch.halved(state.config.task_table, state.config.spec) if small else batch).to(state.device)
        )
        state.step += 1
        if state.device.type == "cuda":
            torch.cuda.synchronize(state.device)
        times.append(clock() - start)
    return fmean(times[_WARM_UP:])
