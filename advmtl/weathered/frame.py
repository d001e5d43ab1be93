"""One frame of a set under weather: its picture changed, its files carried over."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.data import lens_of, load_frame, scene_of
from advmtl.derived import carry, depth_files, encoded, files_of, keep_right_folder, place_of
from advmtl.tasks import TASKS, FrameRecord, Task, TaskSpec, teller
from preprocessing.ground import InputError, read_grey_or_index, write_bytes, write_png
from preprocessing.weather import KINDS, weathered

_STREAM = 0x3EA8
_TASKS = ("segmentation", "depth")
Ranges = Mapping[str, tuple[float, float]]
Way = tuple[tuple[str, Ranges], ...]
"""Kinds that are applied to one picture, one after another."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to make one frame; the set's root, the new set's, and the settings of `write_weather`."""

    record: FrameRecord
    root: Path
    out: Path
    ways: tuple[Way, ...]
    seed: int
    ignore: bool
    guess: bool
    copy: bool
    spec: TaskSpec


def picture_of(job: Job) -> Path:
    """Where its picture goes."""
    return job.out / place_of(job.record.image, job.root)


def make(job: Job) -> dict[str, Any]:
    """Make one frame, its picture last. Returns: its line of the manifest. Raises: InputError, why it is left out."""
    record, key = job.record, place_of(job.record.image, job.root).as_posix()
    height, width = record.shape()
    tasks: dict[str, Task] = {name: TASKS[name] for name in _TASKS}
    arrays = load_frame(record, (width, height), tasks, job.spec)
    told = record.lens((width, height))
    lens = told or lens_of(1.0, (width, height), TaskSpec(width_px=width))
    scene = scene_of(arrays, lens, tasks, job.spec, guess=job.guess)
    rng = np.random.default_rng((_STREAM, job.seed, zlib.crc32(key.encode())))
    way = job.ways[int(rng.random() * len(job.ways))]
    drawn = [(name, KINDS[name].drawn(ranges, rng)) for name, ranges in way]
    done = weathered(scene, drawn, rng)
    carried = files_of(record, job.root)
    distance = teller(tasks, "distance")
    if job.ignore and distance is not None and done.hidden.any():
        for file in depth_files(record):
            if file in carried:
                carried.remove(file)
                _write_hidden(file, job.out / place_of(file, job.root), done.hidden)
    carry(carried, job.root, job.out, copy=job.copy)
    keep_right_folder(record, job.root, job.out)
    picture = picture_of(job)
    write_bytes(picture, encoded(done.image, picture.suffix))
    depth = "known" if scene.knows_depth else "guessed" if scene.distance_m is not None else "none"
    return {
        "picture": key,
        "kinds": [{"kind": name, **{one: round(value, 6) for one, value in given.items()}} for name, given in drawn],
        "hidden": round(float(done.hidden.mean()), 6),
        "depth": depth,
        "lens": "assumed" if told is None else "told",
    }


def _write_hidden(file: Path, target: Path, hidden: np.ndarray) -> None:
    """The depth or disparity file with 0, unknown, where the street is hidden."""
    from PIL import Image

    stored = read_grey_or_index(file) if file.suffix.lower() == ".png" else None
    if stored is None or stored.dtype != np.uint16 or stored.shape != hidden.shape:
        raise InputError(f"{file}: only a 16-bit PNG of the picture's size can have hidden pixels; leave --hidden keep")
    text = {}
    if file.is_file():
        with Image.open(file) as image:
            text = {str(name): value for name, value in image.info.items() if isinstance(value, str)}
    write_png(target, np.where(hidden, 0, stored).astype(np.uint16), text)
