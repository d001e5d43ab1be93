"""Which pictures belong together: by the stamps in their headers, each with its nearest, one to one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.ground import InputError
from preprocessing.sets.bags.topics import Topic

Times = npt.NDArray[np.int64]
ALONE_LISTED = 20
_LIDAR_NS = 10**8
"""Of a single cloud: most lidars turn ten times a second."""


@dataclass(frozen=True)
class Pairs:
    """The pairs of a bag.

    Attributes:
        left_ns, right_ns: Stamp of the left and right picture of each pair [ns], sorted.
        alone: One line for each picture without a partner.
        doubts: What is odd of all of them.
        by_recording: The headers have no stamps: `left_ns` and `right_ns` are the times of recording.
    """

    left_ns: Times
    right_ns: Times
    alone: list[str]
    doubts: list[str]
    by_recording: bool = False


def pair_up(left: Topic, right: Topic, tolerance_s: float | None) -> Pairs:
    """Pair the pictures of two topics.

    Args:
        left, right: The topics, with their stamps.
        tolerance_s: Greatest distance of two stamps [s]; None = half of the median time between left pictures.

    Raises: InputError where not one pair is found; says how far the nearest are apart.
    """
    doubts: list[str] = []
    by_recording = not (any(left.stamps_ns) and any(right.stamps_ns))
    if by_recording:
        doubts.append("the headers have no stamps: pictures are paired by when they were recorded")
    first, second = (_sorted(one, by_recording, doubts) for one in (left, right))
    if not len(first) or not len(second):
        empty = left if not len(first) else right
        raise InputError(f"{empty.name}: not one picture in it")
    limit = round(tolerance_s * 1e9) if tolerance_s is not None else _half_interval(first)
    partner = nearest(first, second)
    back = nearest(second, first)
    kept = (back[partner] == np.arange(len(first))) & (np.abs(second[partner] - first) <= limit)
    if not kept.any():
        off = np.abs(second[partner] - first).min() / 1e9
        raise InputError(
            f"{left.name} and {right.name}: no two stamps within {limit / 1e9:.4g} s; the nearest are {off:.4g} s "
            "apart: --pair-tolerance-s, or other topics"
        )
    lefts, rights = first[kept], second[partner[kept]]
    off_s = float(np.median(np.abs(rights - lefts))) / 1e9
    if off_s > 1e-3:
        doubts.append(f"left and right are {off_s * 1e3:.1f} ms apart in the median: what moves is measured wrong")
    alone = _alone("left", first[~kept], second, "right") + _alone("right", np.setdiff1d(second, rights), first, "left")
    return Pairs(lefts, rights, alone, doubts, by_recording)


def _sorted(topic: Topic, by_recording: bool, doubts: list[str]) -> Times:
    times = np.array(topic.times_ns if by_recording else topic.stamps_ns, np.int64)
    found = np.unique(times)
    if len(found) < len(times):
        doubts.append(
            f"{topic.name}: {len(times) - len(found)} pictures have a stamp that another has; the first counts"
        )
    return found


def _half_interval(times: Times) -> int:
    return round(float(np.median(np.diff(times))) / 2) if len(times) > 1 else 0


def nearest(of: Times, among: Times) -> npt.NDArray[np.intp]:
    """Index in `among` (sorted) of what is nearest to each of `of`."""
    after = np.searchsorted(among, of).clip(0, len(among) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(among[before] - of) <= np.abs(among[after] - of), before, after)


def _alone(side: str, times: Times, others: Times, other: str) -> list[str]:
    gaps = np.abs(others[nearest(times, others)] - times) if len(times) else []
    return [
        f"{side} {seconds(int(time))} has no {other} picture; the nearest is {gap / 1e6:.1f} ms away"
        for time, gap in zip(times, gaps, strict=True)
    ]


def seconds(time_ns: int) -> str:
    """A stamp as it is usually written, with all its digits."""
    return f"{time_ns // 10**9}.{time_ns % 10**9:09d}"


def truth_of(pairs: Pairs, truth: Topic, tolerance_s: float | None) -> dict[int, int]:
    """Stamp of a depth picture or cloud -> stamp of the left picture that it goes with [ns]: each with its nearest.

    Args:
        pairs: The pairs.
        truth: The topic.
        tolerance_s: As of `pair_up`, for depth pictures; clouds, whose sensor runs by a clock of its own, may be half
            of their own median interval away.
    """
    times = _times(pairs, truth)
    if not len(times):
        return {}
    limit = round(tolerance_s * 1e9) if tolerance_s is not None else _half_interval(pairs.left_ns)
    limit = cloud_tolerance_ns(pairs, truth) if truth.is_cloud else limit
    partner = nearest(pairs.left_ns, times)
    back = nearest(times, pairs.left_ns)
    kept = (back[partner] == np.arange(len(pairs.left_ns))) & (np.abs(times[partner] - pairs.left_ns) <= limit)
    return dict(zip(times[partner[kept]].tolist(), pairs.left_ns[kept].tolist(), strict=True))


def cloud_tolerance_ns(pairs: Pairs, clouds: Topic) -> int:
    """Half of the median time between clouds."""
    times = _times(pairs, clouds)
    return _half_interval(times) if len(times) > 1 else _LIDAR_NS // 2


def truth_text(pairs: Pairs, topic: Topic, truth: Mapping[int, int]) -> str:
    """What is said of a truth: how many pairs have it, and how far it is from them in time."""
    of = f"{topic.name}: {len(truth)} of {len(pairs.left_ns)} pairs have a"
    if not topic.is_cloud:
        return f"{of} depth picture"
    apart_ms = float(np.median([abs(left - stamp) for stamp, left in truth.items()])) / 1e6
    return (
        f"{of} cloud within {cloud_tolerance_ns(pairs, topic) / 1e6:.4g} ms, half of its interval; {apart_ms:.1f} ms "
        "apart in the median, which nothing is compensated for"
    )


def far_off(pairs: Pairs, topic: Topic) -> str:
    """What is said of a truth that no left picture has."""
    times = _times(pairs, topic)
    if not len(times):
        return f"{topic.name}: no message of it can be read"
    gap_s = np.abs(times[nearest(pairs.left_ns, times)] - pairs.left_ns).min() / 1e9
    return (
        f"{topic.name}: its stamp nearest to a left picture's is {gap_s:.4g} s away; was it recorded by another clock? "
        "Leave --truth out, or name another topic"
    )


def _times(pairs: Pairs, topic: Topic) -> Times:
    return np.unique(np.array(topic.times_ns if pairs.by_recording else topic.stamps_ns, np.int64))
