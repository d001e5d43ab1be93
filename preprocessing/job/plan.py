"""Which frames are to be processed and why, from the manifest and the files; and the outcome of each."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from preprocessing.ground import Frame, InputError, file_status, remove_leftovers, sha256_of
from preprocessing.job.manifest import Row, append_row
from preprocessing.job.settings import PreprocessSettings
from preprocessing.sets import Layout


@dataclass(frozen=True)
class Job:
    """What all frames of a run have in common: where to read and write, with which settings.

    `maps` is the name behind `disparity_` and `confidence_`; see `manifest.maps_name`.
    """

    root: Path
    out: Path
    layout: Layout
    settings: PreprocessSettings
    shaping: dict[str, Any]
    settings_key: str
    journal: Path
    maps: str

    def output(self, kind: str, frame: Frame) -> Path:
        """Return the path of the depth, disparity or confidence map of a frame."""
        named = kind if kind == "depth" else f"{kind}_{self.maps}"
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
    for kind in ("left", pair, "labels", "camera", "right_camera", "mask", "right_mask"):
        path: Path | None = getattr(frame, kind)
        if path is None:
            continue
        try:
            status = file_status(path)
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
    """Whether the frame is finished, by sizes and times alone."""
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


@dataclass(frozen=True)
class Outcome:
    """What came of a frame: a row for the record, or the reason why there is no depth.

    Attributes:
        frame: Which.
        row: What was put on record.
        reason: Why it is bad; "" where it is good.
        disk_full: The reason is want of space: the frames after it would end alike.
        warnings: What a user should know of a good frame.
    """

    frame: Frame
    row: Row | None = None
    reason: str = ""
    disk_full: bool = False
    warnings: tuple[str, ...] = field(default_factory=tuple)


def record_problem(
    job: Job, task: FrameTask, inputs: dict[str, dict[str, Any]], reason: str, *, disk_full: bool = False
) -> Outcome:
    """Put on record why a frame has no depth of these settings."""
    row = _problem_row(job, task, inputs, reason)
    try:
        append_row(job.journal, row)
    except OSError as error:
        disk_full = disk_full or is_full(error)
    return Outcome(task.frame, row, reason, disk_full)


def is_full(error: Exception) -> bool:
    """Whether the disk (or the quota) is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain(frame: Frame, error: Exception) -> str:
    """Say in one line naming a file what went wrong with a frame."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and not isinstance(error, InputError):
        text = f"{error.filename or frame.left}: {error.strerror or text}"
    elif not isinstance(error, InputError):
        text = f"{frame.left}: {type(error).__name__}: {text}"
    return text


def _problem_row(job: Job, task: FrameTask, inputs: dict[str, dict[str, Any]], reason: str) -> Row:
    earlier = task.row or {}
    stale = earlier.get("settings") == job.settings_key and _has_other_content(job, task.frame, earlier, inputs)
    if stale:
        _remove_outputs(job, task.frame)
    kept = {} if stale else earlier
    # A redo that failed half-way has overwritten some: the record claims only what is there.
    outputs = {kind: file for kind, file in (kept.get("outputs") or {}).items() if _stands(job.out, file)}
    return {**kept, "frame": task.frame.key, "problem": reason, "outputs": outputs}


def _has_other_content(job: Job, frame: Frame, row: Row, inputs: dict[str, dict[str, Any]]) -> bool:
    """Say whether an input is another than the row was made from: by content, since a copied set has other times.

    An input that is gone or cannot be looked at proves nothing: a disk that is not mounted must cost no depth.
    """
    if not replaced(row, inputs):
        return False
    recorded = row.get("inputs") or {}
    try:
        return any(sha256_of(getattr(frame, kind)) != recorded.get(kind, {}).get("sha256") for kind in inputs)
    except InputError:
        return False


def _stands(out: Path, file: dict[str, Any]) -> bool:
    path = out / file["path"]
    return path.is_file() and path.stat().st_size == file["bytes"] and sha256_of(path) == file["sha256"]


def _remove_outputs(job: Job, frame: Frame) -> None:
    for path in (*(job.output(kind, frame) for kind in ("depth", "confidence", "disparity")), job.picture(frame)):
        path.unlink(missing_ok=True)
