"""The training loop: step through the epochs of a run, measure, save."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from advmtl.checkpoint import save_checkpoint
from advmtl.config import Config
from advmtl.data import Batch, train_loader, val_loaders
from advmtl.distributed import Processes, current
from advmtl.evaluate import evaluate, print_table
from advmtl.panels import Evolution
from advmtl.runs import Interrupt, Log, Run, flatten, open_run
from advmtl.shared_run import NoLog, load_together, open_together
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
    processes: Processes

    def save(self, path: Path) -> None:
        if not self.processes.writer:
            return
        self.state.log_bytes = self.log.sync()
        save_checkpoint(path, self.state.state_dict(), self.state.config)

    def epoch(self, loader: Any, total: int, advance: Callable[[int, str], None]) -> None:
        """The rest of one epoch, from `state.batch` on."""
        state, settings = self.state, self.state.config.train
        loader.batch_sampler.set_position(state.epoch, state.batch)
        for batch in loader:
            _set_learning_rate(state, loader.batch_sampler.batches, total)
            chosen = (state.step + 1) % settings.log_every == 0
            logs = train_step(state, batch.to(state.device), statistics=chosen)
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
            if self._shall_stop(batch):
                self.save(self.run.last)
                self.processes.barrier()  # torchrun ends all when the first has left, also one that still writes
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
            self.processes.barrier()
            raise NonFiniteLoss(f"{error}; the last good checkpoint is kept, this state is {self.run.failed}") from None

    def _shall_stop(self, batch: Batch) -> bool:
        """Whether any process was asked to, after this step; and what each could not read of its batch."""
        # The one exchange that a step needs for this: two numbers, on the host's network.
        own = torch.tensor([int(self.interrupt.asked), len(batch.skipped)])
        asked, skipped = self.processes.total(own).tolist()
        for part in self.processes.gather(batch.skipped) if skipped else []:
            for bad in part:
                self.console.print(f"[yellow]skipped[/] {bad.name}: {bad.reason}")
        return asked > 0

    def measure(self, loaders: list[Any]) -> dict[str, Any]:
        """Validate the averaged generator, log the figures, keep the best, draw the fixed frames."""
        state, epoch = self.state, self.state.epoch + 1
        metrics = evaluate(state.ema, loaders, state.config, state.device, processes=self.processes)
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


def _set_learning_rate(state: State, batches: int, total: int) -> None:
    # By the place in the data, which is the step unless the run once had another number of processes.
    done = state.epoch * batches + state.batch
    factor, settings = learning_rate_factor(done, total, state.config), state.config.train
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


def _loaders(config: Config, processes: Processes) -> tuple[Any, list[tuple[str, Any]]]:
    rank, count = processes.rank, processes.count
    return train_loader(config, rank=rank, world_size=count), val_loaders(config, rank=rank, world_size=count)


def _batch_size(config: Config, processes: Processes) -> str:
    size, count = config.data.batch_size, processes.count
    return f"{size} frames a step" if count == 1 else f"{count} processes × {size} = {count * size} frames a step"


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

    Under `torchrun`, within `process_group`, each process takes its part of every batch and of the validation frames,
    and the first one writes.

    Args:
        config: the experiment, the same on all processes.
        folder: run folder; only the first process uses it.
        device: where to compute.
        console: for what is left out, and a line per measured epoch.
        overwrite: start anew; the old run is removed once the new one has been built.
    Returns: the final metrics, as in evaluation.json. Raises: InputError, NonFiniteLoss.
    """
    run, processes = Run(folder), current()
    processes.same(config.hash, "configuration")
    loader, loaders = processes.together(lambda: _loaders(config, processes))
    everything = [loader, *(val for _, val in loaders)]
    _report_bad(console, everything)
    names = (record.name for one in everything for record in one.dataset.records)
    processes.same(hashlib.sha256("\n".join(names).encode()).hexdigest(), "frames of the data sources")
    labels = count_labels(config, loader, everything[1:])
    state = open_together(
        lambda: open_run(config, run, device, overwrite=overwrite),
        config,
        device,
        processes,
        lambda text: console.print(f"[yellow]warning[/] {text}", highlight=False),
    )
    batches = loader.batch_sampler.batches
    total = batches * config.train.epochs
    console.print(
        f"{config.name} ({config.hash}): {len(loader.dataset)} frames ({labels}), {batches} steps an epoch, "
        f"{_batch_size(config, processes)}, {config.train.epochs} epochs, "
        f"{sum(p.numel() for p in state.generator.parameters()) / 1e6:.2f} M parameters"
        + (f", continued at step {state.step}" if state.step else "")
    )
    drawn = [val.dataset for _, val in loaders] if processes.writer else []
    evolution = Evolution(folder / "panels", drawn, config)
    log = Log(run, state) if processes.writer else NoLog()
    try:
        with Interrupt() as interrupt, progress("training", total, "steps") as bar:
            loop = _Loop(state, run, log, console, evolution, interrupt, processes)
            bar.advance(state.epoch * batches + state.batch)
            loop.run_epochs(loader, loaders, total, bar.advance)
    finally:
        log.close()
    return finish(run, config, loaders, device, evolution, console)


def finish(
    run: Run, config: Config, loaders: list[Any], device: torch.device, evolution: Evolution, console: Console
) -> dict[str, Any]:
    """Measure the best checkpoint on the validation sources and write evaluation.json, panels and the GIF."""
    processes = current()
    generator = load_together(run.best, config, processes).to(device)
    metrics = evaluate(generator, loaders, config, device, processes=processes)
    if not processes.writer:
        return metrics
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
