"""The two sets: a labelled one, and recordings without labels whose look it shall have; what is doubtful of them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advmtl.data import check_frames
from advmtl.derived import Original, check_pictures, check_place, original, recordings
from advmtl.restyle.judge import Judge
from advmtl.restyle.settings import Asked
from advmtl.tasks import TASKS, FrameRecord, Task, TaskSpec
from preprocessing.ground import InputError

FEW = 50
_OTHER_LENS = 1.15  # ratio of focal length to width from which on things look otherwise large
_TASKS = ("segmentation", "depth")


@dataclass(frozen=True)
class Sets:
    """The pictures of both.

    Attributes:
        source: the labelled set, read with the model's classes where there is a model, else with its own.
        records: its frames that can be read, which are learnt from and measured.
        target: the recordings, without labels, those that can be read.
        roots: of the recordings.
        tasks, spec: what labels are read as.
        doubts: lines on what can hardly be meant so.
    """

    source: Original
    records: Sequence[FrameRecord]
    target: Sequence[FrameRecord]
    roots: Sequence[Path]
    tasks: dict[str, Task]
    spec: TaskSpec
    doubts: Sequence[str]

    def mark(self) -> int:
        """A number that other frames would hardly have."""
        names = [one.name for one in (*self.records, *self.target)]
        return zlib.crc32("\n".join(names).encode())


def open_sets(asked: Asked, judge: Judge | None, method: str = "cut") -> Sets:
    """List both sets. `method`: what a doubt of few pictures proposes instead.

    Raises: InputError where one has fewer than two pictures, they share some, or a new set would lie in one of them.
    """
    source = original(asked.source, None if judge is None else judge.config.data.classes)
    target, roots = recordings(asked.like)
    like = f"--like {' '.join(asked.like)}"
    spec = TaskSpec(source.classes) if judge is None else judge.config.spec
    tasks = {name: TASKS[name] for name in _TASKS} if judge is None else judge.tasks
    shared = {one.image.resolve() for one in source.records} & {one.image.resolve() for one in target}
    if shared:
        raise InputError(f"--like: {len(shared)} of its pictures are in {asked.source}, too; give other recordings")
    if asked.out is not None:
        check_place(asked.out, source.root, *roots)
        check_pictures(source.records, "data.augment.restyle")
    check_place(asked.run, source.root, *roots)
    if asked.out is not None and asked.style is None and asked.run.resolve().is_relative_to(asked.out.resolve()):
        raise InputError(
            f"--run {asked.run}: lies in --out {asked.out}, which is for the set alone; choose another --run"
        )
    records, lines = _readable(source.records, tasks, asked.source)
    target, more = _readable(target, {}, like)
    if asked.style is None and min(len(records), len(target)) < 2:
        fewest, text = min((len(records), asked.source), (len(target), like))
        raise InputError(f"{text}: has {fewest} readable picture; a look is that of many, give {FEW} at least")
    few = _few({asked.source: len(records), like: len(target)}, method) if asked.style is None else []
    doubts = [*lines, *more, *few, *_lenses(records, target)]
    return Sets(source, records, target, roots, tasks, spec, doubts)


def _readable(
    records: Sequence[FrameRecord], tasks: Mapping[str, Task], text: str
) -> tuple[list[FrameRecord], list[str]]:
    """Those whose files are whole, and a line on the others. Raises: InputError where it is none, with the reason."""
    good, bad = check_frames(records, tasks)
    if bad and not good:
        raise InputError(f"{text}: none of {len(bad)} pictures can be read; {bad[0].reason}")
    return good, [f"{text}: {len(bad)} pictures are not looked at; the first: {bad[0].reason}"] if bad else []


def _few(counts: Mapping[str, int], method: str) -> list[str]:
    other = ", or take --method colour" if method == "cut" else ""
    return [
        f"{text}: {count} pictures are few; what they have in common by chance becomes the look: give more{other}"
        for text, count in counts.items()
        if count < FEW
    ]


def _lenses(source: Sequence[FrameRecord], target: Sequence[FrameRecord]) -> list[str]:
    own, other = (_per_width(records) for records in (source, target))
    if not own or not other or max(own / other, other / own) <= _OTHER_LENS:
        return []
    return [
        f"--like: its focal length is {other:.2f} of the width, the source's {own:.2f}; the new set keeps the source's "
        "lens and metres, the look alone goes over"
    ]


def _per_width(records: Sequence[FrameRecord]) -> float | None:
    """Focal length over width of the first frame, where anything tells it."""
    if not records:
        return None
    height, width = records[0].shape()
    lens = records[0].lens((width, height))
    return None if lens is None else lens.fx_px / width
