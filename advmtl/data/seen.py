"""Which frames a run learns from and is measured on, so that a resume knows whether they are the same.

A frame is known by its name and by the sizes of the files that its picture and labels are read from: to ask for sizes
costs no reading, and no copy of a set changes them, as it may change dates.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from advmtl.tasks import FrameRecord, Task
from preprocessing.ground import InputError, file_status

_LABELS = ("labels", "depth", "disparity", "instances")
_EXAMPLES = 2


@dataclass(frozen=True)
class Frames:
    """The frames of one role.

    Attributes:
        names: of the frames, as people know them; [] of frames that come from a checkpoint.
        known: int64 [N,2], a hash of source and name, and one of the files' sizes.
    """

    names: Sequence[str]
    known: NDArray[np.int64]

    @property
    def digest(self) -> str:
        """SHA-256 of all of them, whatever their order."""
        return hashlib.sha256(self.known[np.lexsort(self.known.T)].tobytes()).hexdigest()


@dataclass(frozen=True)
class Seen:
    """All data of a run.

    Attributes:
        train, val: the frames.
        batches: of an epoch.
    """

    train: Frames
    val: Frames
    batches: int

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {
            "train": torch.from_numpy(self.train.known),
            "val": torch.from_numpy(self.val.known),
            "batches": self.batches,
        }

    def changes(self, before: Mapping[str, Any]) -> dict[str, str]:
        """What is different from what `state_dict` gave once, in words, by role; {} where nothing is."""
        roles = {"train": ("training", self.train), "val": ("validation", self.val)}
        told = {role: _difference(what, before[role].numpy(), now) for role, (what, now) in roles.items()}
        return {role: text for role, text in told.items() if text}


def seen_frames(
    train: Sequence[FrameRecord], val: Sequence[Sequence[FrameRecord]], tasks: Mapping[str, Task], batches: int
) -> Seen:
    """Take note of the frames of all sources; `tasks`: those that learn, whose label files count."""
    return Seen(_frames([train], tasks), _frames(val, tasks), batches)


def _frames(sources: Sequence[Sequence[FrameRecord]], tasks: Mapping[str, Task]) -> Frames:
    needed: dict[Any, list[str]] = {}  # files that are read, by which files a frame has
    names, known = [], []
    for number, records in enumerate(sources):
        for record in records:
            has = tuple(getattr(record, name) is not None for name in _LABELS)
            kind = (has, record.frame is None)
            if kind not in needed:
                needed[kind] = _read_by(record, tasks)
            files = [record.image, *(getattr(record, name) for name in needed[kind]), *record.extra.values()]
            names.append(record.name)
            known.append((_hash(f"{number}/{record.source}/{record.name}"), _hash(",".join(map(_size, files)))))
    return Frames(names, np.array(known, np.int64).reshape(-1, 2))


def _read_by(record: FrameRecord, tasks: Mapping[str, Task]) -> list[str]:
    """The label files by which alone some task has a label.

    Those that a label budget hides count as well: which ones it hides is recorded on its own.
    """
    bare = replace(record, labels=None, depth=None, disparity=None, instances=None, withheld=frozenset())
    found = []
    for name in _LABELS:
        path = getattr(record, name)
        if path is not None and any(task.has(replace(bare, **{name: path})) for task in tasks.values()):
            found.append(name)
    return found


def _size(path: Path) -> str:
    try:
        return str(file_status(path).st_size)
    except (OSError, InputError):  # frames of a caller's own need no files
        return "-"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _difference(what: str, before: NDArray[np.int64], now: Frames) -> str:
    there, here = dict(before.tolist()), dict(now.known.tolist())
    if there == here:
        return ""
    name_of = dict(zip(now.known[:, 0].tolist(), now.names, strict=True))
    added = [name_of[one] for one in here if one not in there]
    changed = [name_of[one] for one in here if one in there and here[one] != there[one]]
    gone = sum(one not in here for one in there)
    parts = [f"+{len(added)}"] if added else []
    parts += [f"−{gone}"] if gone else []
    text = f"{' '.join(parts)} {what} frames ({len(there)} → {len(here)})" if parts else ""
    if changed:
        text += ", " * bool(text) + f"{len(changed)} {what} frames with other files ({_some(changed)})"
    elif added:
        text = f"{text[:-1]}: {_some(added)})"
    return text


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
