"""One frame from stereo pair to depth file: match, clean, convert by Eq. 1, write; what a worker runs."""

import time
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np

from preprocessing.ground.depth import DEPTH_SCALE, Float32, disparity_to_depth, write_depth
from preprocessing.ground.disparity import MAX_STORED_PX, write_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, read_image, sha256_of, write_png
from preprocessing.ground.frame import Camera, Frame
from preprocessing.ground.labels import LABEL_SETS, UInt8, colorize, lookup_table, map_labels
from preprocessing.job.manifest import Row, append_row
from preprocessing.job.outcome import Outcome, explain, is_full, record_problem
from preprocessing.job.plan import FrameTask, Job, input_state, settings_mark
from preprocessing.job.preview import draw_frame
from preprocessing.sets.rectification import inspect_pair
from preprocessing.stereo.cleaning import Cleaned, Match, clean
from preprocessing.stereo.confidence import CONFIDENCE_CODE, store_confidence
from preprocessing.stereo.match import DatasetSettings, check_size, match_dataset, match_pair
from preprocessing.stereo.regions import Regions, regions_from_labels

LEAST_WIDTH_PX = 16
PERCENTILES = (5, 25, 50, 75, 95)


def convert_frame(job: Job, task: FrameTask) -> Outcome:
    """Do one frame and put it on record; whatever is wrong with it gives an `Outcome` with the reason.

    What an earlier run wrote for a bad frame stays, unless the record shows it to be stale: made with these very
    settings from an input that has been replaced since. A depth file that no run recorded is never touched,
    except `settings.again` says so.
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
    """Raise InputError where the depth file is there and not on record: then it is somebody else's."""
    path = job.output("depth", task.frame)
    made_here = task.row is not None and "settings" in task.row  # a row of nothing but a problem made no file
    if job.settings.again or made_here or not path.exists():
        return
    # A run that was killed between a file and its line leaves the last file without: it bears our mark.
    if settings_mark(path) is None:
        raise InputError(f"{path}: is there, but not on record as written by preprocess; --again overwrites it")


def _convert(job: Job, task: FrameTask, inputs: dict[str, dict[str, Any]]) -> Row:
    frame, settings = task.frame, job.settings
    left = read_image(frame.left)
    labels = _read_labels(frame, left)
    camera, notes = _camera(job, frame, left)
    match = _match(job, frame, left, camera, notes)
    cleaned = clean(match, settings.cleaning, left, None if labels is None else labels[1])
    depth_m = disparity_to_depth(
        cleaned.disparity,
        cleaned.valid,
        camera,
        epsilon=settings.epsilon_px,
        max_depth_m=settings.max_depth_m,
        infinity=settings.infinity,
    )
    if not (depth_m > 0).any():
        raise InputError(f"{frame.left}: not one pixel got a depth; is the pair rectified, left and right not swapped?")
    _announce(job, task)
    if task.draw:
        mask = None if labels is None else colorize(labels[0], LABEL_SETS["cityscapes19"].palette)
        write_png(job.picture(frame), draw_frame(left, mask, cleaned.disparity, cleaned.valid, depth_m))
    _write_maps(job, frame, cleaned, depth_m, camera)
    return {
        "frame": frame.key,
        "problem": None,
        "warnings": notes,
        "settings": job.settings_key,
        **job.shaping,
        "camera": asdict(camera),
        "size_px": [left.shape[1], left.shape[0]],
        "density": round(float((depth_m > 0).mean()), 6),
        "matched": round(float(cleaned.matched.mean()), 6),
        "depth_percentiles_m": percentiles(depth_m),
        "seconds": None,
        "inputs": {kind: {**state, "sha256": sha256_of(getattr(frame, kind))} for kind, state in inputs.items()},
        "outputs": {kind: _file_record(job, frame, kind) for kind in ("depth", "disparity", "confidence")},
    }


