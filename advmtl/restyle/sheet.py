"""Contact sheets: before | after | label of some pictures, and some of the target for comparison."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advmtl.data import load_frame
from advmtl.derived import evenly
from advmtl.restyle.figures import draws_of
from advmtl.restyle.sets import Sets
from advmtl.styles import Look
from advmtl.tasks import RGB, FrameRecord, Size, Task, caption, row_of, stack
from preprocessing.ground import InputError, encode_png, write_bytes

_ROWS = 5
_COLUMNS = 3
_MARK = {"Software": "advmtl restyle"}


def write_sheet(path: Path, look: Look, sets: Sets, size: Size, seed: int) -> RGB:
    """Draw some frames of the source, evenly, and a row of the target, at (width, height) [px], and write the picture.

    Returns: it, RGB uint8.
    """
    rows = [_row(record, look, sets, size, seed) for record in evenly(sets.records, _ROWS)]
    like = [_picture(record, size) for record in evenly(sets.target, _COLUMNS)]
    if like:
        rows.append(row_of([caption(image, _ascii(f"target: {name}")) for name, image in like]))
    drawn = stack(rows)
    write_bytes(path, encode_png(drawn, _MARK))
    return drawn


def _row(record: FrameRecord, look: Look, sets: Sets, size: Size, seed: int) -> RGB:
    try:
        frame = load_frame(record, size, sets.tasks, sets.spec, fit="crop")
    except InputError as error:
        return row_of([caption(np.full((size[1], size[0], 3), 40, np.uint8), _ascii(str(error)))] * _COLUMNS)
    after = look.restyled(frame.image, draws_of(record, sets.source.root, seed))
    label, words = np.full_like(frame.image, 60), "no label"
    for name, task in sets.tasks.items():
        if task.has(record):
            label, words = _drawn(task, frame.labels[name], sets, label), name
            break
    return row_of([caption(frame.image, _ascii(record.name)), caption(after, "after"), caption(label, words)])


def _drawn(task: Task, stored: np.ndarray, sets: Sets, empty: RGB) -> RGB:
    found = task.arrays.picture(task.arrays.target(stored, sets.spec, training=False), sets.spec)
    return empty if found is None else found


def _picture(record: FrameRecord, size: Size) -> tuple[str, RGB]:
    try:
        return record.name, load_frame(record, size, {}, fit="crop").image
    except InputError:
        return record.name, np.full((size[1], size[0], 3), 40, np.uint8)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def style_pictures(records: Sequence[FrameRecord], size: Size) -> list[tuple[str, RGB]]:
    """Names and pictures RGB uint8 of recordings; what cannot be read is left out."""
    found = []
    for record in records:
        try:
            found.append((record.name, load_frame(record, size, {}, fit="crop").image))
        except InputError:
            continue
    return found
