"""Inspecting a set before a long run: frames to do, cameras, rectification (`--dry-run`)."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from preprocessing.ground import Camera, Frame, InputError, read_image, track
from preprocessing.job.pipeline import Plan
from preprocessing.sets import MIN_MATCHES, inspect_pair

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
        cameras: One line a distinct camera, with the number of its frames.
        pairs: (frame, one line about its rectification) of up to `PAIRS` frames, evenly spaced.
        needed_bytes, free_bytes: Estimated space that is still to be written, and what the disk has.
    """

    layout: str
    frames: int
    todo: dict[str, int]
    problems: list[str]
    cameras: list[str]
    pairs: list[tuple[str, str]]
    needed_bytes: float
    free_bytes: int


def inspect(plan: Plan) -> Inspection:
    """Inspect a plan's frames: every camera file, up to `PAIRS` pairs; writes nothing."""
    frames = [task.frame for task in plan.tasks]
    matches_pairs = plan.job.settings.matcher.name != "dataset"
    problems = [f"{frame.left}: its right image is missing" for frame in frames if matches_pairs and not frame.right]
    picked = sorted(set(np.linspace(0, len(frames) - 1, min(PAIRS, len(frames))).round().astype(int).tolist()))
    pairs = []
    for index in track(picked, "pairs", len(picked), "pairs"):
        try:
            pairs.append((frames[index].key, _pair(plan, frames[index])))
        except InputError as error:
            problems.append(str(error))
    cameras = Counter[str]()
    with ThreadPoolExecutor(8) as pool:  # headers alone, but a network disk has its latency
        sizes = dict(zip((frame.key for frame in frames), pool.map(_size, frames), strict=True))
    for frame in frames:
        size = sizes[frame.key]
        try:
            if size is None:
                raise InputError(f"{frame.left}: not a readable image; replace the file")
            cameras[_describe(plan.job.layout.camera(frame, size))] += 1
        except InputError as error:
            problems.append(str(error))
    todo = [sizes[task.frame.key] or (0, 0) for task in plan.todo]
    folder = next(path for path in (plan.job.out, *plan.job.out.absolute().parents) if path.is_dir())
    return Inspection(
        layout=plan.job.layout.name,
        frames=len(frames),
        todo=dict(Counter(task.why for task in plan.todo)),
        problems=list(dict.fromkeys(problems)),
        cameras=[f"{number} frames: {text}" for text, number in cameras.most_common()],
        pairs=pairs,
        needed_bytes=sum(width * height for width, height in todo) * BYTES_PER_PIXEL,
        free_bytes=shutil.disk_usage(folder).free,
    )


def _size(frame: Frame) -> tuple[int, int] | None:
    try:
        with Image.open(frame.left) as image:
            return image.size
    except (OSError, SyntaxError, ValueError):
        return None


def _pair(plan: Plan, frame: Frame) -> str:
    left = read_image(frame.left)
    size = (left.shape[1], left.shape[0])
    text = f"{size[0]}x{size[1]}"
    if frame.right is None:
        return text
    right = read_image(frame.right)
    if right.shape != left.shape:
        raise InputError(f"{frame.right}: is {right.shape[1]}x{right.shape[0]}, but its left image is {text}")
    report = inspect_pair(left, right, plan.job.layout.camera(frame, size).doffs_px)
    if report.matches < MIN_MATCHES:
        return report.finding or f"{text}, {report.matches} corners: too few to decide"
    rows = f"{text}, rows offset by {report.vertical_px:+.2f} px (spread {report.spread_px:.2f} px)"
    return report.finding or f"{rows}, {report.matches} corners: looks rectified"


def _describe(camera: Camera) -> str:
    text = f"baseline {camera.baseline_m:.6g} m, focal length {camera.fx_px:.2f} px, doffs {camera.doffs_px:.2f} px"
    return text + (" (no file: the default camera is assumed)" if camera.is_default else "")
