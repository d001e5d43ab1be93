"""Stereo recordings to depth maps, frame by frame in several processes, and under `torchrun` on several machines.

Per frame: `depth/…` (uint16 = metres * 256, 0 = invalid), the cleaned disparity under `disparity_<matcher>/` and how
far to trust it under `confidence_<matcher>/`; for the set: `depth/manifest.jsonl` (one row a frame),
`depth/preprocess.json` (unit, scale, totals) and a few pictures in `depth/pictures/`.
"""

import os
import time
import warnings
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import (
    AS_STORED,
    DEPTH_SCALE,
    Frame,
    InputError,
    progress,
    remove_leftovers,
    stated_bits,
    write_json,
)
from preprocessing.job.convert import PERCENTILES, run
from preprocessing.job.doubts import set_doubts
from preprocessing.job.manifest import Row, Shard, current_shard, fold, journal_path, maps_name, read_manifest
from preprocessing.job.outside import check_outside, check_writable
from preprocessing.job.plan import FrameTask, Job, Outcome, plan_frame, settings_mark, sweep
from preprocessing.job.raw import ready
from preprocessing.job.settings import PreprocessSettings, settings_key
from preprocessing.job.trial import trial_of
from preprocessing.sets import Layout, detect_layout
from preprocessing.stereo import prepare

__all__ = ["PERCENTILES", "Plan", "PreprocessSettings", "Report", "make_plan", "preprocess"]


