"""A run folder: its files, whose it is, clearing it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from preprocessing.ground import InputError

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


def clear_run(folder: Path) -> None:
    """Remove what a run wrote into `folder`, and nothing else in it."""
    for name in ("checkpoints", "panels", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    files = (
        "config.yaml",
        "label_budget.json",
        "class_counts.json",
        "plan.json",
        "metrics.jsonl",
        "timing.jsonl",
        "evaluation.json",
    )
    names = (*files, "evaluation_frames.jsonl", "run.json", "evolution.gif", "growth.png")
    for path in (*(folder / name for name in names), *folder.glob("evaluation_epoch_*.json*")):
        path.unlink(missing_ok=True)
