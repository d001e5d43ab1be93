"""A run folder: its files, its log, opening and clearing it, and how Ctrl-C reaches it."""

import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from advmtl.checkpoint import load_checkpoint
from advmtl.config import Config
from advmtl.state import State, build
from preprocessing.errors import InputError
from preprocessing.files import atomic_write


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
    def failed(self) -> Path:
        """The state in which a non-finite loss was found."""
        return self.folder / "checkpoints" / "failed.pt"

    @property
    def timing(self) -> Path:
        """One JSON object a line: where the time went."""
        return self.folder / "timing.jsonl"

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


def open_run(config: Config, run: Run, device: torch.device, *, overwrite: bool = False) -> State:
    """A fresh state, or the one in the run folder where it holds one and `overwrite` is off.

    Values in `config.OPERATIONAL` may differ from the folder's run: they do not change what is computed.
    Raises: InputError where the folder's run has another configuration, or its checkpoint is damaged.
    """
    saved = None
    if run.last.is_file() and not overwrite:
        saved, there = load_checkpoint(run.last)
        changed = difference(there.computed(), config.computed())
        if changed:
            raise InputError(f"{run.folder}: holds another run ({changed}); choose another --out, or --overwrite")
    # A saved run has its encoder's weights in the checkpoint, so the pretrained file is not asked for again.
    state = build(config, device, pretrained=saved is None)
    if saved is not None:
        state.load_state_dict(saved)
    elif overwrite:
        clear_run(run.folder)  # only now: whatever could be wrong with the new run has been found
    run.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.folder / "config.yaml") as temporary:
        temporary.write_text(config.to_yaml())
    return state


def clear_run(folder: Path) -> None:
    """Remove what a run wrote into `folder`, and nothing else that may lie there."""
    for name in ("checkpoints", "panels", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    names = ("config.yaml", "metrics.jsonl", "timing.jsonl", "evaluation.json", "evaluation_frames.jsonl")
    for name in (*names, "evolution.gif"):
        (folder / name).unlink(missing_ok=True)


class Log:
    """`metrics.jsonl` and TensorBoard, continued where the state stands."""

    def __init__(self, run: Run, state: State) -> None:
        # What was logged after the checkpoint belongs to steps that will be taken again.
        run.metrics.touch()
        with run.metrics.open("r+b") as file:
            file.truncate(min(state.log_bytes, run.metrics.stat().st_size))
        self._file = run.metrics.open("ab")
        self._board = SummaryWriter(str(run.folder / "tensorboard"), purge_step=state.step)

    def write(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append one row and its scalars. Non-finite values are left out: JSON has none."""
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        row = {"kind": kind, "step": step, "epoch": epoch, **values}
        self._file.write((json.dumps(row) + "\n").encode())
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, picture: Any, step: int) -> None:
        """Show an RGB uint8 [H,W,3] picture."""
        self._board.add_image(name, picture, step, dataformats="HWC")

    def sync(self) -> int:
        """Bring `metrics.jsonl` to the disk and return its length [bytes], for the checkpoint."""
        os.fsync(self._file.fileno())
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


class Interrupt:
    """Ctrl-C, kept until the state is whole again, between two steps.

    A second one acts at once: what the step in hand had changed is not saved, the last checkpoint stands.
    """

    def __init__(self) -> None:
        self.asked = False
        self._former: Any = None

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
