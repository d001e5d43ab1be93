"""Generating a stereo street-scene set with exact labels in Cityscapes' layout, from a seed."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import (
    MAX_STORED_PX,
    Camera,
    InputError,
    progress,
    read_disparity,
    read_grey_or_index,
    worker_pool,
    write_disparity,
    write_json,
    write_png,
)
from preprocessing.scenes.asked import AS_EVER, Asked
from preprocessing.scenes.compose import season_asked, street_type
from preprocessing.scenes.coverage import Counts, count, report
from preprocessing.scenes.set_folder import COVERAGE, KINDS, claim_folder, mixed_versions
from preprocessing.sets import frame_path, read_frame_camera, write_camera

VERSION = 1  # raised whenever the same seed begins to give other pictures
SIZE = (512, 256)
_CITIES = {
    "train": ("aldermoor", "brackenhall", "corvenstadt", "dunmere", "eschbruck", "fennwick"),
    "val": ("greyhaven", "holmstadt"),
}


@dataclass(frozen=True)
class Pair:
    """One stereo pair as arrays.

    Attributes:
        left, right: uint8 `[H, W, 3]` RGB.
        labels: uint8 `[H, W]` Cityscapes labelIds of the left picture.
        instances: uint16 `[H, W]`: class * 1000 + k for things, the class id otherwise.
        disparity: float32 `[H, W]` px of the left picture, exact (baseline * fx / Z); 0 where not valid.
        valid: bool `[H, W]`; False in the sky (infinitely far) and on the recording car's own bonnet.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    disparity: NDArray[np.float32]
    valid: NDArray[np.bool_]
    camera: Camera


@dataclass(frozen=True)
class Summary:
    """What `generate` made: frame numbers, time, in how many frames each of the 19 classes occurs, and a note where the
    set is now of two versions of OpenCV; and what coverage.json holds.
    """

    scenes: int
    made: int
    train: int
    val: int
    seconds: float
    class_frames: dict[str, int]
    note: str = ""
    coverage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    out: Path
    index: int
    seed: int
    size: tuple[int, int]
    val_fraction: float
    asked: Asked


def frame_of(index: int, seed: int, val_fraction: float) -> tuple[str, str, str]:
    """Return (split, city, name) of scene `index`; every scene is its own street, every city in one split.

    Validation scenes are spread evenly: with the default 1/8, scenes 7, 15, 23, ...
    """
    split = "val" if int((index + 1) * val_fraction + 1e-9) > int(index * val_fraction + 1e-9) else "train"
    cities = _CITIES[split]
    city = cities[(index * 7919 + seed) % len(cities)]
    return split, city, f"{city}_{index:06d}_000000"


def render_pair(seed: int, index: int, size: tuple[int, int] = SIZE, asked: Asked = AS_EVER) -> Pair:
    """Make scene `index` of the set with this seed as arrays; `size` is (width, height) [px].

    The same arguments give the same bytes, in any process. Raises: InputError where embreex is not installed.
    """
    try:
        from preprocessing.scenes.render import Renderer
    except ModuleNotFoundError as error:
        raise InputError(f"making scenes needs {error.name}: install the extra, pip install 'advmtl[synth]'") from None
    from preprocessing.scenes.compose import compose
    from preprocessing.scenes.lighting import developed
    from preprocessing.scenes.stage import EGO_VEHICLE

    scene = compose(seed, index, size, asked)
    renderer, camera = Renderer(scene), scene.rig.camera
    left, right = renderer.view(size, 0.0), renderer.view(size, camera.baseline_m)
    valid = (left.depth > 0) & (left.labels != EGO_VEHICLE)
    disparity = np.where(valid, camera.baseline_m * camera.fx_px / np.where(valid, left.depth, 1), 0)
    noise = [np.random.default_rng(np.random.SeedSequence([scene.seed, eye])) for eye in (0, 1)]
    return Pair(
        developed(left.radiance, scene.light, noise[0]),
        developed(right.radiance, scene.light, noise[1]),
        left.labels,
        left.instances,
        disparity.astype(np.float32),
        valid,
        camera,
    )


