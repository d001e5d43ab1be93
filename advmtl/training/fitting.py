"""Training a configuration into a run folder, from checking the data to evaluating the best state."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO, cast

import torch
from rich.console import Console

from advmtl.config import Config
from advmtl.data import Loaders, NamedLoader, TrainLoader, record_budget
from advmtl.distributed import SINGLE, Processes
from advmtl.drawing import Evolution, write_growth
from advmtl.evaluation import FrameMetrics, calibrate_errors, evaluate, print_table, read_so, write_evaluation
from advmtl.networks import Generator
from advmtl.training.callbacks import Audience, Callback
from advmtl.training.checkpoint import Trained, add_error, best_growth
from advmtl.training.class_counts import class_facts
from advmtl.training.compiling import compile_networks
from advmtl.training.foresight import foresee, plan_of
from advmtl.training.guards import external_failures
from advmtl.training.keeping import tidy
from advmtl.training.log import Lines, Log
from advmtl.training.loop import Loop, done_of, warn
from advmtl.training.model import Model, device_named
from advmtl.training.opening import Opening, open_run
from advmtl.training.prepared import Prepared, first_line, prepare
from advmtl.training.run_folder import Run, check_own, lock_run
from advmtl.training.scores import checked
from advmtl.training.settling import settle
from advmtl.training.shared_run import NoLog, load_best_together, open_together
from advmtl.training.signals import Interrupt
from advmtl.training.state import State
from advmtl.training.threads import chosen_threads, computing_with
from advmtl.training.timing import Timing
from preprocessing.ground import InputError, inputs_in, progress, write_json


@dataclass(frozen=True)
class Fitted:
    """What a training has come to.

    Attributes:
        model: the average at the best measurement, in evaluation mode, on the device of the training.
        metrics: its figures on the validation sources, nested by task, as in `evaluation.json`; units as there. With
            "skipped" and "skipped_in_training" where frames were left out of the measurement and of the training.
    """

    model: Model
    metrics: dict[str, Any]


def left_out(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and reason of each frame that an `evaluation.json` says was not learnt from or not measured."""
    return [
        (one["name"], one["reason"]) for key in ("skipped_in_training", "skipped") for one in metrics.get(key) or ()
    ]


def fit(
    config: Config | State,
    folder: Path | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
    *,
    overwrite: bool = False,
    resume: bool = True,
    data_changed: bool = False,
    processes: Processes = SINGLE,
    train: TrainLoader | None = None,
    val: Sequence[NamedLoader] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Fitted:
    """Train to the end of the configuration, or to a plateau, continuing the run folder where it holds a run.

    Writes config.yaml, checkpoints/{last,previous,best}.pt, metrics.jsonl, timing.jsonl, tensorboard/, panels/,
    evolution.gif, growth.png (of a network that grows), class_counts.json (where something is done by class),
    evaluation.json and evaluation_frames.jsonl (of the best checkpoint). Ctrl-C and SIGTERM save after the step in
    hand. A non-finite loss keeps the last good checkpoint and writes the state as it was found to
    checkpoints/failed.pt.

    Under `torchrun`, with the `processes` of `process_group`, each process takes its part of every batch and of the
    validation frames, and the first one writes.

    Args:
        config: the experiment, the same on all processes; or a state that `build` has made, which learns on.
        folder: run folder; only the first process uses it. None: nothing is left on the disk.
        device: where to compute; None: that of the state, else a GPU where there is one.
        console: for what is left out, and a line per measured epoch; None: these lines go to the logger
            `advmtl.training`, warnings as warnings.
        overwrite: start anew; the old run is removed once the new one has been built.
        resume: False refuses a folder that holds a run.
        data_changed: go on with a run whose frames are others than they were.
        processes: those that train together.
        train, val: loaders of the caller's own; None: those of the configured sources.
        callbacks: are told of logged steps and measured epochs, and may end the training.
    Returns: the best model and its figures. Raises: InputError, NonFiniteLoss, ExternalFailure (full disk, dead loader
        process), KeyboardInterrupt, Preempted, and what a callback raises.
    """
    given = config if isinstance(config, State) else None
    if given is not None:
        config, processes = given.config, given.processes
        device = device or given.device
        if device != given.device:
            raise InputError(f"device: the state is on {given.device}, not on {device}; build it there")
    assert isinstance(config, Config)
    audience, console = (
        Audience(callbacks),
        console or Console(file=cast(TextIO, Lines()), width=200, soft_wrap=True, emoji=False),
    )
    prepared = prepare(config, processes, console, train, val)
    with ExitStack() as stack:
        temporary = folder is None
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="advmtl-")))
        part = Part(folder, temporary, given, audience, Opening(overwrite, resume, data_changed))
        return _in_folder(prepared, part, device or device_named(None), console, processes, stack)


@dataclass(frozen=True)
class Part:
    """How one call of `fit` goes about it."""

    folder: Path
    temporary: bool
    given: State | None
    audience: Audience
    opening: Opening


