"""One frame of a restyled set: its picture changed, its files carried over."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.derived import carry, encoded, files_of, keep_right_folder, place_of
from advmtl.restyle.figures import draws_of
from advmtl.styles import Colours, Style, read_style
from advmtl.tasks import FrameRecord
from preprocessing.ground import write_bytes


@dataclass(frozen=True)
class Job:
    """What a worker needs to make one frame; roots of the set and of the new one, and the file of the look."""

    record: FrameRecord
    root: Path
    out: Path
    style: Path
    seed: int
    copy: bool


@lru_cache(maxsize=1)
def _style(path: Path) -> Style:
    return read_style(path, "--style")


def make(job: Job) -> dict[str, Any]:
    """Make one frame, its picture last. Returns: its line of the manifest. Raises: InputError, why it is left out."""
    style, place = _style(job.style), place_of(job.record.image, job.root)
    image = job.record.picture()
    after = style.restyled(image, draws_of(job.record, job.root, job.seed))
    carry(files_of(job.record, job.root), job.root, job.out, copy=job.copy)
    keep_right_folder(job.record, job.root, job.out)
    write_bytes(job.out / place, encoded(after, place.suffix))
    change = np.abs(after.astype(np.int16) - image).mean() / 255
    row = {"picture": place.as_posix(), "change": round(float(change), 6)}
    if isinstance(style.look, Colours):
        row["like"] = style.look.names[style.look.drawn(draws_of(job.record, job.root, job.seed))]
    return row
