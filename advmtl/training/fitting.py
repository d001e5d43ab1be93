"""Training a configuration into a run folder, from the first frame looked at to the figures of the best state."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from advmtl.config import Config, GrowthConfig
from advmtl.data import (
    Loader,
    NamedLoader,
    TrainLoader,
    hidden_by_budget,
    missing_label,
    record_budget,
    train_loader,
    val_loaders,
)
from advmtl.distributed import SINGLE, Processes
from advmtl.drawing import Evolution, write_growth
from advmtl.evaluation import FrameFigures, evaluate, print_table, write_evaluation
from advmtl.tasks import Task
from advmtl.training.checkpoint import best_growth
from advmtl.training.compiling import compile_networks
from advmtl.training.guards import external_failures
from advmtl.training.log import Log
from advmtl.training.loop import Loop, warn
from advmtl.training.run_folder import Run, lock_run, open_run
from advmtl.training.scores import checked
from advmtl.training.shared_run import NoLog, load_best_together, open_together
from advmtl.training.signals import Interrupt
from advmtl.training.state import State
from advmtl.training.timing import Timing
from preprocessing.ground import InputError, progress


def fit(
    config: Config,
    folder: Path,
    device: torch.device,
    console: Console,
    *,
    overwrite: bool = False,
    resume: bool = True,
    processes: Processes = SINGLE,
) -> dict[str, Any]:
    """Train to the end of the configuration, or to a plateau, continuing the run folder where it holds a run.

    Writes config.yaml, checkpoints/{last,previous,best}.pt, metrics.jsonl, timing.jsonl, tensorboard/, panels/,
    evolution.gif, growth.png (of a network that grows), evaluation.json and evaluation_frames.jsonl (of the best
    checkpoint). Ctrl-C and SIGTERM save after
    the step in hand. A non-finite loss keeps the last good checkpoint and writes the state as it was found to
    checkpoints/failed.pt.

    Under `torchrun`, with the `processes` of `process_group`, each process takes its part of every batch and of the
    validation frames, and the first one writes.

    Args:
        config: the experiment, the same on all processes.
        folder: run folder; only the first process uses it.
        device: where to compute.
        console: for what is left out, and a line per measured epoch.
        overwrite: start anew; the old run is removed once the new one has been built.
        resume: False refuses a folder that holds a run.
        processes: those that train together.
    Returns: the final metrics, as in evaluation.json. Raises: InputError, NonFiniteLoss, ExternalFailure (full disk,
        dead loader process), KeyboardInterrupt, Preempted.
    """
    run, told = Run(folder), partial(warn, console)
    processes.assert_equal(config.hash, "configuration")
    loader, loaders = processes.raise_together(lambda: _loaders(config, processes))
    everything: list[Loader] = [loader, *(val for _, val in loaders)]
    _report_bad(console, everything)
    names = (record.name for one in everything for record in one.dataset.records)
    processes.assert_equal(hashlib.sha256("\n".join(names).encode()).hexdigest(), "frames of the data sources")
    labels = count_labels(config, loader, everything[1:])
    with ExitStack() as stack:
        processes.raise_together(lambda: stack.enter_context(lock_run(folder)) if processes.is_main else None)
        state = open_together(
            lambda: open_run(config, run, device, overwrite=overwrite, resume=resume, warn=told, processes=processes),
            *(config, device, processes, told),
        )
        if config.data.label_budget != "all":
            # A record without a checkpoint is of a run that was killed before it learnt anything.
            record = partial(record_budget, loader.dataset.records, config, run.label_budget, continued=state.step > 0)
            processes.raise_together(lambda: record() if processes.is_main else None)
        return _train(state, run, (loader, loaders), labels, console)


def _train(
    state: State, run: Run, all_loaders: tuple[TrainLoader, list[NamedLoader]], labels: str, console: Console
) -> dict[str, Any]:
    config, processes, (loader, loaders) = state.config, state.processes, all_loaders
    console.print(_first_line(state, loader, labels, processes))
    if config.train.compile:
        compile_networks(state, console)
    drawn = [val.dataset for _, val in loaders] if processes.is_main else []
    evolution = Evolution(run.folder / "panels", drawn, config)
    with external_failures(run.folder), Interrupt() as interrupt:
        log = Log(run, state) if processes.is_main else NoLog()
        if log.lost_bytes:
            warn(console, f"{run.metrics}: {log.lost_bytes} bytes of older rows are missing; going on without them")
        timing = Timing(run.timing if processes.is_main else None, processes.count)
        loop = Loop(state, run, log, console, evolution, interrupt, timing, processes)
        try:
            _run(loop, loader, loaders)
        finally:
            log.close()
        if state.guards.stopped:
            console.print(state.guards.stopped, highlight=False)
        with loop.at_once():
            return _finish(loop, loaders)


def _run(loop: Loop, loader: Any, loaders: list[Any]) -> None:
    batches = loader.batch_sampler.batches
    total = batches * loop.state.config.train.epochs
    if loop.state.growth is not None and not loop.state.growth.history:
        _check_windows(loop.state.growth.settings, total, loop.console)
    with progress("training", total, "steps") as bar:
        bar.advance(loop.state.epoch * batches + loop.state.batch)
        loop.run_epochs(loader, loaders, total, bar.advance)
        loop.timing.write(loop.state.step, loop.state.epoch)


def _check_windows(settings: GrowthConfig, total: int, console: Console) -> None:
    """Say which detections lie beyond the last step: their number and place are the configuration's, that one's not."""
    made = settings.within(total)
    if made < settings.detections:
        warn(
            console,
            f"growth: {made} of {settings.detections} detections lie within the {total} steps of this training; lower "
            f"growth.start_step, growth.every_steps or growth.detections",
        )


def _finish(loop: Loop, loaders: list[Any]) -> dict[str, Any]:
    """Measure the best checkpoint on the validation sources and write evaluation.json, panels and the GIF."""
    config, device, processes, console = loop.state.config, loop.state.device, loop.processes, loop.console
    generator = load_best_together(loop.run, config, processes, partial(warn, console)).to(device)
    frames = FrameFigures(config.spec, config.task_table)
    tasks = config.task_table
    metrics = evaluate(generator, loaders, config, device, observers=[frames], processes=processes, tasks=tasks)
    metrics, rows = checked(metrics, config), frames.compute()
    if not processes.is_main:
        return metrics
    loop.evolution.finish(generator, loop.run.folder / "evolution.gif", device)
    if loop.state.growth is not None:
        write_growth(loop.run.folder / "growth.png", loop.state.growth.history, best_growth(loop.run.folder))
    write_evaluation(loop.run.folder / "evaluation.json", metrics, rows)  # last: it says that the run is finished
    print_table(metrics, console=console, tasks=tasks)
    return metrics


def _loaders(config: Config, processes: Processes) -> tuple[TrainLoader, list[NamedLoader]]:
    rank, count = processes.rank, processes.count
    return train_loader(config, rank=rank, world_size=count), val_loaders(config, rank=rank, world_size=count)


def _first_line(state: State, loader: TrainLoader, labels: str, processes: Processes) -> str:
    config, size, count = state.config, state.config.data.batch_size, processes.count
    whole = f"{size} frames a step" if count == 1 else f"{count} processes × {size} = {count * size} frames a step"
    return (
        f"{config.name} ({config.hash}): {len(loader.dataset)} frames ({labels}), "
        f"{loader.batch_sampler.batches} steps an epoch, {whole}, {config.train.epochs} epochs, "
        f"{sum(p.numel() for p in state.generator.parameters()) / 1e6:.2f} M parameters"
        + (f", continued at step {state.step}" if state.step else "")
    )


def count_labels(config: Config, train: Loader, val: Sequence[Loader]) -> str:
    """How many frames carry each label, as text. Raises: InputError where a task has nothing to learn from."""
    parts, table = [], config.task_table
    for task in config.tasks:
        count = _labelled(train, table[task])
        if not count:
            reason = hidden_by_budget(task, config) or missing_label(config.task_table[task], config.data.train)
            raise InputError(f"tasks.{task}: no training frame has this label; {reason}")
        parts.append(f"{task} {count} train, {sum(_labelled(loader, table[task]) for loader in val)} val")
    if not any(_labelled(loader, table[task]) for loader in val for task in config.tasks):
        raise InputError("data.val: no validation frame has a label of any task; nothing could be measured")
    return "; ".join(parts)


def _labelled(loader: Loader, task: Task) -> int:
    return sum(task.has(record) for record in loader.dataset.records)


def _report_bad(console: Console, loaders: Sequence[Loader]) -> None:
    bad = [frame for loader in loaders for frame in loader.dataset.bad_frames]
    for frame in bad[:20]:
        console.print(f"[yellow]left out[/] {frame.name}: {frame.reason}")
    if len(bad) > 20:
        console.print(f"[yellow]left out[/] {len(bad) - 20} more frames")
