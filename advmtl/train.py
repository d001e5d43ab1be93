"""The training loop: step through the epochs of a run, measure, save."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from advmtl.checkpoint import UnusableCheckpoint, load_generator, save_checkpoint
from advmtl.config import Config
from advmtl.data import Batch, train_loader, val_loaders
from advmtl.evaluate import evaluate, print_table
from advmtl.frame_figures import FrameFigures, write_evaluation
from advmtl.guards import LostData, accidents, lost
from advmtl.panels import Evolution
from advmtl.runs import Log, Run, flatten, open_run
from advmtl.signals import Interrupt
from advmtl.sources import missing_label
from advmtl.state import State, learning_rate_factor
from advmtl.step import NonFiniteLoss, train_step
from advmtl.timing import Timing
from advmtl.validation_losses import ValidationLosses
from preprocessing.errors import InputError
from preprocessing.labels import LABEL_SETS
from preprocessing.progress import progress


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """One figure per measured task, at most 1, more is better: mIoU, δ1, and for offsets 1 less the RMSE over that of
    predicting none.
    """
    keys = (("segmentation", "miou"), ("depth", "delta1"))
    found = {task: float(metrics[task][key]) for task, key in keys if metrics.get(task)}
    if metrics.get("instance"):
        offsets = metrics["instance"]
        found["instance"] = 1 - offsets["offset_rmse_px"] / max(offsets["zero_rmse_px"], 1e-6)
    return found


def score(metrics: Mapping[str, Any]) -> float:
    """What `best.pt` is chosen by: the mean over the measured tasks of their `figures`."""
    parts = figures(metrics).values()
    return sum(parts) / len(parts) if parts else float("-inf")


@dataclass
class _Loop:
    state: State
    run: Run
    log: Log
    console: Console
    evolution: Evolution
    interrupt: Interrupt
    timing: Timing
    lost: LostData = field(default_factory=LostData)

    def save(self, path: Path, former: Path | None = None) -> None:
        with self.timing.part("saving"):
            self.state.log_bytes = self.log.sync()
            save_checkpoint(path, self.state.state_dict(), self.state.config, former=former)

    def save_last(self) -> None:
        if not self.lost.batches:  # steps on black frames are better taken again once the data are back
            self.save(self.run.last, self.run.previous)

    def epoch(self, loader: Any, total: int, advance: Callable[[int, str], None]) -> None:
        """The rest of one epoch, from `state.batch` on."""
        state, settings = self.state, self.state.config.train
        loader.batch_sampler.set_position(state.epoch, state.batch)
        for batch in self.timing.waiting(loader):
            self._report_skipped(batch)
            self.lost.see(len(batch.names), batch.skipped, state.config)
            _set_learning_rate(state, total)
            chosen = (state.step + 1) % settings.log_every == 0
            logs = train_step(state, batch.to(state.device), statistics=chosen)
            state.step += 1
            state.batch += 1
            self.timing.count(len(batch))
            if chosen:
                values = _numbers(logs)
                values["learning_rate"] = state.optimizer.param_groups[0]["lr"]
                self.log.write("train", state.step, state.epoch, values)
                self.timing.write(state.step, state.epoch)
                for line in state.guards.watch_critics(values, state.config):
                    self.warn(f"step {state.step}: {line}")
                advance(1, f"loss {values['combined']:.3f}")
            else:
                advance(1, "")
            stop = self.interrupt.asked
            if stop or state.step % settings.checkpoint_every_steps == 0:
                self.save_last()
            if stop:
                raise self.interrupt.stop()

    def run_epochs(self, loader: Any, loaders: list[Any], total: int, advance: Callable[[int, str], None]) -> None:
        """All epochs that are left. Each is measured before it counts as done, so that no measurement can be lost."""
        state, settings = self.state, self.state.config.train
        try:
            while state.epoch < settings.epochs and not state.guards.stopped:
                self.epoch(loader, total, advance)
                done = state.epoch + 1
                if done % settings.evaluate_every_epochs == 0 or done == settings.epochs:
                    with self.timing.part("validation"):
                        metrics = self.measure(loaders)
                    self.console.print(f"epoch {done}: {headline(metrics)}")
                state.epoch, state.batch = done, 0
                self.save_last()
                if self.interrupt.asked:
                    raise self.interrupt.stop()
        except NonFiniteLoss as error:
            self.save(self.run.failed)
            raise NonFiniteLoss(f"{error}; the last good checkpoint is kept, this state is {self.run.failed}") from None

    def warn(self, line: str) -> None:
        _warn(self.console, line)

    def _report_skipped(self, batch: Batch) -> None:
        for bad in batch.skipped:
            self.console.print(f"[yellow]skipped[/] {bad.name}: {bad.reason}")

    def measure(self, loaders: list[Any]) -> dict[str, Any]:
        """Validate the averaged generator, log the figures, keep the best, draw the fixed frames."""
        state, epoch = self.state, self.state.epoch + 1
        losses = ValidationLosses(state)
        try:
            with self.interrupt.at_once():
                metrics = evaluate(state.ema, loaders, state.config, state.device, observers=[losses])
                metrics = checked(metrics, state.config)
        except BaseException:
            self.save_last()  # it stands at the epoch's end, and a resume begins with the measurement
            raise
        state.balancer.observe(figures(metrics))
        self.log.write("validation", state.step, epoch, {**losses.compute(), **flatten(metrics)})
        picture = self.evolution.draw(state.ema, epoch, state.device)
        if picture is not None:
            self.log.picture("panels", picture, state.step)
        now = score(metrics)
        improved = now > state.best
        state.best = max(now, state.best)
        state.guards.measured(improved, epoch, state.config)
        if improved:
            self.save(self.run.best)
        return metrics


def checked(metrics: dict[str, Any], config: Config) -> dict[str, Any]:
    """The metrics themselves. Raises: InputError where nothing could be measured, as when the folder is gone."""
    if not figures(metrics):
        reason = next((frame["reason"] for frame in metrics.get("skipped", [])), "no label")
        raise InputError(lost(config, "val", "the validation sources", reason))
    return metrics


def _numbers(logs: Mapping[str, Tensor]) -> dict[str, float]:
    # Host sync: once in `log_every` steps.
    values = torch.stack([value.float() for value in logs.values()]).tolist()
    return dict(zip(logs, values, strict=True))


def _set_learning_rate(state: State, total: int) -> None:
    factor, settings = learning_rate_factor(state.step, total, state.config), state.config.train
    for group in state.optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor
    for name, optimizer in state.discriminator_optimizers.items():
        own = state.config.discriminators[name].learning_rate
        for group in optimizer.param_groups:
            group["lr"] = (own or settings.discriminator_learning_rate) * factor


def count_labels(config: Config, train: Any, val: list[Any]) -> str:
    """How many frames carry each label, as text. Raises: InputError where a task has nothing to learn from."""
    parts = []
    for task in config.tasks:
        count = _labelled(train, task)
        if not count:
            raise InputError(f"tasks.{task}: no training frame has this label; {missing_label(task, config)}")
        parts.append(f"{task} {count} train, {sum(_labelled(loader, task) for loader in val)} val")
    if not any(_labelled(loader, task) for loader in val for task in config.tasks):
        raise InputError("data.val: no validation frame has a label of any task; nothing could be measured")
    return "; ".join(parts)


def _labelled(loader: Any, task: str) -> int:
    records = loader.dataset.records
    return sum(record.has(task) for record in records)


def fit(
    config: Config,
    folder: Path,
    device: torch.device,
    console: Console,
    *,
    overwrite: bool = False,
    resume: bool = True,
) -> dict[str, Any]:
    """Train to the end of the configuration, or to a plateau, continuing the run folder where it holds a run.

    Writes config.yaml, checkpoints/{last,previous,best}.pt, metrics.jsonl, timing.jsonl, tensorboard/, panels/,
    evolution.gif, evaluation.json and evaluation_frames.jsonl (of the best checkpoint). Ctrl-C and SIGTERM save after
    the step in hand. A non-finite loss keeps the last good checkpoint and writes the state as it was found to
    checkpoints/failed.pt.

    Args:
        config: the experiment.
        folder: run folder.
        device: where to compute.
        console: for what is left out, and a line per measured epoch.
        overwrite: start anew; the old run is removed once the new one has been built.
        resume: False refuses a folder that holds a run.
    Returns: the final metrics, as in evaluation.json. Raises: InputError, NonFiniteLoss, Accident (full disk, dead
        loader process), KeyboardInterrupt, Preempted.
    """
    run = Run(folder)
    loader, loaders = train_loader(config), val_loaders(config)
    everything = [loader, *(val for _, val in loaders)]
    _report_bad(console, everything)
    labels = count_labels(config, loader, everything[1:])
    warn = partial(_warn, console)
    state = open_run(config, run, device, overwrite=overwrite, resume=resume, warn=warn)
    batches = loader.batch_sampler.batches  # type: ignore[union-attr]
    total = batches * config.train.epochs
    console.print(
        f"{config.name} ({config.hash}): {len(loader.dataset)} frames ({labels}), {batches} steps an epoch, "  # type: ignore[arg-type]
        f"{config.train.epochs} epochs, {sum(p.numel() for p in state.generator.parameters()) / 1e6:.2f} M parameters"
        + (f", continued at step {state.step}" if state.step else "")
    )
    evolution = Evolution(folder / "panels", [val.dataset for _, val in loaders], config)  # type: ignore[misc]
    with accidents(folder), Interrupt() as interrupt:
        log = Log(run, state)
        if log.lost_bytes:
            warn(f"{run.metrics}: {log.lost_bytes} bytes of older rows are missing; going on without them")
        try:
            with progress("training", total, "steps") as bar:
                bar.advance(state.step)
                loop = _Loop(state, run, log, console, evolution, interrupt, Timing(run.timing))
                loop.run_epochs(loader, loaders, total, bar.advance)
                loop.timing.write(state.step, state.epoch)
        finally:
            log.close()
        if state.guards.stopped:
            console.print(state.guards.stopped, highlight=False)
        with interrupt.at_once():
            return finish(run, config, loaders, device, evolution, console)


def _warn(console: Console, line: str) -> None:
    console.print(f"[yellow]warning[/] {escape(line)}", highlight=False)


def finish(
    run: Run, config: Config, loaders: list[Any], device: torch.device, evolution: Evolution, console: Console
) -> dict[str, Any]:
    """Measure the best checkpoint on the validation sources and write evaluation.json, panels and the GIF."""
    try:
        generator, _ = load_generator(run.best)
    except UnusableCheckpoint as error:
        _warn(console, f"{error}; the figures are those of the last state")
        generator, _ = load_generator(run.last)
    generator = generator.to(device)
    frames = FrameFigures(len(LABEL_SETS[config.data.classes].names), config.depth.max_m)
    metrics = checked(evaluate(generator, loaders, config, device, observers=[frames]), config)
    write_evaluation(run.folder / "evaluation.json", metrics, frames.compute())
    print_table(metrics, console=console)
    evolution.finish(generator, run.folder / "evolution.gif", device)
    return metrics


def headline(metrics: Mapping[str, Any]) -> str:
    """One line of the main figures, with units."""
    parts = []
    if metrics.get("segmentation"):
        parts.append(f"mIoU {metrics['segmentation']['miou']:.3f}")
    if metrics.get("depth"):
        depth = metrics["depth"]
        parts.append(f"AbsRel {depth['abs_rel']:.3f}, RMSE {depth['rmse_m']:.2f} m, δ1 {depth['delta1']:.3f}")
    if metrics.get("instance"):
        instance = metrics["instance"]
        quality = "" if instance.get("pq") is None else f", PQ {instance['pq']:.3f}"
        parts.append(f"offset RMSE {instance['offset_rmse_px']:.2f} px{quality}")
    return " · ".join(parts)


def _report_bad(console: Console, loaders: list[Any]) -> None:
    bad = [frame for loader in loaders for frame in loader.dataset.bad_frames]
    for frame in bad[:20]:
        console.print(f"[yellow]left out[/] {frame.name}: {frame.reason}")
    if len(bad) > 20:
        console.print(f"[yellow]left out[/] {len(bad) - 20} more frames")
