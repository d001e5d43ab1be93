"""One frame from stereo pair to depth file; all frames: in this process, or in a pool that survives dead workers."""

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from typing import Any

import cv2
import numpy as np

from preprocessing.ground import (
    DEPTH_SCALE,
    MAX_STORED_PX,
    Camera,
    Float32,
    Frame,
    InputError,
    UInt8,
    WorkerDied,
    colorize,
    disparity_to_depth,
    label_set,
    read_image,
    read_label_map,
    sha256_of,
    translation,
    worker_pool,
    write_depth,
    write_disparity,
    write_png,
)
from preprocessing.job.manifest import Row, append_row
from preprocessing.job.matching import match_frame
from preprocessing.job.plan import FrameTask, Job, Outcome, explain, input_state, is_full, record_problem, settings_mark
from preprocessing.job.preview import draw_frame
from preprocessing.stereo import (
    CONFIDENCE_CODE,
    Cleaned,
    Regions,
    check_size,
    clean,
    store_confidence,
)

PERCENTILES = (5, 25, 50, 75, 95)


def convert_frame(job: Job, task: FrameTask) -> Outcome:
    """Process one frame and write its manifest line; a failure gives an `Outcome` with the reason.

    What an earlier run wrote for a bad frame stays, unless the record shows it to be stale: made with these very
    settings from an input that has been replaced since. A depth file that `preprocess` did not write is never touched.
    """
    started = time.perf_counter()
    inputs: dict[str, dict[str, Any]] = {}
    try:
        inputs = input_state(job, task.frame)
        _check_overwrite(job, task)
        row = _convert(job, task, inputs)
        row["seconds"] = round(time.perf_counter() - started, 4)
        append_row(job.journal, row)
        return Outcome(task.frame, row, warnings=tuple(row["warnings"]))
    except Exception as error:  # whatever one frame brings about must not cost the others
        return record_problem(job, task, inputs, explain(task.frame, error), disk_full=is_full(error))


def _check_overwrite(job: Job, task: FrameTask) -> None:
    """Raise InputError where the depth file exists and is not in the manifest: then `preprocess` did not write it."""
    path = job.output("depth", task.frame)
    made_here = task.row is not None and "settings" in task.row  # a row of nothing but a problem made no file
    if made_here or not path.exists():
        return
    # A run that was killed between a file and its line leaves the last file without: it bears our mark.
    if settings_mark(path) is None:
        raise InputError(
            f"{path}: exists, and preprocess did not write it, so it stays; write beside it: --out {job.root}_depth"
        )


def _convert(job: Job, task: FrameTask, inputs: dict[str, dict[str, Any]]) -> Row:
    frame, settings = task.frame, job.settings
    left = read_image(frame.left, frame.reading)
    labels = _read_labels(job, frame, left)
    camera, notes = _camera(job, frame, left)
    match, nothing = match_frame(job, frame, left, camera, notes)
    cleaned = clean(match, settings.cleaning, left, None if labels is None else labels[1], nothing)
    depth_m = _depth(job, cleaned, camera)
    if not (depth_m > 0).any():
        raise InputError(f"{frame.left}: not one pixel got a depth; is the pair rectified, left and right not swapped?")
    _withdraw_record(job, task)
    if task.draw:
        mask = None if labels is None else colorize(labels[0], label_set(settings.classes).palette)
        write_png(job.picture(frame), draw_frame(left, mask, cleaned.disparity, cleaned.valid, depth_m))
    _write_maps(job, frame, cleaned, depth_m, camera)
    return {
        "frame": frame.key,
        "problem": None,
        "warnings": notes,
        "settings": job.settings_key,
        **job.shaping,
        "opencv": str(cv2.__version__),  # which samples pictures otherwise in version 4 than in 5
        "camera": asdict(camera),
        "projections": camera.projections(),
        "size_px": [left.shape[1], left.shape[0]],
        "density": round(float((depth_m > 0).mean()), 6),
        "matched": round(float(cleaned.matched.mean()), 6),
        "depth_percentiles_m": percentiles(depth_m),
        "seconds": None,
        "inputs": {kind: {**state, "sha256": sha256_of(getattr(frame, kind))} for kind, state in inputs.items()},
        "outputs": {kind: _file_record(job, frame, kind) for kind in ("depth", "disparity", "confidence")},
    }


def _depth(job: Job, cleaned: Cleaned, camera: Camera) -> Float32:
    settings = job.settings
    depth_m = disparity_to_depth(
        cleaned.disparity,
        cleaned.valid,
        replace(camera, doffs_px=0.0),  # it is in the disparity, which counts from infinity on
        epsilon=settings.epsilon_px,
        max_depth_m=settings.max_depth_m,
        infinity=settings.infinity,
    )
    if settings.sky == "clip" and cleaned.sky is not None:
        depth_m[cleaned.sky] = settings.max_depth_m
    return depth_m