def _match(job: Job, frame: Frame, left: UInt8, camera: Camera, notes: list[str]) -> Match:
    if isinstance(job.settings.matcher, DatasetSettings):
        return match_dataset(frame, left, job.layout)
    right = _read_right(frame, left)
    if left.shape[1] < LEAST_WIDTH_PX:
        raise InputError(f"{frame.left}: is {left.shape[1]} px wide; {LEAST_WIDTH_PX} px is the least that is matched")
    report = inspect_pair(left, right, camera.doffs_px)
    if report.same or report.looks_swapped:
        raise InputError(f"{frame.right}: {report.finding}")
    if report.finding:
        notes.append(f"{frame.right}: {report.finding}")
    return match_pair(left, right, job.settings.matcher)


def _read_right(frame: Frame, left: UInt8) -> UInt8:
    if frame.right is None:
        raise InputError(f"{frame.left}: its right image is missing")
    right = read_image(frame.right)
    check_size(frame.right, right, left)
    return right


def _write_maps(job: Job, frame: Frame, cleaned: Cleaned, depth_m: Float32, camera: Camera) -> None:
    stored = np.minimum(cleaned.disparity, np.float32(MAX_STORED_PX))
    write_disparity(job.output("disparity", frame), stored, cleaned.valid)
    write_png(job.output("confidence", frame), store_confidence(cleaned), {"unit": "1", "meaning": CONFIDENCE_CODE})
    # Depth comes last: where it is, the frame is done.
    text = {"max_depth_m": str(job.settings.max_depth_m), "baseline_m": str(camera.baseline_m)}
    text |= {"fx_px": str(camera.fx_px), "matcher": job.settings.matcher.name, "settings": job.settings_key}
    write_depth(job.output("depth", frame), depth_m, text)


def _announce(job: Job, task: FrameTask) -> None:
    """Take back the record of what is about to be overwritten: a run that is killed in between must not leave a lie."""
    if task.row is not None and task.row.get("outputs"):
        reason = "unfinished: a run was cut off while doing it again; run preprocess once more"
        append_row(job.journal, {**task.row, "problem": reason, "outputs": {}})


def _file_record(job: Job, frame: Frame, kind: str) -> dict[str, Any]:
    path = job.output(kind, frame)
    return {"path": path.relative_to(job.out).as_posix(), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _read_labels(frame: Frame, left: UInt8) -> tuple[UInt8, Regions] | None:
    """Read and check the labels: a label that does not fit its image means that one of the two is wrong."""
    if frame.labels is None:
        return None
    raw = read_grey_or_index(frame.labels)
    check_size(frame.labels, raw, left)
    return map_labels(raw, lookup_table("cityscapes", "cityscapes19"), frame.labels), regions_from_labels(raw)


def _camera(job: Job, frame: Frame, left: UInt8) -> tuple[Camera, list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `preprocess` warns once for the set
        camera = job.layout.read_camera(frame, (left.shape[1], left.shape[0]))
    note = (
        f"{frame.left}: its camera file {frame.name}_camera.json is missing; "
        f"the paper's camera is assumed ({camera.baseline_m} m, {camera.fx_px:.1f} px)"
    )
    return camera, [note] if camera.is_default else []


def percentiles(depth_m: Float32) -> dict[str, float]:
    """Return percent -> depth [m] over the valid pixels of depth [H, W], to a millimetre."""
    # As stored, in 1/256 m: counting is ten times faster than sorting.
    counts = np.bincount((depth_m * np.float32(DEPTH_SCALE) + np.float32(0.5)).astype(np.uint16).ravel(), minlength=2)
    counts[0] = 0
    ranks = np.searchsorted(np.cumsum(counts), np.array(PERCENTILES) / 100 * counts.sum())
    return {str(percent): round(int(rank) / DEPTH_SCALE, 3) for percent, rank in zip(PERCENTILES, ranks, strict=True)}
