"""What came of a frame, and what goes on record where it could not be done."""

import errno
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import sha256_of
from preprocessing.ground.frame import Frame
from preprocessing.job.manifest import Row, append_row
from preprocessing.job.plan import FrameTask, Job, replaced


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
