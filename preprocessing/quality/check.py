"""Measuring preprocessed depth: against the set's own disparity and lidar, or without truth by image consistency.

Writes `depth/quality.json` (every metric, one row a frame) and `depth/quality.html` (the metrics in words, and
pictures of the worst frames).
"""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from preprocessing.ground import (
    InputError,
    Output,
    atomic_write,
    check_outputs,
    json_kind,
    progress,
    with_mark,
    worker_pool,
    write_json,
)
from preprocessing.job import asked_matcher, beside, maps_name, read_manifest
from preprocessing.quality.frame import FrameJob, measure, read_maps
from preprocessing.quality.metrics import BANDS_M, FrameSums, metrics_of, pooled
from preprocessing.quality.page import Subject, page
from preprocessing.quality.photometric import AGREE_PX, SHIFT_PX
from preprocessing.quality.pictures import Panel, draw_panels
from preprocessing.sets import CITYSCAPES, Layout, detect_layout

_REPORT = json_kind("a report of quality", "matcher", "set", "frames")
_JSON, _PAGE = "quality.json", "quality.html"
_KINDS = {_JSON: _REPORT, _PAGE: with_mark("a page of quality", _JSON, _REPORT)}

__all__ = ["QualityReport", "QualitySettings", "check_quality"]


@dataclass(frozen=True)
class QualitySettings:
    """What `quality` looks at.

    Attributes:
        matcher: Whose disparity.
        split: One split, or None for all.
        out: The root that holds what `preprocess` wrote; None = the set itself.
        worst: How many of the worst frames are drawn.
        workers: Processes; a frame is one process's work.
        max_depth_m: Depth is measured up to here [m], or up to where it was clipped if that is nearer.
        left_right: How many frames, evenly spaced, get the left-right check, which matches the pair again.
        pair_tolerance_s: As given to `preprocess`.
    """

    matcher: str = "census"
    split: str | None = None
    out: Path | None = None
    worst: int = 8
    workers: int = 1
    max_depth_m: float = 80.0
    left_right: int = 16
    pair_tolerance_s: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("worst", 0), ("workers", 1), ("left_right", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} must be at least {least}")
        if not 0 < self.max_depth_m <= BANDS_M[-1][1]:
            raise InputError(f"max_depth_m: {self.max_depth_m} must be within 0..{BANDS_M[-1][1]} m")


@dataclass(frozen=True)
class QualityReport:
    """What came of it.

    Attributes:
        json, page: The files written.
        metrics: The set's metrics, as under "set" in the JSON file.
        rows: One a measured frame, worst first: the frame, what it is ranked by, its metrics.
        skipped: (frame, reason) of those that could not be measured; the reason names the file.
        notes: What a reader must know to take the metrics rightly.
        seconds: Wall time.
    """

    json: Path
    page: Path
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    skipped: list[tuple[str, str]]
    notes: list[str]
    seconds: float


def check_quality(root: Path, settings: QualitySettings | None = None) -> QualityReport:
    """Measure every frame under `root` that has a disparity written by `settings.matcher`.

    A frame is listed and left out where a file of it is missing, damaged, or of another size than its left image.

    Raises:
        InputError: `root` or the split is missing, a setting is impossible, or not one frame could be measured.
    """
    started = time.monotonic()
    settings = settings or QualitySettings()
    root = Path(root)
    out = root if settings.out is None else Path(settings.out)
    made = read_manifest(out / "depth")
    settings = replace(settings, matcher=asked_matcher(made, settings.matcher))
    jobs = _jobs(root, out, detect_layout(root, settings.pair_tolerance_s), settings, maps_name(made, settings.matcher))
    check_outputs(Output("--out", out / "depth" / name, kind, beside=True) for name, kind in _KINDS.items())
    total: FrameSums | None = None
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    with closing(_run(jobs, settings.workers)) as results, progress("quality", len(jobs), "frames") as bar:
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, str):
                skipped.append((job.frame.key, result))
            else:
                total = pooled(total, result)
                rows.append(_row(job, result))
            bar.advance(note=f"{len(skipped)} skipped" if skipped else "")
    if total is None:
        name, reason = skipped[0]
        made_of = beside(root)  # where `preprocess` puts the rectified set of raw pictures
        hint = f"; there is {made_of}: advmtl quality {made_of}" if (made_of / "depth").is_dir() else ""
        raise InputError(f"{out}: none of {len(jobs)} frames could be measured; the first, {name}: {reason}{hint}")
    rows.sort(key=lambda row: (-row["rank"], row["frame"]))
    report = QualityReport(
        json=out / "depth" / _JSON,
        page=out / "depth" / _PAGE,
        metrics={"frames": total.frames, "frames_skipped": len(skipped), **metrics_of(total)},
        rows=rows,
        skipped=skipped,
        notes=_notes(total, settings, jobs[0].layout),
        seconds=time.monotonic() - started,
    )
    _write(report, settings, {job.frame.key: job for job in jobs})
    return report


