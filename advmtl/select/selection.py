"""From a trained network and data sources to the list of frames to label, its contact sheet and its chart."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from advmtl.config import Source
from advmtl.data import BadFrame
from advmtl.select.choice import Pick, Rule, choose
from advmtl.select.features import find_frames, load_student, measure_frames
from advmtl.select.write import list_rows, write_coverage, write_list, write_sheet
from advmtl.training import load_generator
from preprocessing.ground import InputError


@dataclass(frozen=True)
class Selection:
    """What was chosen.

    Attributes:
        rows: one per chosen frame, by `write.COLUMNS`.
        picks: the same, with how the coverage went.
        candidates: how many there were to choose from.
        labelled: how many had labels before.
        skipped: what could not be read.
    """

    rows: list[dict[str, Any]]
    picks: list[Pick]
    candidates: int
    labelled: int
    skipped: list[BadFrame]


def select(
    run: Path,
    sources: Sequence[Source],
    count: int,
    out: Path,
    rule: Rule,
    device: torch.device,
    *,
    student: Path | None = None,
    labelled: Sequence[Source] = (),
    ignore_labels: bool = False,
) -> Selection:
    """Choose `count` frames of `sources`, all where there are fewer; write the list, its sheet and its chart to `out`.

    Args: `run`: the network whose features are compared, the teacher of Eq. 35; `student`: the other one; `labelled`:
    sources of frames that have labels before; `ignore_labels`: also choose from frames that have labels.
    Source: Hoyer et al. 2021, as Fontana et al. 2024 give it, Eq. 34 and 35. Raises: InputError.
    """
    if rule.by != "diversity" and student is None:
        raise InputError(f"--by {rule.by}: name the run to compare with, --student RUN, or choose by diversity")
    if not math.isfinite(rule.pool):
        raise InputError(f"--pool {rule.pool}: is no number of frames; write 3, for three times --count")
    teacher, config = load_generator(run)
    other = None if student is None else load_student(student, run, config).to(device)
    frames = find_frames(sources, labelled, config, ignore_labels=ignore_labels)
    _make_folder(out)  # before hours go into measuring
    measured = measure_frames(frames, teacher.to(device), config, device, other)
    frames = measured.frames
    picks = choose(measured.features, count, rule, frames.start, measured.disagreement)
    gaps = None if measured.disagreement is None else measured.disagreement.tolist()
    rows = list_rows(picks, frames, gaps)
    write_list(out, rows, picks, frames, rule, {"run": str(run), "student": str(student) if student else None})
    write_sheet(out / "selection.jpg", picks, rows, frames)
    write_coverage(out / "coverage.png", picks, frames.labelled.count(True))
    return Selection(rows, picks, frames.labelled.count(False), frames.labelled.count(True), frames.skipped)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: no folder can be made there ({error.strerror}); name another") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: may not be written to; name another folder")
