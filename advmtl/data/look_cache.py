"""What was found in the files of a large source, kept for the next start: no file is opened then.

It counts for these very files alone, by path, size and time of change, and for the same tasks and settings; one changed
file, and all are looked at again. `$XDG_CACHE_HOME/advmtl/looks` (`~/.cache`); where nothing can be written there,
nothing is kept.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.data.looks import Look
from advmtl.tasks import TASKS, Contents, FrameRecord, Task, TaskSpec
from advmtl.version import __version__
from preprocessing.ground import InputError, Lens, atomic_write, file_status

LEAST_FRAMES = 2000
"""A smaller source is looked at in a second or two."""
_KEPT = 16  # sources
_REVISION = 1  # rises whenever the same files are looked at otherwise
_COUNTS = ("pixels", "learnt", "measured")
KNOWN_FIELDS = {*_COUNTS, "classes", "ids", "values"}
"""Of `Contents`: all that is kept of it. With others, nothing is."""


def cache_path(
    records: Sequence[FrameRecord], tasks: Mapping[str, Task], spec: TaskSpec, counted_px: int
) -> Path | None:
    """Where the looks of these frames are kept; None for few frames, or tasks of a caller's own."""
    own = all(TASKS.get(name) is task for name, task in tasks.items())
    if len(records) < LEAST_FRAMES or not own or {one.name for one in fields(Contents)} != KNOWN_FIELDS:
        return None
    key = hashlib.blake2b(digest_size=16)
    key.update(repr((__version__, _REVISION, sorted(tasks), spec, counted_px)).encode())
    calibrations: dict[str, str] = {}
    settings: tuple[Any, ...] = ()
    for record in records:
        own_settings = (
            record.ids,
            record.classes,
            record.renamed,
            record.reading,
            record.depth_codec,
            record.told_lens,
        )
        if own_settings != settings:
            settings = own_settings
            key.update(repr(settings).encode("utf-8", "surrogatepass"))
        camera = None if record.frame is None else record.frame.camera
        paths = (record.image, record.labels, record.depth, record.disparity, record.instances, *record.extra.values())
        text = "\n".join([_state(path) for path in paths if path is not None])
        if camera is not None or record.told_lens is not None:
            told = None if record.told_lens is None else record.told_lens.camera
            for path in (camera, told):
                if path is not None and str(path) not in calibrations:
                    calibrations[str(path)] = _state(path)
                text += "" if path is None else calibrations[str(path)]
        key.update(f"{text};{sorted(record.withheld)}".encode("utf-8", "surrogatepass"))
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "advmtl" / "looks" / f"{key.hexdigest()}.npz"


def _state(path: Path) -> str:
    text = str(path)
    try:
        status = file_status(path)
    except (OSError, InputError):
        return f"{text}-"
    return f"{text}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}|{status.st_dev}"


def save_looks(path: Path, looks: Sequence[Look]) -> None:
    """Keep looks; nothing happens where the folder cannot be written."""
    arrays: dict[str, NDArray[Any]] = {
        "picture": np.array([look.picture or (-1, -1, -1) for look in looks], np.int64),
        "orientation": np.array([look.orientation for look in looks], np.int8),
        "lens": np.array([_of_lens(look.lens) for look in looks], np.float64),
    }
    for task in sorted({name for look in looks for name in look.contents}):
        arrays |= {
            f"{task}/{key}": value for key, value in _of_contents([look.contents.get(task) for look in looks]).items()
        }
    faults = {
        str(place): [look.fault, dict(look.faults)] for place, look in enumerate(looks) if look.fault or look.faults
    }
    arrays["faults"] = np.frombuffer(json.dumps(faults).encode(), np.uint8)
    try:
        with atomic_write(path) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        _prune(path.parent)
    except OSError:  # a full disk, or a home that cannot be written: the next start takes as long as this one
        pass


def load_looks(path: Path, count: int) -> list[Look] | None:
    """The looks that were kept, `count` of them; None where there are none, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        looks = _looks(arrays)
        os.utime(path)  # the last ones used are kept
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return looks if len(looks) == count else None


def _looks(arrays: Mapping[str, NDArray[Any]]) -> list[Look]:
    faults = json.loads(arrays["faults"].tobytes())
    tasks = sorted({name.partition("/")[0] for name in arrays if "/" in name})
    by_task = {task: _to_contents(task, arrays) for task in tasks}
    looks = []
    none: dict[str, str] = {}
    rows = zip(arrays["picture"].tolist(), arrays["orientation"].tolist(), arrays["lens"].tolist(), strict=True)
    for place, (picture, orientation, lens) in enumerate(rows):
        found = {task: own for task in tasks if (own := by_task[task][place]) is not None}
        fault, others = faults.get(str(place), (None, none)) if faults else (None, none)
        looks.append(
            Look(
                None if picture[0] < 0 else (picture[0], picture[1], picture[2]),
                fault,
                others,
                found,
                None if lens[0] != lens[0] else Lens(lens[0], lens[1], lens[2], lens[3], (int(lens[4]), int(lens[5]))),
                orientation,
            )
        )
    return looks


def _of_lens(lens: Lens | None) -> tuple[float, ...]:
    return (np.nan,) * 6 if lens is None else (lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px, *lens.size)


def _of_contents(found: Sequence[Contents | None]) -> dict[str, NDArray[Any]]:
    """The contents of those that have some, as columns."""
    own = [one for one in found if one is not None]
    ids = [one.ids for one in own]
    return {
        "has": np.array([one is not None for one in found]),
        **{name: np.array([getattr(one, name) for one in own], np.int64) for name in _COUNTS},
        "classes": np.array([one.classes for one in own], np.int64),
        "id_ends": np.cumsum([len(one) for one in ids], dtype=np.int64),
        "ids": np.array([(key, count) for one in ids for key, count in one.items()], np.int64).reshape(-1, 2),
        "value_ends": np.cumsum([len(one.values) for one in own], dtype=np.int64),
        "values": np.concatenate([one.values for one in own]).astype(np.float32) if own else np.zeros(0, np.float32),
    }


def _to_contents(task: str, arrays: Mapping[str, NDArray[Any]]) -> list[Contents | None]:
    columns = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{task}/")}
    counts = zip(*(columns[name].tolist() for name in _COUNTS), strict=True)
    ids, values = columns["ids"].tolist(), columns["values"]
    ends = zip(columns["id_ends"].tolist(), columns["value_ends"].tolist(), strict=True)
    own, last_id, last_value = [], 0, 0
    for (pixels, learnt, measured), classes, (id_end, value_end) in zip(counts, columns["classes"], ends, strict=True):
        own.append(Contents(pixels, learnt, measured, classes, dict(ids[last_id:id_end]), values[last_value:value_end]))
        last_id, last_value = id_end, value_end
    following = iter(own)
    return [next(following) if has else None for has in columns["has"].tolist()]


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in files[_KEPT:]:
        old.unlink(missing_ok=True)