@dataclass(frozen=True)
class Report:
    """The report of a run, over all its processes.

    Attributes:
        root: The set whose pictures were matched: the one that was given, or the one rectified from it.
        out: The root that now holds `depth/`.
        notes: What was done before the frames: rectification.
        done: Frames that have a depth map made with these settings, `reused` of them from an earlier run.
        skipped: (frame, reason) of the frames that could not be done; the reason names the file. One that an
            earlier run did with other settings still has that depth map.
        untried: Frames left alone because the disk was full.
        warnings: What was odd about frames that were done, one line each.
        doubts: What is possible but hardly right of the whole set, one line each.
        default_cameras: Frames without a camera file, processed with the system paper's default camera.
        density_mean, matched_mean: Mean share of pixels with a depth, and of matched pixels, 0..1.
        depth_percentiles_m: Percent -> depth [m]: the median over the frames of each frame's own percentile.
        seconds: Wall time.
        index: Which process of `torchrun` this is; the report is the same in all.
    """

    out: Path
    done: int
    reused: int
    skipped: list[tuple[str, str]]
    untried: int
    warnings: list[str]
    default_cameras: int
    density_mean: float
    matched_mean: float
    depth_percentiles_m: dict[int, float]
    seconds: float
    index: int = 0
    doubts: list[str] = field(default_factory=list)
    root: Path = Path()
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Every frame has its depth map."""
        return not self.skipped and not self.untried


@dataclass(frozen=True)
class Plan:
    """The plan of a run: the layout, its frames and, for each, why it is to be processed ("" = finished)."""

    job: Job
    tasks: list[FrameTask]

    @property
    def todo(self) -> list[FrameTask]:
        """The frames that are not finished."""
        return [task for task in self.tasks if task.why]


def make_plan(root: Path, settings: PreprocessSettings, shard: Shard | None = None) -> Plan:
    """Find the frames of a set and which are to be processed; writes nothing.

    Raises:
        InputError: `root` or the split is missing, or a file of weights; the output folder is no folder, or another
            set's.
    """
    root, shard = Path(root), shard or Shard()
    layout = detect_layout(root, settings.pair_tolerance_s)
    if settings.classes == PreprocessSettings.classes:  # nobody says otherwise: what the set has
        settings = replace(settings, classes=layout.classes)
    frames = stated_bits(layout.find_frames(root, settings.split), settings.bits)
    if settings.labels == "none":
        frames = [replace(frame, labels=None) for frame in frames]
    out = root if settings.out is None else Path(settings.out)
    folder = out / "depth"
    _check_out(root, out, layout)
    shaping = settings.shaping()
    if frames[0].reading != AS_STORED:  # the same for all; what came later counts where it is used
        shaping["reading"] = asdict(frames[0].reading)
    rows = read_manifest(folder)
    maps = maps_name(rows, settings.matcher.name)
    job = Job(root, out, layout, settings, shaping, settings_key(shaping), journal_path(folder, shard), maps)
    if not rows:
        _check_foreign(job, frames)
    drawn = set(np.linspace(0, len(frames) - 1, min(settings.pictures, len(frames))).round().astype(int).tolist())
    numbered = shard.share(list(enumerate(frames)))
    return Plan(job, [plan_frame(job, frame, rows.get(frame.key), index in drawn) for index, frame in numbered])


def preprocess(root: Path, settings: PreprocessSettings | None = None) -> Report:
    """Write a depth map for every frame under `root` that allows it, and give the reason for those that do not.

    A frame is bad, listed and left out where a file that it needs is missing, unreadable, of another size or
    garbled, where its labels hold an unknown id, where left and right are swapped, or where a depth file is there
    that `preprocess` did not write. A set with raw cameras is rectified first, into `settings.out` or a folder beside
    it, and depth is that set's (`job.raw`). What an earlier run wrote for a bad frame stays, file and row, unless the
    record shows it to be stale: same settings, but an input has been replaced since.

    Interrupted at any moment, the manifest has what is finished, and the next run resumes there. Under `torchrun`
    each process takes its share, and all wait for the slowest, so that all give the same report.

    Raises:
        InputError: `root` or the split is missing, a setting is impossible, or not one frame could be done.
    """
    started = time.monotonic()
    settings = settings or PreprocessSettings()
    with closing(current_shard()) as shard:
        set_ = ready(Path(root), settings, shard)
        root, settings = set_.root, set_.settings
        folder = (Path(root) if settings.out is None else Path(settings.out)) / "depth"
        if shard.index == 0:
            remove_leftovers(folder, {"manifest.jsonl", "preprocess.json", "quality.json", "quality.html"})
            fold(folder)
        shard.gather(None)  # the parts of a run that was cut off are folded before anybody appends
        plan = make_plan(root, settings, shard)
        if plan.todo:
            check_writable(folder, f"write elsewhere: --out FOLDER makes a set with links to the pictures of {root}")
        if plan.job.out != plan.job.root and shard.index == 0:
            _link_inputs(plan.job.root, plan.job.out, plan.job.layout)
        if plan.todo:
            prepare(settings.matcher, settings.workers)
        doubts = trial_of(plan.job, plan.tasks)
        sweep(plan.job, plan.todo)
        outcomes: list[Outcome] = []
        try:
            _work(plan, outcomes)
        finally:
            if shard.count == 1:
                _save(plan.job, plan.tasks)
        gathered = shard.gather((plan.tasks, outcomes))
        if shard.index == 0 and shard.count > 1:
            _save(plan.job, [task for tasks, _ in gathered for task in tasks])
        shard.gather(None)
    report = _report(plan.job, gathered, time.monotonic() - started, shard)
    doubts += report.doubts
    return replace(report, root=root, notes=set_.notes, doubts=doubts, skipped=sorted([*set_.skipped, *report.skipped]))


def _work(plan: Plan, outcomes: list[Outcome]) -> None:
    todo = plan.todo
    if not todo:
        return
    skipped = 0
    with progress("preprocess", len(todo), "frames") as bar, closing(run(plan.job, todo)) as finished:
        for outcome in finished:
            outcomes.append(outcome)
            skipped += bool(outcome.reason)
            bar.advance(note=f"{skipped} skipped" if skipped else "")


def _save(job: Job, tasks: list[FrameTask]) -> None:
    """Write the manifest in its final form; on a full disk it stays a journal."""
    folder = job.out / "depth"
    known = {task.frame.key for task in tasks} if job.settings.split is None else None

    def keep(row: Row) -> bool:
        """A bad frame that has been taken out of the set is no problem any more."""
        return known is None or row["frame"] in known or not row.get("problem") or bool(row.get("outputs"))

    try:
        rows = list(fold(folder, keep).values())
        good = [row for row in rows if not row.get("problem")]
        doubts = set_doubts(job, tasks, good)
        write_json(folder / "preprocess.json", {**_summary(rows, good), "doubts": doubts}) if rows else None
    except OSError as error:
        warnings.warn(f"{folder}: the manifest could not be compacted ({error.strerror or error})", stacklevel=2)


def _summary(rows: list[Row], good: list[Row]) -> dict[str, Any]:
    return {
        "unit": "metre",
        "scale": DEPTH_SCALE,
        "invalid": 0,
        "formula": "Z = baseline * fx / (disparity + doffs + epsilon), stored as round(Z * scale)",
        "disparity": "disparity + doffs, 0 at infinity, where a file's text has doffs_px; else the disparity itself",
        "record": "manifest.jsonl",
        "frames": len(good),
        "skipped": {row["frame"]: row["problem"] for row in rows if row.get("problem")},
        "density_mean": round(float(np.mean([row["density"] for row in good])), 6) if good else 0.0,
    }


def _report(job: Job, gathered: list[tuple[list[FrameTask], list[Outcome]]], seconds: float, shard: Shard) -> Report:
    tasks = [task for share, _ in gathered for task in share]
    outcomes = [outcome for _, share in gathered for outcome in share]
    reused = [task.row for task in tasks if not task.why and task.row is not None]
    made = [outcome.row for outcome in outcomes if not outcome.reason and outcome.row is not None]
    rows: list[Row] = [*reused, *made]
    skipped = sorted((outcome.frame.key, outcome.reason) for outcome in outcomes if outcome.reason)
    if not rows:
        name, reason = skipped[0]
        raise InputError(f"{job.out}: none of {len(tasks)} frames could be preprocessed; the first, {name}: {reason}")
    defaults = sum(bool(row["camera"]["is_default"]) for row in rows)
    found = set_doubts(job, tasks, rows, [reason for _, reason in skipped]) if shard.index == 0 else []
    if defaults and shard.index == 0:
        warnings.warn(f"{defaults} of {len(rows)} frames have no camera file: default camera assumed", stacklevel=3)
    return Report(
        out=job.out,
        done=len(rows),
        reused=len(reused),
        skipped=skipped,
        untried=sum(bool(task.why) for task in tasks) - len(outcomes),
        warnings=sorted(note for row in rows for note in row["warnings"]),
        default_cameras=defaults,
        density_mean=float(np.mean([row["density"] for row in rows])),
        matched_mean=float(np.mean([row["matched"] for row in rows])),
        depth_percentiles_m={
            percent: float(np.median([row["depth_percentiles_m"][str(percent)] for row in rows]))
            for percent in PERCENTILES
        },
        seconds=seconds,
        index=shard.index,
        doubts=found,
    )


def _check_out(root: Path, out: Path, layout: Layout) -> None:
    """Raise InputError where `out` cannot take what is written, or is already the set of another root."""
    for path in (out, out / "depth"):
        if path.exists() and not path.is_dir():
            raise InputError(f"{path}: is a file; a folder of this name is needed: move it, or give another --out")
    check_outside(root, out, layout)
    for name in layout.inputs if out != root else ():
        link, source = out / name, root / name
        if link.is_symlink() and link.exists() and source.exists() and link.resolve() != source.resolve():
            raise InputError(f"{link}: leads to {link.resolve()}, so {out} is another set's; give another --out")


def _check_foreign(job: Job, frames: list[Frame]) -> None:
    """Raise InputError where the depth of the first, the middle and the last frame is there, by somebody else: that of
    the whole set, into whose folder nothing is written then.
    """
    for place in {0, len(frames) // 2, len(frames) - 1}:
        path = job.output("depth", frames[place])
        if not path.exists() or settings_mark(path) is not None:
            return
    raise InputError(
        f"{job.output('depth', frames[0])}: exists, and preprocess did not write it, so it stays; write beside it: "
        f"--out {job.root}_depth"
    )


def _link_inputs(root: Path, out: Path, layout: Layout) -> None:
    """Make `out` a set in the layout: link the input folders and files that it has not, relative to it."""
    out.mkdir(parents=True, exist_ok=True)
    for name in layout.inputs:
        source, link = root / name, out / name
        if source.exists() and not link.exists():
            link.unlink(missing_ok=True)  # a link that points nowhere
            link.symlink_to(os.path.relpath(source.resolve(), out.resolve()), target_is_directory=source.is_dir())
