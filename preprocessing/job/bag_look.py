"""A bag looked at before anything is made of it: topics, pairs, cameras, and some of its pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from preprocessing.ground import DEPTH_SCALE, Float32, InputError, UInt8
from preprocessing.job.doubts import pair_doubts
from preprocessing.job.recording import (
    BagSettings,
    Recording,
    default_out,
    own_stamp,
    plan_recording,
    recording_lines,
    topic_lines,
)
from preprocessing.sets import inspect_pair
from preprocessing.sets.bags import depth_of, open_bag, picture_of, rgb_of, scan

_DEPTH = ("16UC1", "32FC1")


@dataclass(frozen=True, eq=False)
class BagFrame:
    """A pair as it was recorded, and the depth picture that goes with it: float32 [H, W] m, None = none."""

    name: str
    left: UInt8
    right: UInt8
    depth_m: Float32 | None = None


@dataclass(frozen=True, eq=False)
class BagLook:
    """What was found.

    Attributes:
        path: of the bag.
        topics: a line each.
        lines: the pairs and their camera.
        doubts: what can hardly be right.
        faulty: pictures without a partner, and ends that are missing.
        frames: some pairs, evenly over the bag.
        error: why no stereo set can be made of it.
    """

    path: Path
    topics: Sequence[str] = ()
    lines: Sequence[str] = ()
    doubts: Sequence[str] = ()
    faulty: int = 0
    frames: Sequence[BagFrame] = field(default=(), repr=False)
    error: str | None = None


def look_at_bag(path: Path, count: int = 6) -> BagLook:
    """Look into a bag and decode `count` pairs of it; where these are none, its topics are still listed."""
    try:
        found = plan_recording(path, BagSettings())
    except InputError as error:
        return BagLook(path, _topics(path), error=str(error))
    frames = _frames(found, count)
    notes = {*found.bag.cut, *found.pairs.doubts}
    lines = [line for line in recording_lines(found) if line not in notes and line not in found.pairs.alone]
    doubts = [*found.bag.cut, *found.pairs.doubts, *found.pairs.alone[:3], *_odd(found, frames)]
    faulty = len(found.pairs.alone) + len(found.bag.cut)
    lines += [f"{name} may hold depth: --truth {name}" for name in _depth_topics(found)]
    lines.append(f"next: advmtl preprocess {path} --out {default_out(path).name}")
    return BagLook(path, topic_lines(found), lines, doubts, faulty, frames)


def _topics(path: Path) -> list[str]:
    """All topics of a bag that no set can be made of; none where it cannot be opened, which was said already."""
    try:
        return [f"  {topic.describe()}" for topic in scan(open_bag(path)).values()]
    except InputError:
        return []


def _depth_topics(found: Recording) -> list[str]:
    """A truth must be named, for such a topic may hold what the camera's own stereo has guessed."""
    headers = {name: topic.header for name, topic in found.topics.items() if name != found.chosen.truth}
    return [name for name, header in headers.items() if header is not None and header.encoding in _DEPTH]


def _odd(found: Recording, frames: Sequence[BagFrame]) -> list[str]:
    """Pairs that look swapped or unrectified; of pictures that will be rectified nothing is known yet."""
    if found.drawing is not None:
        return []
    findings = [inspect_pair(one.left, one.right, found.camera.doffs_px).finding or "" for one in frames]
    return pair_doubts(findings, len(findings))


def _frames(found: Recording, count: int) -> list[BagFrame]:
    """Some pairs, evenly over the bag, which is read through once more."""
    chosen, pairs = found.chosen, found.pairs
    last, most = len(pairs.left_ns) - 1, min(count, len(pairs.left_ns))
    places = sorted(set(np.linspace(0, last, most).round().astype(int).tolist()))
    truth = {left: stamp for stamp, left in found.truth.items()}
    wanted: dict[tuple[str, int], tuple[int, str]] = {}
    for place in places:
        left = int(pairs.left_ns[place])
        wanted[chosen.left, left] = place, "left"
        wanted[chosen.right, int(pairs.right_ns[place])] = place, "right"
        if chosen.truth is not None and left in truth:
            wanted[chosen.truth, truth[left]] = place, "depth"
    seen: dict[int, dict[str, UInt8 | Float32]] = {place: {} for place in places}
    for message in found.bag.messages({name for name, _ in wanted}):
        stamp = own_stamp(message, pairs)
        place_kind = wanted.pop((message.topic, stamp), None)
        if place_kind is not None:
            place, kind = place_kind
            try:
                if kind == "depth":
                    seen[place][kind] = depth_of(message).astype(np.float32) / np.float32(DEPTH_SCALE)
                else:
                    seen[place][kind] = rgb_of(picture_of(message), message.topic)
            except InputError:  # `preprocess` leaves it out, and says so
                continue
        if not wanted:
            break
    return [
        BagFrame(str(int(pairs.left_ns[place])), own["left"], own["right"], own.get("depth"))  # type: ignore[arg-type]
        for place, own in seen.items()
        if "left" in own and "right" in own
    ]
