"""A contact sheet of a set under weather: before | after | depth of some frames."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advmtl.data import load_frame
from advmtl.derived import place_of
from advmtl.tasks import RGB, TASKS, FrameRecord, TaskSpec, caption, color_depth, row_of, stack
from preprocessing.ground import InputError, encode_png, read_image, resize_image, write_bytes

_WIDTH = 400
_FRAMES = 6


def write_sheet(path: Path, records: Sequence[FrameRecord], root: Path, out: Path, spec: TaskSpec) -> None:
    """Draw some frames, evenly, and write the picture; nothing where there is no frame."""
    places = sorted(set(np.linspace(0, len(records) - 1, min(_FRAMES, len(records))).round().astype(int).tolist()))
    rows = [_row(records[place], root, out, spec) for place in places]
    if rows:
        write_bytes(path, encode_png(stack(rows), {"Software": "advmtl weather"}))


def _row(record: FrameRecord, root: Path, out: Path, spec: TaskSpec) -> RGB:
    height, width = record.shape()
    size = _WIDTH, max(24, round(height * _WIDTH / width))
    frame = load_frame(record, size, {"depth": TASKS["depth"]}, spec)
    try:
        after = resize_image(read_image(out / place_of(record.image, root)), size)
    except InputError:
        after = np.full_like(frame.image, 40)
    depth = frame.labels["depth"]
    drawn = color_depth(depth, 1, 80) if (depth > 0).any() else np.full_like(frame.image, 40)
    name = record.name.encode("ascii", "replace").decode()
    return row_of([caption(frame.image, name), caption(after, "after"), caption(drawn, "depth [m], 1 red to 80 blue")])