def _jobs(root: Path, out: Path, layout: Layout, settings: QualitySettings, maps: str) -> list[FrameJob]:
    frames = layout.find_frames(root, settings.split)
    checked = set(np.linspace(0, len(frames) - 1, min(settings.left_right, len(frames))).round().astype(int).tolist())
    return [
        FrameJob(frame, layout, out, maps, settings.max_depth_m, check=index in checked)
        for index, frame in enumerate(frames)
    ]


def _run(jobs: list[FrameJob], workers: int) -> Generator[FrameSums | str, None, None]:
    """Yield results in order: from this process for one worker, else from a pool."""
    workers = min(workers, len(jobs))
    if workers > 1:
        with worker_pool(workers) as pool:
            yield from pool.map(measure, jobs)
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield from map(measure, jobs)
    finally:
        cv2.setNumThreads(threads)


def _row(job: FrameJob, sums: FrameSums) -> dict[str, Any]:
    """Make a frame's row. It is ranked by a share of wrong pixels; depth by band would make the file heavy."""
    found = metrics_of(sums)
    for truth in found["truth"].values():
        del truth["depth_answered"], truth["depth_valid"]
    return {"frame": job.frame.key, **_rank(found), **found}


def _rank(found: dict[str, Any]) -> dict[str, Any]:
    for source in ("lidar", "disparity"):
        share = found["truth"].get(source, {}).get("valid", {}).get("d1_share")
        if share is not None:
            return {"ranked_by": f"truth.{source}.valid.d1_share", "rank": share}
    share = found.get("photometric", {}).get("unexplained_share")
    if share is not None:
        return {"ranked_by": "photometric.unexplained_share", "rank": share}
    return {"ranked_by": "1 - depth_share", "rank": round(1 - found["depth_share"], 6)}


def _notes(sums: FrameSums, settings: QualitySettings, layout: Layout) -> list[str]:
    notes = []
    if settings.matcher == "dataset":
        notes.append("The set's own disparity was converted, so it is not a reference to measure against.")
    if not sums.truths:
        notes.append("There is no ground truth: accuracy cannot be measured, only how well the depth fits both images.")
    if "disparity" in sums.truths and layout is CITYSCAPES:
        notes.append(
            "The set's own disparity is used as ground truth. In the published Cityscapes set it is the output of "
            "another matcher, not a measurement."
        )
    of_all = f"of {sums.frames} frames"
    if sums.without_confidence:
        notes.append(f"{sums.without_confidence} {of_all} have no confidence file: all their pixels count as matched.")
    if sums.default_cameras:
        notes.append(f"{sums.default_cameras} {of_all} have no camera file: their depth assumes the default camera.")
    if settings.max_depth_m < BANDS_M[-1][1]:
        notes.append(f"Depth is measured up to {settings.max_depth_m:g} m; bands hold no truth beyond.")
    if sums.nearer_clip:
        notes.append(f"{sums.nearer_clip} {of_all} were clipped nearer than that: their truth beyond is left out.")
    if sums.other_depth:
        notes.append(
            f"{sums.other_depth} {of_all} have a depth file that another matcher wrote: their depth is computed "
            f"from the disparity of {settings.matcher}."
        )
    return notes


def _write(report: QualityReport, settings: QualitySettings, jobs: dict[str, FrameJob]) -> None:
    worst = [row["frame"] for row in report.rows[: settings.worst]]
    subject = Subject(
        matcher=settings.matcher,
        split=settings.split,
        metrics=report.metrics,
        rows=report.rows,
        skipped=report.skipped,
        notes=report.notes,
        panels={name: _draw(jobs[name]) for name in worst},
    )
    write_json(
        report.json,
        {
            "matcher": settings.matcher,
            "split": settings.split,
            "max_depth_m": settings.max_depth_m,
            "wrong_disparity_shift_px": SHIFT_PX,
            "left_right_agree_px": AGREE_PX,
            "notes": report.notes,
            "set": report.metrics,
            "worst": worst,
            "frames": report.rows,
            "skipped": dict(report.skipped),
        },
    )
    with atomic_write(report.page) as temporary:
        temporary.write_bytes(page(subject).encode("utf-8", "backslashreplace"))


def _draw(job: FrameJob) -> list[Panel]:
    return draw_panels(read_maps(job))
