"""Inspecting a set before a long run: frames to do, cameras, rectification (`--dry-run`)."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from preprocessing.ground import Camera, Frame, InputError, Lens, read_header, read_image, track
from preprocessing.job.doubts import Seen, camera_doubts, depth_doubts, label_doubts, pair_doubts, set_remarks
from preprocessing.job.own_disparity import own_disparity_doubts
from preprocessing.job.pipeline import Plan
from preprocessing.job.trial import try_network
from preprocessing.sets import MIN_MATCHES, PairReport, inspect_pair
from preprocessing.stereo import (
    LARGEST_RANGE,
    CensusSettings,
    MatcherSettings,
    SgbmSettings,
    measurable_m,
    widest_range,
)

PAIRS = 8
# Disparity, depth and confidence of street scenes took 2.4 to 2.9 bytes a pixel together.
BYTES_PER_PIXEL = 3.0


@dataclass(frozen=True)
class Inspection:
    """The findings.

    Attributes:
        layout: Name of the layout.
        frames: Frames of the set (or split).
        todo: Why -> number of frames to do for that reason.
        problems: One line naming the file for every fault that can be seen without decoding all pictures.
        faulty: How many frames have one.
        cameras: One line a distinct camera, with the number of its frames.
        reach: How the nearest distance comes about that a camera measures.
        network: What is done with a network of the user's, and how it does on a pair; nothing with other matchers.
        pairs: (frame, one line about its rectification) of up to `PAIRS` frames, evenly spaced.
        doubts: One line for each thing that is possible but hardly right of the whole set.
        needed_bytes, free_bytes: Estimated space that is still to be written, and what the disk has.
        median_m: Distance of half of the corners that were followed in the pairs [m]; None where none were.
    """

    layout: str
    frames: int
    todo: dict[str, int]
    problems: list[str]
    faulty: int
    cameras: list[str]
    reach: str
    network: list[str]
    pairs: list[tuple[str, str]]
    doubts: list[str]
    needed_bytes: float
    free_bytes: int
    median_m: float | None = None


def inspect(plan: Plan) -> Inspection:
    """Inspect a plan's frames: every camera file, up to `PAIRS` pairs; writes nothing."""
    frames = [task.frame for task in plan.tasks]
    matches_pairs = plan.job.settings.matcher.name != "dataset"
    problems = {
        frame.key: f"{frame.left}: its right image is missing{frame.hint}"
        for frame in frames
        if matches_pairs and not frame.right
    }
    picked = sorted(set(np.linspace(0, len(frames) - 1, min(PAIRS, len(frames))).round().astype(int).tolist()))
    pairs, looks = [], []
    for index in track(picked, "pairs", len(picked), "pairs"):
        try:
            look = _pair(plan, frames[index])
            looks.append(look)
            pairs.append((frames[index].key, look.text))
        except InputError as error:
            problems.setdefault(frames[index].key, str(error))
    cameras = Counter[str]()
    seen: list[Seen] = []
    with ThreadPoolExecutor(8) as pool:  # headers alone, but a network disk has its latency
        sizes = dict(zip((frame.key for frame in frames), pool.map(_size, frames), strict=True))
    for frame in frames:
        size = sizes[frame.key]
        try:
            if size is None:
                raise InputError(f"{frame.left}: not a readable image; replace the file")
            camera = plan.job.layout.camera(frame, size)
            seen.append(Seen(str(frame.camera or ""), camera, size))
            cameras[_describe(camera, size, plan.job.settings.matcher)] += 1
        except InputError as error:
            problems.setdefault(frame.key, str(error))
    trial = try_network(plan.job, plan.todo or plan.tasks)
    todo = [sizes[task.frame.key] or (0, 0) for task in plan.todo]
    median_m = _median([look.median_m for look in looks if look.median_m is not None])
    folder = next(path for path in (plan.job.out, *plan.job.out.absolute().parents) if path.is_dir())
    return Inspection(
        layout=plan.job.layout.name,
        frames=len(frames),
        todo=dict(Counter(task.why for task in plan.todo)),
        problems=([trial.refusal] if trial.refusal else []) + list(dict.fromkeys(problems.values())),
        faulty=len(frames) if trial.refusal else len(problems),
        cameras=[f"{number} frames: {text}" for text, number in cameras.most_common()],
        reach=_reach(plan.job.settings.matcher),
        network=trial.lines,
        pairs=pairs,
        doubts=[
            *trial.doubts,
            *camera_doubts(seen),
            *([] if median_m is None else depth_doubts(median_m, plan.job.settings.max_depth_m)),
            *pair_doubts([look.finding for look in looks], len(looks)),
            *label_doubts(frames, plan.job.settings.classes),
            *own_disparity_doubts(plan.job.layout, frames),
            *set_remarks(plan.job, frames),
        ],
        needed_bytes=sum(width * height for width, height in todo) * BYTES_PER_PIXEL,
        free_bytes=shutil.disk_usage(folder).free,
        median_m=median_m,
    )


