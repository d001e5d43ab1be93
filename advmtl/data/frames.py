"""Reading frames as arrays at network size, and listing the unreadable ones."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, FrameRecord, Size, Task, TaskSpec
from preprocessing.ground import InputError, picture_shape, read_image, resize_image


@dataclass(frozen=True)
class Arrays:
    """One frame: image RGB uint8 `[H,W,3]`, and the labels of some tasks by name, as `TaskArrays` stores them."""

    image: NDArray[np.uint8]
    labels: Mapping[str, NDArray[Any]]


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
    resized: bool = True,
) -> Arrays:
    """Read one frame at network `size`: its image, and for each of `tasks` its label, blank where the frame has none.

    `resized`: False leaves the image at its own size. Raises: InputError naming the file that is missing, truncated, of
    another size or holds unknown ids.
    """
    image = read_image(record.image)
    shape, spec = (image.shape[0], image.shape[1]), spec or TaskSpec()
    labels = {
        name: task.arrays.read(record, shape, size, spec) if task.has(record) else task.arrays.blank(size)
        for name, task in tasks.items()
    }
    return Arrays(resize_image(image, size) if resized else image, labels)


def blank_frame(size: Size, tasks: Mapping[str, Task]) -> Arrays:
    """A black frame without a label."""
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    return Arrays(image, {name: task.arrays.blank(size) for name, task in tasks.items()})


def check_frames(
    records: Sequence[FrameRecord], tasks: Mapping[str, Task] = TASKS, *, threads: int = 4
) -> tuple[list[FrameRecord], list[BadFrame]]:
    """Split frames into good ones and bad ones, without decoding pictures or depth.

    Each file must be there, open as an image, be whole to its last bytes and have its image's size; label
    files are decoded, because an unknown id shows only there. Costs about 1 ms a frame at 512×256.
    """
    with ThreadPoolExecutor(max_workers=threads) as pool:
        reasons = list(pool.map(partial(_fault, tasks=tasks), records))
    good = [record for record, reason in zip(records, reasons, strict=True) if reason is None]
    bad = [BadFrame(record.name, reason) for record, reason in zip(records, reasons, strict=True) if reason is not None]
    return good, bad


def _fault(record: FrameRecord, tasks: Mapping[str, Task]) -> str | None:
    try:
        shape = picture_shape(record.image)
        for task in tasks.values():
            if task.has(record):
                task.arrays.check(record, shape)
    except InputError as error:
        return str(error)
    return None