def _in_folder(
    prepared: Prepared, how: Part, device: torch.device, console: Console, processes: Processes, stack: ExitStack
) -> Fitted:
    config, data, run, told = prepared.config, prepared.data, Run(how.folder), partial(warn, console)
    if not how.temporary:
        read = inputs_in("", config.model_dump(exclude={"name"}))
        own = partial(check_own, run, read, overwrite=how.opening.overwrite)
        processes.raise_together(lambda: own() if processes.is_main else None)
    processes.raise_together(lambda: stack.enter_context(lock_run(how.folder)) if processes.is_main else None)
    tell = partial(console.print, markup=False, highlight=False)
    lenses = prepared.survey.lenses["train"].facts(config)
    opening = replace(how.opening, warn=told, tell=tell, seen=prepared.seen, lenses=lenses)
    state = open_together(
        lambda: open_run(config, run, device, opening, processes=processes, given=how.given),
        *(config, device, processes, told),
        given=how.given,
    )
    settle(state, data.train, told)
    if config.counts_classes and processes.is_main and not how.temporary:
        write_json(run.classes, class_facts(state))
    if config.data.label_budget != "all" and not how.temporary:
        # A record without a checkpoint is of a run that was killed before it learnt anything.
        record = partial(record_budget, data.train.dataset.records, config, run.label_budget, continued=state.step > 0)
        processes.raise_together(lambda: record() if processes.is_main else None)
    return _train(state, run, prepared, console, how)


def _train(state: State, run: Run, prepared: Prepared, console: Console, how: Part) -> Fitted:
    data = prepared.data
    config, processes, writes = state.config, state.processes, state.processes.is_main and not how.temporary
    console.print(first_line(state, prepared))
    foresight = foresee(state, plan_of(config, data.train, processes.count), prepared)
    if not config.train.complete(state.epoch, state.batch, state.step):
        foresight.print(console, doubts_only=state.step > 0)
    if writes:
        write_json(run.plan, foresight.to_dict())
    if state.device.type == "cpu":
        state.threads = chosen_threads(config.train.threads, state.threads, partial(warn, console))
    if config.train.compile:
        compile_networks(state, console)
        state.freezing.forget()
    evolution = Evolution(run.folder / "panels", [val.dataset for _, val in data.val] if writes else [], config)
    with external_failures(run.folder), computing_with(state.threads), Interrupt() as interrupt:
        log = Log(run, state) if writes else NoLog()
        if log.lost_bytes:
            warn(console, f"{run.metrics}: {log.lost_bytes} bytes of older rows are missing; continuing without them")
        timing = Timing(run.timing if writes else None, processes.count)
        loop = Loop(state, run, log, console, evolution, interrupt, timing, processes, how.audience, how.temporary)
        try:
            _run(loop, data.train, data.val)
        finally:
            log.close()
        if state.guards.stopped:
            console.print(state.guards.stopped, highlight=False)
        with loop.at_once():
            return _finish(loop, data, writes)


def _run(loop: Loop, loader: TrainLoader, loaders: list[NamedLoader]) -> None:
    batches = loader.batch_sampler.batches
    total = loop.state.config.train.steps(batches)
    with progress("training", total, "steps") as bar:
        bar.advance(done_of(loop.state, batches))
        if loop.state.selection.stale:
            loop.measure_kept_anew(loaders)
        if loop.state.unsaved:
            loop.save_last()
            loop.state.unsaved = False
            if loop.processes.is_main:
                tidy(loop.run, loop.state)
        loop.run_epochs(loader, loaders, total, bar.advance)
        loop.timing.write(loop.state.step, loop.state.epoch)
    if not any(path.is_file() for path in (loop.run.best, loop.run.last)):
        loop.save_last()  # a given state with nothing left to do


def _read_errors(
    loop: Loop, generator: Generator, config: Config, data: Loaders, trained: Trained, writes: bool
) -> Config:
    """Where the network states errors: calibrate them, and write that into the file that it came from."""
    if not config.states_errors:
        return config
    try:
        found = calibrate_errors(generator, data.val, config, loop.state.device, loop.processes)
    except InputError as error:
        warn(loop.console, f"{error}; they stay as they were learnt")
        return config
    loop.console.print(found.line, highlight=False)
    if writes:
        add_error(loop.run.folder / "checkpoints" / trained.chosen["file"], found.scale, config.tables)
        write_json(loop.run.folder / "depth_error.json", found.to_dict())
    return read_so(generator, config, found.scale)


def _finish(loop: Loop, data: Loaders, writes: bool) -> Fitted:
    """Measure the best checkpoint on the validation sources and write evaluation.json, panels and the GIF."""
    config, device, processes, console = loop.state.config, loop.state.device, loop.processes, loop.console
    trained = load_best_together(loop.run, config, processes, partial(warn, console))
    generator = trained.generator.to(device)
    config = _read_errors(loop, generator, config, data, trained, writes)
    frames = FrameMetrics(config.spec, config.task_table)
    tasks = config.task_table
    metrics = evaluate(generator, data.val, config, device, observers=[frames], processes=processes, tasks=tasks)
    metrics, rows = checked(metrics, config), frames.compute()
    unlearnt = loop.skipped | {frame.name: frame.reason for frame in data.train.dataset.bad_frames}
    if unlearnt:
        metrics["skipped_in_training"] = [{"name": name, "reason": reason} for name, reason in unlearnt.items()]
    fitted = Fitted(Model(generator, config, trained.lenses), metrics)
    if not writes:
        return fitted
    loop.evolution.finish(generator, loop.run.folder / "evolution.gif", device)
    if loop.state.growth is not None:
        write_growth(loop.run.folder / "growth.png", loop.state.growth.history, best_growth(loop.run.folder))
    # Last: it marks the run as finished.
    write_evaluation(loop.run.folder / "evaluation.json", {**metrics, "checkpoint": trained.chosen}, rows)
    print_table(metrics, console=console, tasks=tasks)
    return fitted
