"""The training loop: build or restore a run, step through the epochs, measure, save."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from advmtl.checkpoint import load_checkpoint, load_generator, save_checkpoint
from advmtl.config import Config
from advmtl.data import Batch, train_loader, val_loaders
from advmtl.evaluate import evaluate, print_table
from advmtl.panels import Evolution
from advmtl.state import State, build, learning_rate_factor
from advmtl.step import NonFiniteLoss, train_step
from preprocessing.errors import InputError
from preprocessing.files import atomic_write, write_json
from preprocessing.progress import progress


@dataclass(frozen=True)
class Run:
    """A run folder and what lies in it."""

    folder: Path

    @property
    def last(self) -> Path:
        """The whole state after the newest save."""
        return self.folder / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """The whole state at the best validation score."""
        return self.folder / "checkpoints" / "best.pt"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: training losses and validation metrics."""
        return self.folder / "metrics.jsonl"


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str | None:
    """The first key at which two plain configurations differ, with both values, or None."""
    for key in old.keys() | new.keys():
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found = difference(a, b, f"{prefix}{key}.")
            if found:
                return found
        elif a != b:
            return f"{prefix}{key} is {a} there and {b} here"
    return None


def open_run(config: Config, run: Run, device: torch.device) -> State:
    """A fresh state, or the one in the run folder where it holds one.

    Raises: InputError where the folder's run has another configuration, or its checkpoint is damaged.
    """
    saved = None
    if run.last.is_file():
        saved, there = load_checkpoint(run.last)
        changed = difference(there.model_dump(mode="json"), config.model_dump(mode="json"))
        if changed:
            raise InputError(f"{run.folder}: holds another run ({changed}); choose another --out, or --overwrite")
        config = config.model_copy(update={"encoder": config.encoder.model_copy(update={"weights": None})})
    state = build(config, device)
    if saved is not None:
        # The encoder's weights come from the checkpoint, so the pretrained file is not asked for again.
        state.config = there
        state.load_state_dict(saved)
    run.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.folder / "config.yaml") as temporary:
        temporary.write_text(state.config.to_yaml())
    return state


