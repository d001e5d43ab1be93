"""A run folder: its files, whose it is, clearing it."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from preprocessing.ground import Input, InputError, Output, check_outputs, identity, is_ours, json_kind

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


LOCK = "run.lock"


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
    def kept(self) -> Path:
        """The folder of the other good states, where `train.keep` asks for them, and of `kept.json`."""
        return self.folder / "checkpoints" / "kept"

    @property
    def record(self) -> Path:
        """Where the run comes from: libraries, frames, first weights, what changed on the way."""
        return self.folder / "run.json"

    @property
    def failed(self) -> Path:
        """The state in which a non-finite loss was found."""
        return self.folder / "checkpoints" / "failed.pt"

    @property
    def label_budget(self) -> Path:
        """Which training frames keep which labels, where a label budget says so."""
        return self.folder / "label_budget.json"

    @property
    def classes(self) -> Path:
        """Pixels, weights and draws by class, where something is done by class."""
        return self.folder / "class_counts.json"

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
def lock_run(folder: Path, option: str = "--out") -> Iterator[None]:
    """Lock the run folder for this process while the block runs; released whenever and however the process ends.

    A folder that was made for it and holds nothing else at the end is removed. `option`: that names it.
    Raises: InputError where another process trains into it.
    """
    if fcntl is None:
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            # Of the process, not of the file: loader processes, which outlive a kill for seconds, do not hold it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise InputError(
                f"{folder}: another process trains into this folder; wait for it, or choose another {option}"
            ) from None
        except OSError:
            pass  # a network disk without locks
        try:
            yield
        finally:
            # Refused before anything was built: what was made for it goes again.
            if made and folder.is_dir() and [one.name for one in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()


_FOLDERS = ("checkpoints", "panels", "tensorboard")
_FILES = (
    "config.yaml",
    "label_budget.json",
    "class_counts.json",
    "plan.json",
    "metrics.jsonl",
    "timing.jsonl",
    "evaluation.json",
    "evaluation_frames.jsonl",
    "run.json",
    "evolution.gif",
    "growth.png",
)
_RECORD = json_kind("the record of a run", "config", "versions")
# In every resolved configuration, of whatever version, and hardly all in one that a person writes.
_SECTIONS = {"name", "seed", "tasks", "data", "encoder", "generator", "train"}


def clear_run(folder: Path) -> None:
    """Remove what a run wrote into `folder`, and nothing else in it."""
    for name in _FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in _written(folder):
        path.unlink(missing_ok=True)


def _written(folder: Path) -> list[Path]:
    return [*(folder / name for name in _FILES), *folder.glob("evaluation_epoch_*.json*")]


def is_run(run: Run) -> bool:
    """Whether a training wrote what is in the folder: it holds the record of a run, or, of a version before there was
    one or of a run that was killed at once, a whole configuration and what trainings leave beside it.
    """
    if is_ours(run.record, _RECORD):
        return True
    if not run.exists() and not (run.folder / LOCK).exists():
        return False
    try:
        found = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(found, dict) and found.keys() >= _SECTIONS


def check_own(run: Run, read: Sequence[Input], *, overwrite: bool = False) -> None:
    """Hold a run folder against what a training reads, and against what is in it, before anything is written.

    Raises: InputError where the folder holds files of a run's names that no run wrote, where it is itself one that is
    read, or where starting anew would remove what is read.
    """
    folder = run.folder
    if is_run(run):
        for one in read if overwrite else ():
            if _removed(one.path, folder):
                raise InputError(
                    f"--out {folder}: starting anew would remove {one.name}, {one.path}, which is read; give another "
                    "--out"
                )
        return
    check_outputs([Output("--out", folder, folder=True)], read)
    for path in (*(folder / name for name in _FOLDERS), *_written(folder)):
        if path.exists() or path.is_symlink():
            raise InputError(
                f"--out {folder}: holds {path.name}, which no run of advmtl wrote, so it stays; give another folder"
            )


def _removed(path: Path, folder: Path) -> bool:
    """Whether starting anew removes a path: it is the run folder, or in what `clear_run` removes of it."""
    known = {identity(one) for one in (folder, *(folder / name for name in _FOLDERS), *_written(folder))} - {None}
    own, real = identity(folder), path.resolve()
    return identity(real) in known or any(identity(above) in known and identity(above) != own for above in real.parents)
