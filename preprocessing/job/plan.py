"""Which frames are to do and why, told from the record and a look at the files, before anything is decoded."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import remove_leftovers
from preprocessing.ground.frame import Frame
from preprocessing.job.manifest import Row
from preprocessing.job.settings import PreprocessSettings
from preprocessing.sets.layouts import Layout


@dataclass(frozen=True)
class Job:
    """What all frames of a run have in common: where to read and write, with which settings."""

    root: Path
    out: Path
    layout: Layout
    settings: PreprocessSettings
    shaping: dict[str, Any]
    settings_key: str
    journal: Path

    def output(self, kind: str, frame: Frame) -> Path:
        """Return the path of the depth, disparity or confidence map of a frame."""
        named = kind if kind == "depth" else f"{kind}_{self.settings.matcher.name}"
        return self.layout.output_path(self.out, named, frame)

    def picture(self, frame: Frame) -> Path:
        """Return where the frame is drawn."""
        return self.out / "depth" / "pictures" / f"{frame.key.replace('/', '_')}.png"


@dataclass(frozen=True)
class FrameTask:
    """One frame: what an earlier run recorded of it, whether to draw it, and why it is to do ("" = finished)."""

    frame: Frame
    row: Row | None
    draw: bool
    why: str


OUTPUTS = ("disparity", "confidence", "depth")


def input_state(job: Job, frame: Frame) -> dict[str, dict[str, Any]]:
    """Return path, size and time of change of each input that is read, by which a later run knows it again.

    Raises: InputError naming a file that cannot be looked at.
    """
    found: dict[str, dict[str, Any]] = {}
    pair = "disparity" if job.settings.matcher.name == "dataset" else "right"
    for kind in ("left", pair, "labels", "camera"):
        path: Path | None = getattr(frame, kind)
        if path is None:
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        named = path.relative_to(job.root).as_posix() if path.is_relative_to(job.root) else str(path)
        found[kind] = {"path": named, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    return found


def replaced(row: Row, state: dict[str, dict[str, Any]]) -> bool:
    """Say whether an input that is there now is not the one that the row was made from (hashes are not looked at)."""
    seen, recorded = ("path", "bytes", "mtime_ns"), row.get("inputs") or {}
    return any(recorded.get(kind, {}).get(key) != now[key] for kind, now in state.items() for key in seen)


def plan_frame(job: Job, frame: Frame, row: Row | None, draw: bool) -> FrameTask:
    """Tell whether the frame is finished, by sizes and times alone."""
    return FrameTask(frame, row, draw, _why(job, frame, row, draw))


def _why(job: Job, frame: Frame, row: Row | None, draw: bool) -> str:
    if row is None:
        return "new"
    if row.get("problem"):
        return "had a problem"
    if job.settings.again:
        return "asked for again"
    if row.get("settings") != job.settings_key:
        return "settings changed"
    try:
        state = input_state(job, frame)
        if replaced(row, state) or state.keys() != (row.get("inputs") or {}).keys():
            return "input changed"
    except InputError:
        return "input changed"
    recorded = row.get("outputs") or {}
    for kind in OUTPUTS:
        try:
            if job.output(kind, frame).stat().st_size != recorded[kind]["bytes"]:
                return "output damaged"
        except (OSError, KeyError):
            return "output missing"
    return "picture missing" if draw and not job.picture(frame).is_file() else ""


def sweep(job: Job, tasks: Iterable[FrameTask]) -> None:
    """Remove the half written hidden files that a killed run left of these frames."""
    names: dict[Path, set[str]] = {}
    for task in tasks:
        paths = [job.output(kind, task.frame) for kind in OUTPUTS] + ([job.picture(task.frame)] if task.draw else [])
        for path in paths:
            names.setdefault(path.parent, set()).add(path.name)
    for folder, files in names.items():
        remove_leftovers(folder, files)


def settings_mark(path: Path) -> str | None:
    """Return the settings under which `preprocess` made this depth file; None where it did not."""
    try:
        with Image.open(path) as image:
            return image.info.get("settings")
    except (OSError, SyntaxError, ValueError):
        return None