def clear_run(folder: Path) -> None:
    """Remove what a run wrote into `folder`, and nothing else that may lie there."""
    for name in ("checkpoints", "panels", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("config.yaml", "metrics.jsonl", "evaluation.json", "evolution.gif"):
        (folder / name).unlink(missing_ok=True)


class Log:
    """`metrics.jsonl` and TensorBoard, continued where the state stands."""

    def __init__(self, run: Run, state: State) -> None:
        # What was logged after the checkpoint belongs to steps that will be taken again.
        run.metrics.touch()
        with run.metrics.open("r+b") as file:
            file.truncate(state.log_bytes)
        self._file = run.metrics.open("ab")
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=state.step)

    def write(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append one row and its scalars. Non-finite values (a loss with nothing to count) are left out of JSON."""
        row = {"kind": kind, "step": step, "epoch": epoch, **values}
        self._file.write((json.dumps(row) + "\n").encode())
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, picture: Any, step: int) -> None:
        """Show an RGB uint8 [H,W,3] picture."""
        self._board.add_image(name, picture, step, dataformats="HWC")

    @property
    def bytes(self) -> int:
        """Length of `metrics.jsonl` so far; kept in the checkpoint."""
        return self._file.tell()

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._board.close()


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested metrics as `task/name` to number; lists and texts are left out."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[prefix + name] = float(value)
    return flat


def score(metrics: Mapping[str, Any]) -> float:
    """What `best.pt` is chosen by: mean of mIoU and δ1 over the tasks that were measured (both 0..1)."""
    parts = [metrics[t][k] for t, k in (("segmentation", "miou"), ("depth", "delta1")) if metrics.get(t)]
    return sum(parts) / len(parts) if parts else float("-inf")


@dataclass
class _Loop:
    state: State
    run: Run
    log: Log
    console: Console
    evolution: Evolution

    def save(self, path: Path) -> None:
        self.state.log_bytes = self.log.bytes
        save_checkpoint(path, self.state.state_dict(), self.state.config)

    def epoch(self, loader: Any, total: int, advance: Callable[[int, str], None]) -> None:
        """The rest of one epoch, from `state.batch` on."""
        state, settings = self.state, self.state.config.train
        loader.batch_sampler.set_position(state.epoch, state.batch)
        for batch in loader:
            self._report_skipped(batch)
            _set_learning_rate(state, total)
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

    def _report_skipped(self, batch: Batch) -> None:
        for bad in batch.skipped:
            self.console.print(f"[yellow]skipped[/] {bad.name}: {bad.reason}")

    def measure(self, loaders: list[Any]) -> dict[str, Any]:
        """Validate the averaged generator, log the figures, keep the best, draw the fixed frames."""
        state = self.state
        metrics = evaluate(state.ema, loaders, state.config, state.device)
        self.log.write("validation", state.step, state.epoch, flatten(metrics))
        picture = self.evolution.draw(state.ema, state.epoch, state.device)
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
    for optimizer in state.discriminator_optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = settings.discriminator_learning_rate * factor


def fit(config: Config, folder: Path, device: torch.device, console: Console) -> dict[str, Any]:
    """Train to the end of the configuration, continuing the run folder where it holds a run.

    Writes config.yaml, checkpoints/{last,best}.pt, metrics.jsonl, tensorboard/, panels/, evolution.gif and
    evaluation.json (of the best checkpoint). An interrupt or a non-finite loss leaves a checkpoint.

    Returns: the final metrics, as in evaluation.json. Raises: InputError, NonFiniteLoss.
    """
    run = Run(folder)
    loader, loaders = train_loader(config), val_loaders(config)
    _report_bad(console, [loader, *(loader for _, loader in loaders)])
    state = open_run(config, run, device)
    batches = loader.batch_sampler.batches  # type: ignore[union-attr]
    total = batches * config.train.epochs
    log = Log(run, state)
    evolution = Evolution(folder / "panels", [val.dataset for _, val in loaders], config)  # type: ignore[misc]
    loop = _Loop(state, run, log, console, evolution)
    console.print(
        f"{config.name} ({config.hash}): {len(loader.dataset)} frames, {batches} steps an epoch, "  # type: ignore[arg-type]
        f"{config.train.epochs} epochs, {sum(p.numel() for p in state.generator.parameters()) / 1e6:.2f} M parameters"
        + (f", continued at step {state.step}" if state.step else "")
    )
    try:
        with progress("training", total, "steps") as bar:
            bar.advance(state.step)
            while state.epoch < config.train.epochs:
                loop.epoch(loader, total, bar.advance)
                state.epoch, state.batch = state.epoch + 1, 0
                if state.epoch % config.train.evaluate_every_epochs == 0 or state.epoch == config.train.epochs:
                    metrics = loop.measure(loaders)
                    console.print(f"epoch {state.epoch}: {headline(metrics)}")
                loop.save(run.last)
    except (KeyboardInterrupt, NonFiniteLoss):
        loop.save(run.last)
        raise
    finally:
        log.close()
    return finish(run, config, loaders, device, evolution)


def finish(run: Run, config: Config, loaders: list[Any], device: torch.device, evolution: Evolution) -> dict[str, Any]:
    """Measure the best checkpoint on the validation sources and write evaluation.json, panels and the GIF."""
    generator, _ = load_generator(run.best)
    generator = generator.to(device)
    metrics = evaluate(generator, loaders, config, device)
    write_json(run.folder / "evaluation.json", metrics)
    print_table(metrics)
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
    return " · ".join(parts)


def _report_bad(console: Console, loaders: list[Any]) -> None:
    bad = [frame for loader in loaders for frame in loader.dataset.bad_frames]
    for frame in bad[:20]:
        console.print(f"[yellow]left out[/] {frame.name}: {frame.reason}")
    if len(bad) > 20:
        console.print(f"[yellow]left out[/] {len(bad) - 20} more frames")