def _write_maps(job: Job, frame: Frame, cleaned: Cleaned, depth_m: Float32, camera: Camera) -> None:
    stored = np.minimum(cleaned.disparity, np.float32(MAX_STORED_PX))
    # Without the text it is d itself, as Cityscapes has it, and as maps from before were for any camera.
    said = {"doffs_px": str(camera.doffs_px), "meaning": "d + doffs_px"} if camera.doffs_px else None
    write_disparity(job.output("disparity", frame), stored, cleaned.valid, said)
    write_png(job.output("confidence", frame), store_confidence(cleaned), {"unit": "1", "meaning": CONFIDENCE_CODE})
    # Depth comes last: where it is, the frame is done.
    text = {"max_depth_m": str(job.settings.max_depth_m), "baseline_m": str(camera.baseline_m)}
    text |= {"fx_px": str(camera.fx_px), "matcher": job.maps, "settings": job.settings_key}
    write_depth(job.output("depth", frame), depth_m, text)


def _withdraw_record(job: Job, task: FrameTask) -> None:
    """Remove the manifest line of files about to be overwritten: it would be wrong if the run is killed in between."""
    if task.row is not None and task.row.get("outputs"):
        reason = "unfinished: a run was interrupted while redoing it; run preprocess once more"
        append_row(job.journal, {**task.row, "problem": reason, "outputs": {}})


def _file_record(job: Job, frame: Frame, kind: str) -> dict[str, Any]:
    path = job.output(kind, frame)
    return {"path": path.relative_to(job.out).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _read_labels(job: Job, frame: Frame, left: UInt8) -> tuple[UInt8, Regions] | None:
    """Read and check the labels: a label that does not fit its image means that one of the two is wrong."""
    if frame.labels is None:
        return None
    how = translation(job.settings.classes, job.settings.classes)
    labels = read_label_map(frame.labels, how, "--classes NAME|FILE says which; --labels none makes depth without")
    check_size(frame.labels, labels.values, left)
    classes = labels.classes(how)
    source = how.source
    ignored = labels.where(source.ego_ids, source.ego_colours)
    return classes, Regions(np.isin(classes, source.sky), ignored)


def _camera(job: Job, frame: Frame, left: UInt8) -> tuple[Camera, list[str]]:
    camera = job.layout.camera(frame, (left.shape[1], left.shape[0]))
    note = (
        f"{frame.left}: its camera file {frame.name}_camera.json is missing; "
        f"the default camera is assumed ({camera.baseline_m} m, {camera.fx_px:.1f} px)"
    )
    return camera, [note] if camera.is_default else []


def percentiles(depth_m: Float32) -> dict[str, float]:
    """Return percent -> depth [m] over the valid pixels of depth [H, W], to a millimetre."""
    # As stored, in 1/256 m: counting is ten times faster than sorting.
    counts = np.bincount((depth_m * np.float32(DEPTH_SCALE) + np.float32(0.5)).astype(np.uint16).ravel(), minlength=2)
    counts[0] = 0
    ranks = np.searchsorted(np.cumsum(counts), np.array(PERCENTILES) / 100 * counts.sum())
    return {str(percent): round(int(rank) / DEPTH_SCALE, 3) for percent, rank in zip(PERCENTILES, ranks, strict=True)}


def run(job: Job, tasks: list[FrameTask]) -> Generator[Outcome, None, None]:
    """Yield the outcome of each task as it comes; stop early where the disk is full.

    With one worker this process does it. A frame whose process dies (killed, or for want of memory) is tried once
    more on its own, then listed as bad; the others go on.
    """
    workers = min(job.settings.workers, len(tasks))
    outcomes = _here(job, tasks) if workers == 1 else _pooled(job, tasks, workers)
    for outcome in outcomes:
        yield outcome
        if outcome.disk_full:
            outcomes.close()


def _here(job: Job, tasks: list[FrameTask]) -> Generator[Outcome, None, None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for task in tasks:
            yield convert_frame(job, task)
    finally:
        cv2.setNumThreads(threads)


def _pooled(job: Job, tasks: list[FrameTask], workers: int) -> Generator[Outcome, None, None]:
    waiting = deque(tasks)
    while waiting:
        suspects: list[FrameTask] = []
        with worker_pool(workers) as pool:
            yield from _from_pool(pool, job, waiting, suspects, 2 * workers)
        for task in suspects:  # one of them brought the pool down: each alone
            yield from _alone(job, task)


def _from_pool(
    pool: ProcessPoolExecutor, job: Job, waiting: deque[FrameTask], suspects: list[FrameTask], most: int
) -> Generator[Outcome, None, None]:
    """Yield outcomes until nothing waits or the pool is broken; then `suspects` gets the jobs that were running.

    Only a few frames are submitted at a time: less to finish on Ctrl-C, fewer suspects.
    """
    pending: dict[Future[Outcome], FrameTask] = {}
    try:
        while waiting or pending:
            while waiting and len(pending) < most:
                future = pool.submit(convert_frame, job, waiting[0])
                pending[future] = waiting.popleft()
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                outcome = future.result()
                del pending[future]
                yield outcome
    except BrokenProcessPool:
        if not pending:
            raise  # not a frame's doing: the processes do not even start
        suspects.extend(pending.values())
    except KeyboardInterrupt:
        # The workers finish the frames they are at, and what is written belongs into the count.
        pool.shutdown(cancel_futures=True)
        yield from (future.result() for future in pending if not future.cancelled())
        raise


def _alone(job: Job, task: FrameTask) -> Generator[Outcome, None, None]:
    try:
        with worker_pool(1) as pool:
            yield pool.submit(convert_frame, job, task).result()
    except WorkerDied:
        yield record_problem(job, task, {}, f"{task.frame.left}: its process died: killed, or out of memory")