def generate(
    out: Path,
    scenes: int,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    workers: int | None = None,
    val_fraction: float = 1 / 8,
    asked: Asked = AS_EVER,
) -> Summary:
    """Write `scenes` stereo pairs under `out` in the Cityscapes layout, and `out`/synth.json beside them.

    A scene depends on (seed, index, size) alone: more workers or a longer set change no byte of it, but another major
    version of OpenCV does, which samples otherwise (measured: 2.4 to 2.8 % of the bytes); synth.json says which one
    made the first. Frames that are already there are kept, so an interrupted run resumes.

    Args:
        size: (width, height) in pixels.
        workers: Processes; None for one per core.
        val_fraction: Share of the scenes that goes to the split `val`, the rest is `train`.
        asked: Camera, light, weather, season and streets; the streets are the same under any of the first four.

    Raises:
        InputError: impossible numbers, or `out` holds a set made with other settings.
    """
    _check(scenes, size, val_fraction, workers)
    started = time.perf_counter()
    settings = {"version": VERSION, "seed": seed, "size": list(size), "val_fraction": val_fraction}
    made_with = claim_folder(out, {**settings, **asked.given()})
    tasks = [_Task(out, index, seed, size, val_fraction, asked) for index in range(scenes)]
    missing = [task for task in tasks if not _complete(task)]
    counted: dict[int, Counts] = {}
    made = _run(missing, workers or os.cpu_count() or 1)
    with closing(made), progress("Scenes", len(tasks), "pairs") as bar:
        bar.advance(len(tasks) - len(missing))
        for index, counts in made:
            counted[index] = counts
            bar.advance()
    streets = [street_type(seed, task.index, asked) for task in tasks]
    coverage = report(zip(streets, (counted.get(t.index) or _counted(t) for t in tasks), strict=True))
    if asked.season:
        drawn = Counter(season_asked(seed, task.index, asked) for task in tasks)
        coverage["seasons"] = dict(sorted(drawn.items()))
    write_json(out / COVERAGE, coverage)
    frames = {name: found["frames"] for name, found in coverage["classes"].items()}
    val = sum(frame_of(task.index, seed, val_fraction)[0] == "val" for task in tasks)
    note = mixed_versions(made_with) if 0 < len(missing) < len(tasks) else ""
    return Summary(scenes, len(missing), scenes - val, val, time.perf_counter() - started, frames, note, coverage)


def _check(scenes: int, size: tuple[int, int], val_fraction: float, workers: int | None) -> None:
    if scenes < 1:
        raise InputError(f"scenes: {scenes} given, at least 1 is needed")
    if min(size) < 16 or max(size) > 16384:
        raise InputError(f"size: {size[0]}x{size[1]} given, each side must be 16 to 16384 pixels")
    if not 0 <= val_fraction <= 1:
        raise InputError(f"val_fraction: {val_fraction} given, it must lie between 0 and 1")
    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} given, at least 1 is needed")


def _path(task: _Task, kind: str) -> Path:
    return frame_path(task.out, kind, *frame_of(task.index, task.seed, task.val_fraction))


def _complete(task: _Task) -> bool:
    return all(_path(task, kind).exists() for kind in KINDS)


def _run(tasks: list[_Task], workers: int) -> Generator[tuple[int, Counts], None, None]:
    if workers == 1 or len(tasks) < 2:
        yield from map(_make, tasks)
        return
    with worker_pool(min(workers, len(tasks))) as pool:
        for job in as_completed([pool.submit(_make, task) for task in tasks]):
            yield job.result()


def _make(task: _Task) -> tuple[int, Counts]:
    """Render and write one frame, the left image last: it is what frame searches go by."""
    pair = render_pair(task.seed, task.index, task.size, task.asked)
    write_png(_path(task, "right"), pair.right)
    write_png(_path(task, "labels"), pair.labels)
    write_png(_path(task, "instances"), pair.instances)
    stored = pair.valid & (pair.disparity <= MAX_STORED_PX)  # a long lens sees near things beyond what a file holds
    write_disparity(_path(task, "disparity"), pair.disparity, stored)
    write_camera(_path(task, "camera"), pair.camera)
    write_png(_path(task, "left"), pair.left)
    return task.index, count(
        pair.labels, pair.instances, np.where(pair.valid, pair.disparity, 0), pair.camera.baseline_m * pair.camera.fx_px
    )


def _counted(task: _Task) -> Counts:
    """The coverage of a frame that was there before."""
    labels, instances = (read_grey_or_index(_path(task, kind)) for kind in ("labels", "instances"))
    disparity, valid = read_disparity(_path(task, "disparity"))
    camera = read_frame_camera(_path(task, "camera"))
    return count(labels, instances, np.where(valid, disparity, np.float32(0)), camera.baseline_m * camera.fx_px)
