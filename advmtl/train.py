"""The training loop: step through the epochs of a run, measure, save."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from advmtl.checkpoint import load_generator, save_checkpoint
from advmtl.compiling import compile_networks
from advmtl.config import Config
from advmtl.data import Batch, train_loader, val_loaders
from advmtl.evaluate import evaluate, print_table
from advmtl.panels import Evolution
from advmtl.prefetch import on_device
from advmtl.runs import Interrupt, Log, Run, flatten, open_run
from advmtl.state import State, learning_rate_factor
from advmtl.step import NonFiniteLoss, train_step
from preprocessing.errors import InputError
from preprocessing.files import write_json
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

    def save(self, path: Path) -> None:
        self.state.log_bytes = self.log.sync()
        save_checkpoint(path, self.state.state_dict(), self.state.config)

    def epoch(self, loader: Any, total: int, advance: Callable[[int, str], None]) -> None:
        """The rest of one epoch, from `state.batch` on."""
        state, settings = self.state, self.state.config.train
        loader.batch_sampler.set_position(state.epoch, state.batch)
        for batch in on_device(loader, state.device):
            self._report_skipped(batch)
            _set_learning_rate(state, total)
            chosen = (state.step + 1) % settings.log_every == 0
            logs = train_step(state, batch, statistics=chosen)
            state.step += 1
            state.batch += 1
            if chosen:
                values = _numbers(logs)
                values["learning_rate"] = state.optimizer.param_groups[0]["lr"]
                self.log.write("train", state.step, state.epoch, values)
                advance(1, f"loss {values['combined']:.3f}")
            else:
                advance(1, "")
            if state.step % settings.checkpoint_every_steps == 0:
                self.save(self.run.last)
            if self.interrupt.asked:
                self.save(self.run.last)
                raise KeyboardInterrupt

    def run_epochs(self, loader: Any, loaders: list[Any], total: int, advance: Callable[[int, str], None]) -> None:
        """All epochs that are left. Each is measured before it counts as done, so that no measurement can be lost."""
        state, settings = self.state, self.state.config.train
        try:
            while state.epoch < settings.epochs:
                self.epoch(loader, total, advance)
                done = state.epoch + 1
                if done % settings.evaluate_every_epochs == 0 or done == settings.epochs:
                    metrics = self.measure(loaders)
                    self.console.print(f"epoch {done}: {headline(metrics)}")
                state.epoch, state.batch = done, 0
                self.save(self.run.last)
        except NonFiniteLoss as error:
            self.save(self.run.failed)
            raise NonFiniteLoss(f"{error}; the last good checkpoint is kept, this state is {self.run.failed}") from None

    def _report_skipped(self, batch: Batch) -> None:
        for bad in batch.skipped:
            self.console.print(f"[yellow]skipped[/] {bad.name}: {bad.reason}")

    def measure(self, loaders: list[Any]) -> dict[str, Any]:
        """Validate the averaged generator, log the figures, keep the best, draw the fixed frames."""
        state, epoch = self.state, self.state.epoch + 1
        metrics = evaluate(state.ema, loaders, state.config, state.device)
        state.balancer.observe(figures(metrics))
        self.log.write("validation", state.step, epoch, flatten(metrics))
        picture = self.evolution.draw(state.ema, epoch, state.device)
        if picture is not None:
            self.log.picture("panels", picture, state.step)
        now = score(metrics)
        if now > state.best:
            state.best = now
            self.save(self.run.best)
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
            raise InputError(f"tasks.{task}: no training frame has this label; remove the task or add a source with it")
        parts.append(f"{task} {count} train, {sum(_labelled(loader, task) for loader in val)} val")
    if not any(_labelled(loader, task) for loader in val for task in config.tasks):
        raise InputError("data.val: no validation frame has a label of any task; nothing could be measured")
    return "; ".join(parts)


def _labelled(loader: Any, task: str) -> int:
    records = loader.dataset.records
    return sum(record.has(task) for record in records)


def fit(
    config: Config, folder: Path, device: torch.device, console: Console, *, overwrite: bool = False
) -> dict[str, Any]:
    """Train to the end of the configuration, continuing the run folder where it holds a run.

    Writes config.yaml, checkpoints/{last,best}.pt, metrics.jsonl, tensorboard/, panels/, evolution.gif and
    evaluation.json (of the best checkpoint). Ctrl-C saves after the step in hand. A non-finite loss keeps the last good
    checkpoint and writes the state as it was found to checkpoints/failed.pt.

    Args:
        config: the experiment.
        folder: run folder.
        device: where to compute.
        console: for what is left out, and a line per measured epoch.
        overwrite: start anew; the old run is removed once the new one has been built.
    Returns: the final metrics, as in evaluation.json. Raises: InputError, NonFiniteLoss.
    """
    run = Run(folder)
    loader, loaders = train_loader(config), val_loaders(config)
    everything = [loader, *(val for _, val in loaders)]
    _report_bad(console, everything)
    labels = count_labels(config, loader, everything[1:])
    state = open_run(config, run, device, overwrite=overwrite)
    batches = loader.batch_sampler.batches  # type: ignore[union-attr]
    total = batches * config.train.epochs
    console.print(
        f"{config.name} ({config.hash}): {len(loader.dataset)} frames ({labels}), {batches} steps an epoch, "  # type: ignore[arg-type]
        f"{config.train.epochs} epochs, {sum(p.numel() for p in state.generator.parameters()) / 1e6:.2f} M parameters"
        + (f", continued at step {state.step}" if state.step else "")
    )
    if config.train.compile:
        compile_networks(state, console)
    evolution = Evolution(folder / "panels", [val.dataset for _, val in loaders], config)  # type: ignore[misc]
    log = Log(run, state)
    try:
        with Interrupt() as interrupt, progress("training", total, "steps") as bar:
            loop = _Loop(state, run, log, console, evolution, interrupt)
            bar.advance(state.step)
            loop.run_epochs(loader, loaders, total, bar.advance)
    finally:
        log.close()
    return finish(run, config, loaders, device, evolution, console)


def finish(
    run: Run, config: Config, loaders: list[Any], device: torch.device, evolution: Evolution, console: Console
) -> dict[str, Any]:
    """Measure the best checkpoint on the validation sources and write evaluation.json, panels and the GIF."""
    generator, _ = load_generator(run.best)
    generator = generator.to(device)
    metrics = evaluate(generator, loaders, config, device)
    write_json(run.folder / "evaluation.json", metrics)
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
