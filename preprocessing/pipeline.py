"""Stereo recordings in the Cityscapes layout to depth maps, frame by frame in several processes.

Per frame: `depth/<split>/<city>/<name>_depth.png` (uint16 = metres * 256, 0 = invalid) and the cleaned
disparity under `disparity_<matcher>/`; for the set: `depth/preprocess.json` (unit, scale, settings, one row
a frame) and a few pictures in `depth/pictures/`.
"""

import os
import time
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.cityscapes import KINDS, find_frames
from preprocessing.convert import BINS_PER_M, FrameTask, Outcome, PreprocessSettings, convert_frame
from preprocessing.errors import InputError
from preprocessing.manifest import Manifest
from preprocessing.progress import progress
from preprocessing.workers import worker_pool

__all__ = ["PERCENTILES", "PreprocessSettings", "Report", "preprocess"]

PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Report:
    """What came of a run.

    Attributes:
        out: The root that now holds `depth/`.
        done: Frames that have a depth map made with these settings, `reused` of them from an earlier run.
        skipped: (name, reason) of the frames that could not be done; the reason names the file. One that an
            earlier run did with other settings still has that depth map.
        default_cameras: Frames without a camera file, done with the paper's values.
        density_mean: Mean share of pixels with a depth, 0..1.
        depth_percentiles_m: Percent -> depth [m] over all valid pixels of the set, to 1/16 m.
        seconds: Wall time.
    """

    out: Path
    done: int
    reused: int
    skipped: list[tuple[str, str]]
    default_cameras: int
    density_mean: float
    depth_percentiles_m: dict[int, float]
    seconds: float


def preprocess(root: Path, settings: PreprocessSettings | None = None) -> Report:
    """Write a depth map for every frame under `root` that allows it, and say why for those that do not.

    A frame is bad, listed and left out where a file that it needs is missing, unreadable, of another size or
    garbled, where its labels hold an unknown id, or where a depth file is there that no run recorded (only
    `settings.again` overwrites such a file). What an earlier run wrote for a bad frame stays, file and row,
    unless the record shows it to be stale: same settings, but an input has been replaced since.

    Cut off by Ctrl-C, it has on record what is finished, and the next run goes on from there.

    Raises:
        InputError: `root` or the split is missing, a setting is impossible, or not one frame could be done.
    """
    started = time.monotonic()
    settings = settings or PreprocessSettings()
    root = Path(root)
    frames = find_frames(root, settings.split)
    out = root if settings.out is None else Path(settings.out)
    if out != root:
        _link_inputs(root, out)
    manifest = Manifest(out / KINDS["depth"][0] / "preprocess.json", settings, frames)
    drawn = set(np.linspace(0, len(frames) - 1, min(settings.pictures, len(frames))).round().astype(int).tolist())
    tasks = [
        FrameTask(f, out, settings, manifest.settings_key, manifest.row(f), i in drawn) for i, f in enumerate(frames)
    ]
    histogram, reused = np.zeros(256 * BINS_PER_M, dtype=np.int64), 0
    try:
        with closing(_run(tasks, settings.workers)) as outcomes, progress("preprocess", len(tasks), "frames") as bar:
            for outcome in outcomes:
                manifest.add(outcome)
                reused += outcome.reused
                if outcome.histogram is not None:
                    histogram += outcome.histogram
                bar.advance(note=f"{len(manifest.skipped)} skipped" if manifest.skipped else "")
    finally:
        manifest.save()
    return _report(manifest, out, histogram, reused, time.monotonic() - started)


def _report(manifest: Manifest, out: Path, histogram: npt.NDArray[np.int64], reused: int, seconds: float) -> Report:
    rows, skipped = manifest.rows, manifest.skipped
    if not rows:
        name, reason = skipped[0]
        raise InputError(f"{out}: none of {len(skipped)} frames could be preprocessed; the first, {name}: {reason}")
    defaults = sum(bool(row["camera"]["is_default"]) for row in rows)
    if defaults:
        warnings.warn(
            f"{defaults} of {len(rows)} frames have no camera file: the paper's camera is assumed",
            stacklevel=3,
        )
    return Report(
        out=out,
        done=len(rows),
        reused=reused,
        skipped=skipped,
        default_cameras=defaults,
        density_mean=float(np.mean([row["density"] for row in rows])),
        depth_percentiles_m=_percentiles(histogram),
        seconds=seconds,
    )


def _percentiles(histogram: npt.NDArray[np.int64]) -> dict[int, float]:
    cumulative = np.cumsum(histogram)
    # The middle of the bin in which the percentile falls.
    bins = (int(np.searchsorted(cumulative, cumulative[-1] * percent / 100)) for percent in PERCENTILES)
    return {percent: (index + 0.5) / BINS_PER_M for percent, index in zip(PERCENTILES, bins, strict=True)}


def _run(tasks: list[FrameTask], workers: int) -> Generator[Outcome, None, None]:
    """Yield outcomes as they come: in this process for one worker, else from a pool."""
    workers = min(workers, len(tasks))
    if workers == 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from map(convert_frame, tasks)
        finally:
            cv2.setNumThreads(threads)
        return
    with worker_pool(workers) as pool:
        yield from _from_pool(pool, tasks, waiting=4 * workers)


def _from_pool(pool: ProcessPoolExecutor, tasks: list[FrameTask], waiting: int) -> Iterator[Outcome]:
    """Keep only a few frames submitted at a time: the results of a large set would fill the memory."""
    pending: set[Future[Outcome]] = set()
    try:
        for task in tasks:
            pending.add(pool.submit(convert_frame, task))
            if len(pending) >= waiting:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except KeyboardInterrupt:
        # The workers finish the frames they are at, and what is written belongs on record.
        pool.shutdown(cancel_futures=True)
        yield from (future.result() for future in pending if not future.cancelled())
        raise


def _link_inputs(root: Path, out: Path) -> None:
    """Make `out` a set in the layout: link the input folders that it has not, relative to it."""
    out.mkdir(parents=True, exist_ok=True)
    for folder in ("leftImg8bit", "rightImg8bit", "gtFine", "gtCoarse", "camera", "disparity"):
        source, link = root / folder, out / folder
        if source.is_dir() and not link.exists():
            link.unlink(missing_ok=True)  # a link that points nowhere
            link.symlink_to(os.path.relpath(source.resolve(), out.resolve()), target_is_directory=True)
