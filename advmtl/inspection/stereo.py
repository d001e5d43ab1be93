"""What `preprocess --dry-run` says of a stereo set, of some of its frames."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advmtl.inspection.look import Looked, spread
from preprocessing.ground import InputError
from preprocessing.job import Plan, PreprocessSettings, dry_run_lines, inspect, make_plan

_NOWHERE = Path("no_such_folder_of_depth")  # a dry run writes nothing
_CAMERAS = 5
_SAME_SCALE = 0.25, 2.0
"""Corners are rare on the road, so half of them lie farther than half of the pixels."""
FRAMES = 1000
"""Of so many frames, evenly, cameras and heads of pictures are read."""


@dataclass(frozen=True)
class Stereo:
    """A set as `preprocess` would take it.

    Attributes:
        root: of the set.
        lines: cameras, pairs, what would be rectified.
        doubts: what can hardly be right.
        problems: what ends single frames, naming the file.
        faulty: how many of the frames looked at have one.
        seen: how many were looked at.
        median_m: distance of half of the corners in its pairs [m].
    """

    root: Path
    lines: Sequence[str] = ()
    doubts: Sequence[str] = ()
    problems: Sequence[str] = ()
    faulty: int = 0
    seen: int = 0
    median_m: float | None = None


def look_at_pairs(looked: Sequence[Looked]) -> list[Stereo]:
    """Each stereo set behind these sources once; those without a single right picture are left out: they are what they
    are, and nothing that `preprocess` could take.
    """
    splits: dict[Path, set[str | None]] = {}
    frames: Counter[Path] = Counter()
    for one in looked:
        if any(record.frame is not None and record.frame.right is not None for record in one.records):
            root = Path(one.source.root).expanduser()
            splits.setdefault(root, set()).add(one.source.split)
            frames[root] += one.frames
    return [_look(root, next(iter(own)) if len(own) == 1 else None, frames[root]) for root, own in splits.items()]


def _look(root: Path, split: str | None, frames: int) -> Stereo:
    """`frames`: how many it has."""
    # Their labels are looked at as the source says what they are.
    settings = PreprocessSettings(split=split, labels="none")
    try:
        lines, whole = dry_run_lines(root, settings)
        if whole:
            problems = [line.removeprefix("problem: ") for line in lines if line.startswith("problem: ")]
            told = [line for line in lines if not line.startswith("problem: ")]
            told.append(f"next: advmtl preprocess {root} rectifies them and makes depth of them")
            return Stereo(root, told, problems=problems, faulty=len(problems), seen=frames)
        try:
            plan, said = make_plan(root, settings), []
        except InputError as error:  # depth of somebody else is in the way, of nothing but the output
            plan, said = make_plan(root, replace(settings, out=_NOWHERE)), [f"preprocess: {error}"]
        some = replace(plan, tasks=[plan.tasks[place] for place in spread(len(plan.tasks), FRAMES)])
        found = _of_plan(root, some, lines)
        return replace(found, doubts=[*said, *found.doubts])
    except InputError as error:
        return Stereo(root, problems=[f"preprocess: {error}"], faulty=frames, seen=frames)


def _of_plan(root: Path, plan: Plan, lines: Sequence[str]) -> Stereo:
    found = inspect(plan)
    rest = len(found.cameras) - _CAMERAS
    more = [f"and {rest} more cameras"] if rest > 0 else []
    told = [*lines, *found.cameras[:_CAMERAS], *more, found.reach, *_summed(found.pairs)]
    if found.todo:
        told.append(f"next: advmtl preprocess {root} makes depth of {'them' if found.frames > 1 else 'it'}")
    return Stereo(root, told, found.doubts, found.problems, found.faulty, found.frames, found.median_m)


def against_pairs(stereo: Stereo, looked: Looked, median_m: float) -> list[str]:
    """A line where half of a source's depth [m] is nearer than `median_m` that is another scale than that of corners
    followed in the pairs.
    """
    pairs = stereo.median_m
    told = any("times that of corners" in line for line in stereo.doubts)  # of its disparity, place by place
    if pairs is None or told or Path(looked.source.root).expanduser() != stereo.root:
        return []
    ratio = median_m / pairs
    if _SAME_SCALE[0] < ratio < _SAME_SCALE[1]:
        return []
    return [
        f"{looked.name}: half of the depth in its files is nearer than {median_m:.3g} m, half of the corners that were "
        f"followed from left to right than {pairs:.3g} m, {ratio:.3g} times: state what the files hold (depth_codec or "
        "disparity_codec in calibration.json, depth.unit of the source)"
    ]


def _summed(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Good pairs in one line, the others each."""
    good = [line for _, line in pairs if line.endswith("looks rectified")]
    odd = [f"pair {name}: {line}" for name, line in pairs if not line.endswith("looks rectified")]
    return [f"{len(good)} of {len(pairs)} pairs look rectified, e.g. {good[0]}", *odd] if good else odd
