"""A training up to its first step, and a few steps that nobody keeps: what would happen, and how long it would take."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from rich.console import Console

from advmtl.config import Config, Plan
from advmtl.data import Batch, Loader, Loaders, TrainLoader, checked_batches
from advmtl.distributed import SINGLE, Processes
from advmtl.drawing import batch_picture
from advmtl.evaluation import evaluate
from advmtl.tasks import Task
from advmtl.terms import Term
from advmtl.training.compiling import compile_networks
from advmtl.training.foresight import Foresight, foresee, plan_of, small_steps
from advmtl.training.loop import set_learning_rate, warn
from advmtl.training.opening import Opening, find_run, tell_changes
from advmtl.training.prepared import first_line, prepare
from advmtl.training.run_folder import Run, check_own
from advmtl.training.settling import settle
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from advmtl.training.threads import chosen_threads, computing_with
from advmtl.training.validation_losses import ValidationLosses
from preprocessing.ground import DRAWN, PICTURE, Output, check_outputs, inputs_in, progress, write_png

_STEPS, _WARM_UP = 5, 2
_LONG_S = 20.0
"""After so many seconds a phase is measured on the steps it has, two at least."""


@dataclass(frozen=True)
class Phase:
    """Steps in which the same terms are at work, on pictures of one size.

    Attributes:
        first, last: from 1.
        step_s: median of a step, without waiting for its batch.
        waiting_s: median of the wait for a batch.
        measured: steps measured.
    """

    first: int
    last: int
    step_s: float
    waiting_s: float
    measured: int

    @property
    def whole_s(self) -> float:
        """What all its steps take."""
        return (self.last - self.first + 1) * (self.step_s + self.waiting_s)


def dry_run(
    config: Config,
    folder: Path,
    device: torch.device,
    console: Console,
    *,
    overwrite: bool = False,
    resume: bool = True,
    data_changed: bool = False,
    processes: Processes = SINGLE,
) -> dict[str, Any]:
    """Do what `fit` does before the first step, draw a batch, and take a few steps to time them; keep none of it.

    Written is one picture, `FOLDER_dry_run.png` beside where the run folder would be: the first batch as the network
    sees it, with its labels.

    Args: as of `fit`. Returns: what is foreseen, JSON-able, with the times in seconds. Raises: as `fit` before its
        first step, also where the folder's run would be refused; NonFiniteLoss where a step ends in one.
    """
    run, picture = Run(folder), folder.parent / f"{folder.name}_dry_run.png"
    if processes.is_main:
        check_outputs([Output("--out", picture, PICTURE, beside=True)])
    prepared = prepare(config, processes, console)
    config, data = prepared.config, prepared.data
    warned, tell = partial(warn, console), partial(console.print, markup=False, highlight=False)
    how = Opening(overwrite, resume, data_changed, seen=prepared.seen, warn=warned, tell=tell)
    state = processes.raise_together(lambda: _state(config, run, device, how, processes))
    settle(state, data.train, warned)
    plan = plan_of(config, data.train, processes.count)
    foresight = foresee(state, plan, prepared)
    console.print(first_line(state, prepared))
    foresight.print(console)
    if config.train.compile:
        compile_networks(state, console)
    if device.type == "cpu":
        state.threads = chosen_threads(config.train.threads, state.threads, warned)
    with computing_with(state.threads):
        phases, first = _phases(state, plan, data.train)
        measured_s = _measurement(state, data)
    if processes.is_main:
        tasks = {name: config.task_table[name] for name in config.tasks}
        write_png(picture, batch_picture(first, config.spec, tasks), DRAWN)
    bad = [frame for loader in (data.train, *(loader for _, loader in data.val)) for frame in loader.dataset.bad_frames]
    facts = {
        **_facts(foresight, phases, measured_s, plan, device, state.threads or torch.get_num_threads()),
        "picture": str(picture),
        "skipped": [{"name": frame.name, "reason": frame.reason} for frame in bad],
    }
    tell(f"one batch as the network sees it: {picture}")
    for line in _lines(facts, phases, plan):
        tell(line)
    return facts


def _state(config: Config, run: Run, device: torch.device, how: Opening, processes: Processes) -> State:
    """As a training would begin or go on; of several processes only the first knows the folder."""
    if not processes.is_main:
        return build(config, device, pretrained=False, processes=processes)
    check_own(run, inputs_in("", config.model_dump(exclude={"name"})), overwrite=how.overwrite)
    saved, changes = find_run(config, run, how)
    state = build(config, device, pretrained=saved is None, processes=processes)
    if saved is not None:
        state.load_state_dict(saved.state)
        tell_changes(state, saved, run, changes, how)
    return state


def _starts(state: State, plan: Plan) -> list[int]:
    """Steps, from 0, at which further terms are at work, or pictures have their full size, the first one first."""
    found = {min(cast(Term, term).start_step, plan.steps) for term in state.terms.values()}
    found.add(small_steps(state.config, plan.steps))
    return sorted(one for one in {0, *found} if one < plan.steps)


def _phases(state: State, plan: Plan, loader: TrainLoader) -> tuple[list[Phase], Batch]:
    """Every phase, timed, and the first batch."""
    tasks = {name: state.config.task_table[name] for name in state.config.tasks}
    starts, batches = _starts(state, plan), _endless(loader, tasks)
    first, phases = next(batches), []
    with progress("a few steps", len(starts) * (_WARM_UP + _STEPS), "steps") as bar:
        for number, start in enumerate(starts):
            state.step, taken = start, list[tuple[float, float]]()
            began = time.perf_counter()
            while len(taken) < _WARM_UP + _STEPS:
                taken.append(_timed(state, batches, loader.batch_sampler.batches, plan.steps))
                bar.advance(1)
                # The first steps touch memory and start the loader's processes.
                if len(taken) > _WARM_UP + 1 and state.processes.any(time.perf_counter() - began > _LONG_S):
                    break
            counted = taken[_WARM_UP:]
            last = starts[number + 1] if number + 1 < len(starts) else plan.steps
            step_s, waiting_s = (median(values) for values in zip(*counted, strict=True))
            phases.append(Phase(start + 1, last, step_s, waiting_s, len(counted)))
    return phases, first


def _endless(loader: TrainLoader, tasks: Mapping[str, Task]) -> Iterator[Batch]:
    epoch = 0
    while True:
        loader.batch_sampler.set_position(epoch, 0)
        yield from checked_batches(loader, tasks)
        epoch += 1


def _timed(state: State, batches: Iterator[Batch], an_epoch: int, total: int) -> tuple[float, float]:
    """One step as in training: its seconds, and those of the wait for its batch before it."""
    begun = time.perf_counter()
    batch, config = next(batches), state.config
    if config.train.halves_at(state.step, total):
        batch = batch.halved(config.task_table, config.spec)
    batch = batch.to(state.device)
    there = time.perf_counter()
    set_learning_rate(state, an_epoch, total)
    train_step(state, batch)
    state.step += 1
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    return time.perf_counter() - there, there - begun


class _First:
    """The first batch of a loader to measure on."""

    def __init__(self, loader: Loader) -> None:
        self.dataset, self._loader = loader.dataset, loader

    def __len__(self) -> int:
        return min(1, len(self._loader))

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            yield batch
            return


def _measurement(state: State, data: Loaders) -> float:
    """Seconds of one measurement, by those of the first batch of every source."""
    loaders = [(name, cast(Loader, _First(loader))) for name, loader in data.val]
    seconds = []
    for _ in range(2):  # the first one touches memory
        begun = time.perf_counter()
        evaluate(
            *(state.ema, loaders, state.config, state.device),
            observers=[ValidationLosses(state)],
            processes=state.processes,
            tasks=state.config.task_table,
        )
        seconds.append(time.perf_counter() - begun)
    tried, whole = (sum(len(loader) for _, loader in some) for some in (loaders, data.val))
    return seconds[-1] * whole / max(1, tried)


def _facts(
    foresight: Foresight,
    phases: list[Phase],
    measured_s: float,
    plan: Plan,
    device: torch.device,
    threads: int,
) -> dict[str, Any]:
    return {
        **foresight.to_dict(),
        "phases": [
            {
                "first_step": one.first,
                "last_step": one.last,
                "step_s": round(one.step_s, 4),
                "waiting_s": round(one.waiting_s, 4),
                "measured_steps": one.measured,
            }
            for one in phases
        ],
        "measurement_s": round(measured_s, 3),
        "training_s": round(sum(one.whole_s for one in phases) + plan.measurements * measured_s, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": threads,
        "peak_memory_mib": _peak_mib(device),
    }


def _peak_mib(device: torch.device) -> float | None:
    """Of the device's memory where it has its own, else of this process; None where the system does not say."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10, 1)


def _lines(facts: dict[str, Any], phases: list[Phase], plan: Plan) -> Iterator[str]:
    for one in phases:
        where = "" if len(phases) == 1 else f", steps {one.first} to {one.last}"
        yield (
            f"a step{where}: {one.step_s:.3g} s, and {one.waiting_s:.2g} s of waiting for its frames (medians of "
            f"{one.measured})"
        )
    threads = f", {facts['threads']} thread" + ("" if facts["threads"] == 1 else "s")
    device = facts["device"] + (threads if facts["device"] == "cpu" else "")
    memory = "" if facts["peak_memory_mib"] is None else f"; peak memory {facts['peak_memory_mib']:.0f} MiB"
    yield (
        f"the whole training: about {_duration(facts['training_s'])}, {plan.measurements} × "
        f"{facts['measurement_s']:.2g} s of measuring among it ({device}){memory}"
    )


def _duration(seconds: float) -> str:
    size, unit = next((s, u) for s, u in ((3600, "h"), (60, "min"), (1, "s")) if seconds >= s or s == 1)
    return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"
