"""Reading frames as arrays at network size, and listing the unreadable ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.data.look_cache import cache_path, load_looks, save_looks
from advmtl.data.looks import Look as Look
from advmtl.tasks import TASKS, Contents, FrameRecord, Size, Task, TaskSpec
from preprocessing.ground import Fit, Framing, InputError, read_header, track

COUNTED_PX = 2**28
"""Of label files that need not be decoded to be checked: some seconds."""
COUNTED_FILES = 4000
"""Of the same: more small ones say nothing more."""
_CHUNK = 64


@dataclass(frozen=True)
class Arrays:
    """One frame: image RGB uint8 `[H,W,3]`, and the labels of some tasks by name, as `TaskArrays` stores them.

    `zoom`: how many times as large as behind the canonical lens things are shown; labels are still those of the scene.
    """

    image: NDArray[np.uint8]
    labels: Mapping[str, NDArray[Any]]
    zoom: float = 1.0


@dataclass(frozen=True)
class BadFrame:
    """A skipped frame, and why (one line naming the file)."""

    name: str
    reason: str


def load_frame(
    record: FrameRecord,
    size: Size,
    tasks: Mapping[str, Task] = TASKS,
    spec: TaskSpec | None = None,
    *,
    fit: Fit = "stretch",
) -> Arrays:
    """Read one frame at network `size`: its image, and for each of `tasks` its label, blank where the frame has none.

    `fit`: how a picture of another shape comes to `size`. Raises: InputError naming the file that is missing,
    truncated, of another size or holds unknown ids.
    """
    image, spec = record.picture(), spec or TaskSpec()
    framing = Framing.of((image.shape[1], image.shape[0]), size, fit)
    zoom = zoom_of(record, framing, spec)
    return Arrays(framing.picture(image), read_labels(record, framing, tasks, spec), 1.0 if zoom is None else zoom)


def read_labels(
    record: FrameRecord, framing: Framing, tasks: Mapping[str, Task], spec: TaskSpec
) -> dict[str, NDArray[Any]]:
    """The labels of one frame, framed as its picture is; blank ones where it has none. Raises: as `load_frame`."""
    shape, size = framing.frame[::-1], framing.size
    labels = {}
    for name, task in tasks.items():
        if not task.has(record):
            labels[name] = task.arrays.blank(size)
            continue
        label = task.arrays.read(record, shape, framing.scaled, spec)
        labels[name] = label if framing.plain else framing.label(label, task.arrays.blank(size))
    return labels


def zoom_of(record: FrameRecord, framing: Framing, spec: TaskSpec) -> float | None:
    """How many times as large as behind the canonical lens things are shown; None where nobody tells the lens, or
    lenses are ignored. Raises: InputError naming a camera file that cannot be right.
    """
    lens = None if spec.canonical_fx_px is None else record.lens(framing.frame)
    return None if lens is None or spec.canonical_fx_px is None else framing.lens(lens).f_px / spec.canonical_fx_px


def blank_frame(size: Size, tasks: Mapping[str, Task]) -> Arrays:
    """A black frame without a label."""
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    return Arrays(image, {name: task.arrays.blank(size) for name, task in tasks.items()})


def look_at(
    records: Sequence[FrameRecord],
    tasks: Mapping[str, Task] = TASKS,
    spec: TaskSpec | None = None,
    *,
    counted_px: int | None = None,
    threads: int = 4,
) -> list[Look]:
    """Look at all files of frames, without decoding pictures.

    Each file must be there, open as an image, be whole to its last bytes and have its image's size. Label files are
    counted: all of those that have to be decoded to be checked, because an unknown id shows only there; of the others
    as many, evenly over the frames, as have together `counted_px` pixels, `COUNTED_PX` by default, and no more than
    `COUNTED_FILES`. Of many frames it is kept what was found, until one of their files changes (`look_cache`).
    """
    spec, counted_px = spec or TaskSpec(), COUNTED_PX if counted_px is None else counted_px
    kept = cache_path(records, tasks, spec, counted_px)
    if kept is not None and (known := load_looks(kept, len(records))) is not None:
        return known
    looks = _look_at(records, tasks, spec, counted_px, threads)
    if kept is not None:
        save_looks(kept, looks)
    return looks


def _look_at(
    records: Sequence[FrameRecord], tasks: Mapping[str, Task], spec: TaskSpec, counted_px: int, threads: int
) -> list[Look]:
    every = max(1, -(-_pixels(records) // max(1, counted_px)), -(-len(records) // COUNTED_FILES))

    def chunk(begin: int) -> list[Look]:
        """Some frames at once: handing each over on its own would take as long as looking at it."""
        end = min(begin + _CHUNK, len(records))
        return [_look(records[place], tasks, spec, place % every == 0) for place in range(begin, end)]

    begins = range(0, len(records), _CHUNK)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return [look for looks in track(pool.map(chunk, begins), "check", len(begins)) for look in looks]


def check_frames(
    records: Sequence[FrameRecord], tasks: Mapping[str, Task] = TASKS, *, threads: int = 4
) -> tuple[list[FrameRecord], list[BadFrame]]:
    """Split frames into good ones and bad ones, without decoding pictures or depth: see `look_at`. Costs about 1 ms a
    frame at 512×256.
    """
    looks = look_at(records, tasks, counted_px=0, threads=threads)
    faults = [fault_of(record, look, tasks) for record, look in zip(records, looks, strict=True)]
    good = [record for record, fault in zip(records, faults, strict=True) if fault is None]
    return good, [BadFrame(record.name, fault) for record, fault in zip(records, faults, strict=True) if fault]


def without_void(record: FrameRecord, look: Look, tasks: Mapping[str, Task], *, training: bool) -> FrameRecord:
    """The frame without the labels whose file has no pixel that training learns from, or that an evaluation counts."""
    for name, found in look.contents.items():
        if not (found.learnt if training else found.measured):
            record = tasks[name].without(record)
    return record


def fault_of(record: FrameRecord, look: Look, tasks: Mapping[str, Task]) -> str | None:
    """Why a frame cannot be shown with the labels that it has; None where it can."""
    faults = (look.faults.get(name) for name, task in tasks.items() if task.has(record))
    return look.fault or next((fault for fault in faults if fault), None)


def _pixels(records: Sequence[FrameRecord]) -> int:
    """Of all pictures together, by the first readable one of each source."""
    total = 0
    for number, count in Counter(record.source for record in records).items():
        shapes = (_shape(record) for record in records if record.source == number)
        height, width = next((shape for shape in shapes if not isinstance(shape, str)), (0, 0))
        total += count * height * width
    return total


def _shape(record: FrameRecord) -> tuple[int, int] | str:
    try:
        return record.shape()
    except InputError as error:
        return str(error)


def _look(record: FrameRecord, tasks: Mapping[str, Task], spec: TaskSpec, count: bool) -> Look:
    try:
        header = read_header(record.image)
        shape = record.shape_of(header)
    except InputError as error:
        return Look(fault=str(error))
    faults: dict[str, str] = {}
    found: dict[str, Contents] = {}
    lens = None
    for name, task in tasks.items():
        if not task.has(record):
            continue
        try:
            if any(output.of_lens for output in task.arrays.outputs) and spec.canonical_fx_px is not None:
                lens = record.lens(shape[::-1])
            if not count and not task.arrays.check_decodes:
                task.arrays.check(record, shape)
            elif (contents := task.arrays.contents(record, shape, spec)) is not None:
                found[name] = contents
        except InputError as error:
            faults[name] = str(error)
    file = header.status
    orientation = 0 if header.orientation == 1 else header.orientation * (1 if record.is_turned(header) else -1)
    return Look((file.st_dev, file.st_ino, file.st_size), None, faults, found, lens, orientation)
