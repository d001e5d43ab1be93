"""Trying a stereo network on the first pairs of a set, before the set is spent on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from preprocessing.ground import Frame, InputError, read_image
from preprocessing.job.plan import FrameTask, Job
from preprocessing.stereo import OnnxSettings, Verdict, check_size, close_network, describe, judge

PAIRS = 3
"""So many pairs are tried, until one of them says that the network is right."""
_LOOKED_AT = 12  # a pair that cannot be read, or decides nothing, makes way for another


@dataclass(frozen=True)
class Trial:
    """What came of it: lines that say what is done and how it went, doubts, and why the set should not be begun."""

    lines: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    refusal: str = ""


def trial_of(job: Job, tasks: Sequence[FrameTask]) -> list[str]:
    """Try the network before a run, and return what is doubtful about it.

    Raises: InputError: It is wrong, cannot be run, or its device is not there.
    """
    settings = job.settings
    # What has matched frames with these very settings need not be tried again when a run is resumed.
    proven = any(task.row and task.row.get("settings") == job.settings_key for task in tasks if not task.why)
    if not isinstance(settings.matcher, OnnxSettings) or settings.matcher.trust or proven:
        return []
    trial = try_network(job, [task for task in tasks if task.why])
    if trial.refusal:
        raise InputError(trial.refusal)
    if settings.workers > 1:
        close_network()  # each worker opens its own
    return trial.doubts


def try_network(job: Job, tasks: Sequence[FrameTask]) -> Trial:
    """Try the network on pairs of the tasks, evenly spaced; nothing is tried with another matcher.

    A network is refused only where every pair that decides anything speaks against it.

    Raises: InputError: The file is no stereo network, the device is not there, or it cannot be run at this size.
    """
    settings = job.settings.matcher
    if not isinstance(settings, OnnxSettings) or not tasks:
        return Trial()
    lines: list[str] = []
    wrong: list[tuple[str, Verdict]] = []
    undecided, failed = 0, list[InputError]()
    for index in _order(len(tasks)):
        frame = tasks[index].frame
        try:
            verdict = _judge(job, settings, frame, lines)
        except InputError as error:  # it may be this one pair's size
            failed.append(error)
            verdict = None
        if verdict is None:
            continue
        lines.append(f"  pair {frame.key}: {verdict.text}")
        if verdict.fine:
            return Trial(lines, [f"{settings.weights}: {verdict.doubt}"] if verdict.doubt else [])
        undecided += verdict.fine is None
        wrong += [(frame.key, verdict)] if verdict.fine is False else []
        if len(wrong) >= PAIRS or len(wrong) + undecided >= 2 * PAIRS:
            break
    if wrong:
        return Trial(lines, refusal=_refusal(settings, wrong))
    if undecided:
        return Trial(
            lines, [f"{settings.weights}: no pair of {undecided} could tell whether it is fed and read rightly"]
        )
    if failed:
        raise failed[0]
    return Trial(lines)  # not one pair can be read, which each frame will say


def _order(count: int) -> list[int]:
    """Numbers of frames, evenly spaced, the middle of the set first: at its start cars stand and garages are dark."""
    picked = np.linspace(0, count - 1, min(count, _LOOKED_AT)).round().astype(int).tolist()
    unique = list(dict.fromkeys(picked))
    middle = len(unique) // 2
    return unique[middle:] + unique[:middle]


def _judge(job: Job, settings: OnnxSettings, frame: Frame, lines: list[str]) -> Verdict | None:
    """The verdict of one pair; None where it cannot be read: its frame will say so."""
    try:
        if frame.right is None:
            return None
        left, right = read_image(frame.left, frame.reading), read_image(frame.right, frame.right_reading)
        check_size(frame.right, right, left)
        size = (left.shape[1], left.shape[0])
        camera = job.layout.camera(frame, size)
    except InputError:
        return None
    if not lines:
        lines += describe(settings, size)
    return judge(left, right, settings, camera)


def _refusal(settings: OnnxSettings, wrong: list[tuple[str, Verdict]]) -> str:
    key, verdict = next((one for one in wrong if one[1].remedy), wrong[0])
    others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    cure = verdict.remedy or "no other input range, order, sign or unit mends it; see docs/stereo_networks.md"
    text = f"{settings.weights}: does not match pair {key}{others}: it {verdict.text}; {cure}"
    return f"{text} (to go on as it is: --set matcher.trust=true)"
