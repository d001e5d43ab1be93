"""A run folder: its files, opening and clearing it."""

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from advmtl.config import Config
from advmtl.distributed import SINGLE, Processes
from advmtl.training.checkpoint import UnusableCheckpoint, load_checkpoint
from advmtl.training.state import State, build
from preprocessing.ground import InputError, atomic_write, remove_leftovers

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Run:
    """A run folder and its files."""

    folder: Path

    @property
    def last(self) -> Path:
        """The whole state after the newest save."""
        return self.folder / "checkpoints" / "last.pt"

    @property
    def previous(self) -> Path:
        """The state of the save before, in case `last` is damaged."""
        return self.folder / "checkpoints" / "previous.pt"

    @property
    def damaged(self) -> Path:
        """A `last` that was found damaged, kept aside."""
        return self.folder / "checkpoints" / "damaged.pt"

    @property
    def best(self) -> Path:
        """The whole state at the best validation score."""
        return self.folder / "checkpoints" / "best.pt"

    @property
    def failed(self) -> Path:
        """The state in which a non-finite loss was found."""
        return self.folder / "checkpoints" / "failed.pt"

    @property
    def label_budget(self) -> Path:
        """Which training frames keep which labels, where a label budget says so."""
        return self.folder / "label_budget.json"

    @property
    def timing(self) -> Path:
        """One JSON object per line: wall-clock time by activity."""
        return self.folder / "timing.jsonl"

    @property
    def plan(self) -> Path:
        """What was foreseen before the first step; see `foresight`."""
        return self.folder / "plan.json"

    @property
    def metrics(self) -> Path:
        """One JSON object per line: training losses and validation metrics."""
        return self.folder / "metrics.jsonl"

    def exists(self) -> bool:
        """Whether the folder holds a run, be it one without a checkpoint yet."""
        files = (self.last, self.previous, self.best, self.metrics)
        return any(path.is_file() and path.stat().st_size > 0 for path in files)


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lock the run folder for this process while the block runs; released whenever and however the process ends.

    A folder that was made for it and holds nothing else at the end is removed.
    Raises: InputError where another process trains into it.
    """
    if fcntl is None:
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.lock").open("a") as file:
        try:
            # Of the process, not of the file: loader processes, which outlive a kill for seconds, do not hold it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise InputError(
                f"{folder}: another process trains into this folder; wait for it, or choose another --out"
            ) from None
        except OSError:
            pass  # a network disk without locks
        try:
            yield
        finally:
            # Refused before anything was built: what was made for it goes again.
            if made and folder.is_dir() and [one.name for one in folder.iterdir()] == ["run.lock"]:
                (folder / "run.lock").unlink()
                folder.rmdir()


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


@dataclass(frozen=True)
class Saved:
    """A state that was read, its configuration, and the file it came from."""

    path: Path
    state: dict[str, Any]
    config: Config


def load_newest(run: Run, warn: Callable[[str], None], tables: dict[str, Any] | None = None) -> Saved | None:
    """The run's newest good state: `last.pt`, else, with a warning that names both, `previous.pt`.

    Returns None where the folder holds neither. Raises: InputError with the remedy where neither is good, or where one
    would run code on loading.
    """
    if not run.last.is_file() and not run.previous.is_file():
        return None
    try:
        return Saved(run.last, *load_checkpoint(run.last, tables))
    except UnusableCheckpoint as error:
        first = error
    try:
        saved = Saved(run.previous, *load_checkpoint(run.previous, tables))
    except UnusableCheckpoint as second:
        best = f"copy {run.best} to last.pt to resume from the best state, or " if run.best.is_file() else ""
        raise InputError(
            f"{first}; the previous one is not usable either ({second}); {best}--overwrite to start anew"
        ) from None
    warn(f"{first}; resuming from the previous one, {run.previous}, step {saved.state['step']}")
    return saved


def find_saved(
    config: Config,
    run: Run,
    *,
    overwrite: bool = False,
    resume: bool = True,
    warn: Callable[[str], None] = lambda text: None,
) -> Saved | None:
    """The state in the run folder that a training would go on with; None where it would begin.

    Raises: InputError where the folder's run has another configuration or no good checkpoint, or where it holds any run
    and `resume` is off.
    """
    if not resume and not overwrite and run.exists():
        raise InputError(
            f"{run.folder}: holds a run; omit --no-resume to resume it, choose another --out, or start anew "
            f"with --overwrite"
        )
    saved = None if overwrite else load_newest(run, warn, config.tables)
    if saved is not None:
        changed = difference(saved.config.computed(), config.computed())
        if changed:
            raise InputError(f"{run.folder}: holds another run ({changed}); choose another --out, or --overwrite")
    return saved


def open_run(
    config: Config,
    run: Run,
    device: torch.device,
    *,
    overwrite: bool = False,
    resume: bool = True,
    warn: Callable[[str], None] = lambda text: None,
    processes: Processes = SINGLE,
    given: State | None = None,
) -> State:
    """A fresh state, or the one in the run folder where it holds one and `overwrite` is off.

    Values in `config.OPERATIONAL` may differ from the folder's run: they do not change what is computed. `warn` gets
    what was lost to damage; `processes` will train the state; `given`: a state of the caller's in the place of a fresh
    one. Raises: InputError where the folder's run has another
    configuration or no good checkpoint, or where it holds any run and `resume` is off.
    """
    saved = find_saved(config, run, overwrite=overwrite, resume=resume, warn=warn)
    # A saved run has its encoder's weights in the checkpoint, so the pretrained file is not asked for again.
    state = given or build(config, device, pretrained=saved is None, processes=processes)
    if saved is not None:
        state.load_state_dict(saved.state)
        _check_best(run, state, warn)
        if saved.path == run.previous and run.last.is_file():
            run.last.replace(run.damaged)  # the next save must not put it in the place of a good previous.pt
    else:
        state.best, state.log_bytes = float("-inf"), 0  # a given one may come from another folder
        if overwrite:
            clear_run(run.folder)  # only now: whatever could be wrong with the new run has been found
    _remove_stale_files(run, state)
    run.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(run.folder / "config.yaml") as temporary:
        temporary.write_text(config.to_yaml())
    return state


def _check_best(run: Run, state: State, warn: Callable[[str], None]) -> None:
    """Detect now, not at the end, that the best state is damaged; then the best from here on is selected."""
    if math.isinf(state.best):
        return
    try:
        load_checkpoint(run.best, state.config.tables)
    except UnusableCheckpoint as error:
        state.best = float("-inf")
        warn(f"{error}; the best state is selected anew from here on")


def _remove_stale_files(run: Run, state: State) -> None:
    """Remove partial files of a killed process, and panels drawn after the checkpoint: they are drawn again."""
    train = state.config.train
    # A budget of steps is no number of epochs; no run is drawn so many ahead of its checkpoint.
    last = train.epochs if train.max_steps is None else state.epoch + 100
    panels = [f"epoch_{epoch:04d}.png" for epoch in range(1, last + 1)]
    for name in panels[state.epoch :]:
        (run.folder / "panels" / name).unlink(missing_ok=True)
    remove_leftovers(run.last.parent, [path.name for path in (run.last, run.previous, run.best, run.failed)])
    remove_leftovers(run.folder / "panels", panels)
    remove_leftovers(
        run.folder,
        ("config.yaml", "plan.json", "evaluation.json", "evaluation_frames.jsonl", "evolution.gif", "growth.png"),
    )


def clear_run(folder: Path) -> None:
    """Remove what a run wrote into `folder`, and nothing else in it."""
    for name in ("checkpoints", "panels", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    files = ("config.yaml", "label_budget.json", "plan.json", "metrics.jsonl", "timing.jsonl", "evaluation.json")
    names = (*files, "evaluation_frames.jsonl")
    for name in (*names, "evolution.gif", "growth.png"):
        (folder / name).unlink(missing_ok=True)