def _size(frame: Frame) -> tuple[int, int] | None:
    try:
        return frame.reading.shape(read_header(frame.left).shape)[::-1]
    except InputError:
        return None


@dataclass(frozen=True)
class _Look:
    """One pair: what is said of it, what is wrong with it ("" = nothing), and the distance of half its corners [m]."""

    text: str
    finding: str = ""
    median_m: float | None = None


def _pair(plan: Plan, frame: Frame) -> _Look:
    left = read_image(frame.left, frame.reading)
    size = (left.shape[1], left.shape[0])
    text = f"{size[0]}x{size[1]}"
    if frame.right is None:
        return _Look(text)
    right = read_image(frame.right, frame.right_reading)
    if right.shape != left.shape:
        raise InputError(f"{frame.right}: is {right.shape[1]}x{right.shape[0]}, but its left image is {text}")
    camera = plan.job.layout.camera(frame, size)
    report = inspect_pair(left, right, camera.doffs_px)
    finding = report.finding or ""
    if report.matches < MIN_MATCHES:
        return _Look(finding or f"{text}, {report.matches} corners: too few to decide", finding)
    rows = f"{text}, rows offset by {report.vertical_px:+.2f} px (spread {report.spread_px:.2f} px)"
    good = f"{rows}, {report.matches} corners: looks rectified"
    return _Look(finding or good, finding, None if finding else _median_m(report, camera))


def _median_m(report: PairReport, camera: Camera) -> float:
    return camera.baseline_m * camera.fx_px / max(report.median_px, 1e-6)


def _median(known: list[float]) -> float | None:
    """Corners stand for the depth that is not made yet; a street has more of them near than far."""
    return float(np.median(known)) if known else None


def _describe(camera: Camera, size: tuple[int, int], matcher: MatcherSettings) -> str:
    text = f"baseline {camera.baseline_m:.6g} m, focal length {camera.fx_px:.2f} px, doffs {camera.doffs_px:.2f} px"
    text += f", view {Lens.of_camera(camera, size).hfov_deg:.1f} degrees"
    text += " (no file: the default camera is assumed)" if camera.is_default else ""
    nearest, farthest = measurable_m(_widest(camera, size[0], matcher), camera)
    return text + f"; measures {nearest:.3g} m to {farthest:.3g} m"


def _widest(camera: Camera, width: int, matcher: MatcherSettings) -> int:
    if isinstance(matcher, CensusSettings | SgbmSettings):
        return widest_range(matcher.disparities, matcher.near_m, width, camera)
    return LARGEST_RANGE


def _reach(matcher: MatcherSettings) -> str:
    if not isinstance(matcher, CensusSettings | SgbmSettings):
        return f"files hold disparities up to {LARGEST_RANGE} px"
    if matcher.disparities is not None:
        return f"searched: {matcher.disparities} px from infinity on, as matcher.disparities says"
    return (
        f"what is nearer than {matcher.near_m:g} m is measured where it is seen as such (--set matcher.near_m=…), as "
        f"far as files hold it: {LARGEST_RANGE} px"
    )
