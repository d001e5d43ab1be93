"""Contact sheets: some frames of each source, picture | labels in colours | depth, with their names."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from advmtl.data import load_frame
from advmtl.inspection.look import Looked, spread
from advmtl.inspection.report import Group, Report
from advmtl.tasks import RGB, Task, TaskSpec, caption, color_depth, depth_legend, row_of, stack
from preprocessing.ground import InputError, encode_png, resize_image, write_bytes
from preprocessing.job import BagLook

_WIDTH = 400
FRAMES = 6
_MARK = {"Software": "advmtl inspect"}


def write_sheets(report: Report, folder: Path) -> list[Path]:
    """Write a picture for each source and bag. Raises: InputError where a file of that name is somebody else's."""
    sheets: dict[str, Callable[[], RGB]] = {
        _file(one.name): partial(source_sheet, one, group)
        for group in report.groups
        for one in group.looked
        if one.error is None
    }
    sheets |= {_file(bag.path.name): partial(bag_sheet, bag) for bag in report.bags if bag.frames}
    paths = {name: folder / name for name in sheets}
    for path in paths.values():
        if path.exists() and _MARK["Software"].encode() not in path.read_bytes()[:400]:
            raise InputError(f"{path}: is there and no contact sheet of advmtl; give another folder")
    for name, draw in sheets.items():
        write_bytes(paths[name], encode_png(draw(), _MARK))
    return list(paths.values())


def _file(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_") + ".png"


def source_sheet(looked: Looked, group: Group) -> RGB:
    """Some frames, evenly: RGB uint8. What cannot be read is a dark field that says so."""
    tasks, spec = group.tasks, group.config.spec
    rows = [_row(looked, place, tasks, spec) for place in spread(len(looked.records), FRAMES)]
    width = max(row.shape[1] for row in rows)
    return stack([*rows, *(task.arrays.footer(spec, width) for task in tasks.values())])


def _row(looked: Looked, place: int, tasks: Mapping[str, Task], spec: TaskSpec) -> RGB:
    record, look = looked.records[place], looked.looks[place]
    try:
        height, width = record.shape()
        size = (_WIDTH, max(24, round(height * _WIDTH / width)))
        image = resize_image(record.picture(), size)
    except InputError as error:
        size, image = (_WIDTH, _WIDTH // 2), np.full((_WIDTH // 2, _WIDTH, 3), 40, np.uint8)
        return row_of([caption(image, _ascii(f"{record.name}: {error}"))])
    pictures = [caption(image, _ascii(record.name))]
    for name, task in tasks.items():
        field, words = np.full_like(image, 60), f"{name}: none"
        if task.has(record):
            try:
                stored = load_frame(record, size, {name: task}, spec).labels[name]
                drawn = task.arrays.picture(task.arrays.target(stored, spec, training=False), spec)
                unit = f" [{task.arrays.value_unit}]" if task.arrays.value_unit else ""
                field, words = (field if drawn is None else drawn), name + unit
            except InputError as error:
                words = f"{name}: {look.faults.get(name, str(error))}"
        pictures.append(caption(field, _ascii(words)))
    return row_of(pictures)


def bag_sheet(bag: BagLook) -> RGB:
    """Left, right and depth of some pairs of a bag."""
    rows: list[RGB] = []
    for frame in bag.frames:
        height, width = frame.left.shape[:2]
        size = (_WIDTH, max(24, round(height * _WIDTH / width)))
        pictures = [caption(resize_image(frame.left, size), f"left {frame.name}")]
        pictures.append(caption(resize_image(frame.right, size), "right"))
        if frame.depth_m is not None:
            drawn = resize_image(color_depth(frame.depth_m, 1, 80), size)
            pictures.append(caption(drawn, "depth [m]"))
            pictures.append(depth_legend(len(pictures[0]), 1, 80))
        rows.append(row_of(pictures))
    return stack(rows)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
