"""What `preprocess` does before all else where a set's calibration is of raw cameras: see whether, and rectify."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from preprocessing.ground import Frame, InputError, UInt8, read_image
from preprocessing.job.manifest import Shard
from preprocessing.job.recording import default_out, plan_recording
from preprocessing.job.recording_lines import recording_lines, topic_lines, truth_offers
from preprocessing.job.rectify import RawSet, RectifySettings, find_raw, lines, rectify_set
from preprocessing.job.redraw import draw_pair
from preprocessing.job.rows import Rows, rows_off
from preprocessing.job.settings import PreprocessSettings
from preprocessing.job.unpack import write_recording
from preprocessing.sets import Calibration, detect_layout, is_bag, read_calibration

PAIRS = 4
_BAD_PX = 1.0


def rows_of_set(raw: RawSet) -> Rows:
    """Follow corners in up to `PAIRS` pairs, before and after."""
    picked = np.linspace(0, len(raw.frames) - 1, min(PAIRS, len(raw.frames))).round().astype(int)
    before, after = [], []
    for index in sorted(set(picked.tolist())):
        frame, drawing = raw.frames[index]
        pair = _read(frame)
        if pair is not None:
            before.append(pair)
            after.append(draw_pair(drawing, *pair))
    return Rows(rows_off(before), rows_off(after), len(before))


def _read(frame: Frame) -> tuple[UInt8, UInt8] | None:
    """A pair; None where rectifying will say why it cannot be read."""
    if frame.right is None:
        return None
    try:
        left, right = read_image(frame.left, frame.reading), read_image(frame.right, frame.right_reading)
    except InputError:
        return None
    return (left, right) if left.shape == right.shape else None


@dataclass(frozen=True)
class Decision:
    """Whether a set is to be rectified, into what, and what is said about it.

    `unknown`: why not one calibration of the set can be read, "" where one can.
    """

    raw: RawSet | None
    settings: RectifySettings | None
    notes: list[str]
    unknown: str = ""


def decide(root: Path, settings: PreprocessSettings) -> Decision:
    """See whether a set must be rectified first; writes nothing.

    Raises: InputError where the pictures look rectified and nothing says by which camera, or rectification is asked for
    and the set has no raw cameras.
    """
    if settings.rectify == "never":
        return Decision(None, None, [])
    out = settings.out or beside(root)
    made = RectifySettings(
        out,
        settings.alpha,
        settings.labels_on,
        workers=settings.workers,
        pair_tolerance_s=settings.pair_tolerance_s,
        bits=settings.bits,
    )
    if settings.rectify == "always" or settings.alpha is not None:
        return Decision(find_raw(root, made), made, [])
    calibrations, unknown = _raw_calibrations(root)
    if not any(one.is_raw for one in calibrations) or all(one.pictures == "rectified" for one in calibrations):
        return Decision(None, None, [], "" if calibrations else unknown)
    raw = find_raw(root, made)
    rows = rows_of_set(raw)
    if rows.are_raw is False and not any(one.pictures == "raw" for one in calibrations):
        return Decision(None, None, [_already(raw, rows)])
    notes = [rows.text()]
    if rows.after_px is not None and rows.after_px > _BAD_PX:
        notes.append(
            f"rows are still off by {rows.after_px:.1f} px once rectified: is the calibration of these cameras, and at "
            "this size?"
        )
    return Decision(raw, made, notes)


def _already(raw: RawSet, rows: Rows) -> str:
    """What is said of pictures that were rectified before. Raises: InputError where nobody knows their camera."""
    drawing, path = next(iter(raw.sources.items()))
    if drawing.pair.stated is None:
        raise InputError(
            f"{path}: is of raw cameras, but the pictures look rectified: {rows.text()}; give the calibration of the "
            "rectified pictures (P1, P2), or --rectify always"
        )
    return f"{path}: the pictures are rectified already: {rows.text()}; its projections are taken"


def _raw_calibrations(root: Path) -> tuple[list[Calibration], str]:
    """The calibrations of a set's frames that can be read, and why the first of the others cannot: those are each
    frame's problem.
    """
    found, unknown = [], ""
    for path in dict.fromkeys(frame.camera for frame in _frames(root)):
        try:
            found += [read_calibration(path)] if path is not None else []
        except InputError as error:
            unknown = unknown or str(error)
    return found, unknown


def _frames(root: Path) -> list[Frame]:
    layout = detect_layout(root)
    return [] if layout.rectified else layout.find_frames(root, None)


def check_matchable(root: Path) -> None:
    """Raise InputError where the pairs of a set cannot be matched as they are, with the command that makes them so."""
    raw = None if is_bag(root) else decide(root, PreprocessSettings()).raw  # of a bag, finding frames says it
    if raw is not None:
        raise InputError(
            f"{root}: its pairs are as raw cameras took them; rectify them and give that set: advmtl rectify {root} "
            f"--out {beside(root)}"
        )


def beside(root: Path) -> Path:
    """Where the rectified set goes if nobody says: a folder beside the raw one."""
    full = root.absolute()
    return full.with_name(f"{full.name}_rectified")


@dataclass(frozen=True)
class Ready:
    """A set whose pictures can be matched: its root, the settings to go on with, what to say, and frames left out."""

    root: Path
    settings: PreprocessSettings
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def ready(root: Path, settings: PreprocessSettings, shard: Shard) -> Ready:
    """Make a folder pair of a bag, or rectify a set, where it must be.

    Raises: InputError as `decide`, `rectify_set`, `plan_recording` and `write_recording` do.
    """
    if is_bag(root):
        return _from_bag(root, settings, shard)
    decision = decide(root, settings)
    if decision.unknown and settings.out is not None and settings.out.resolve() != root.resolve():
        # Before the set is linked into a folder that a rectified one may have to go to, once the camera is known.
        raise InputError(f"{decision.unknown}; nothing is written into {settings.out}")
    if decision.raw is None or decision.settings is None:
        return Ready(root, settings, decision.notes)
    report = rectify_set(root, decision.settings, shard)
    notes = [*report.notes, *decision.notes, f"rectified set: {report.out}; train and measure on that one"]
    return Ready(report.out, replace(settings, out=None), notes, report.skipped)


def _from_bag(path: Path, settings: PreprocessSettings, shard: Shard) -> Ready:
    """A bag is one stream: the first process reads it, the others wait."""
    out, notes, skipped = settings.out or default_out(path), [], []
    if shard.index == 0:
        found = plan_recording(path, settings.bag, settings.rectify, settings.alpha, settings.bits)
        skipped = [*write_recording(found, out), *((path.name, line) for line in found.bag.cut)]
        notes = [*recording_lines(found), f"the pairs are in {out}; train and measure on that folder"]
    shard.gather(None)
    return Ready(out, replace(settings, out=None), notes, skipped)


def dry_run_lines(root: Path, settings: PreprocessSettings) -> tuple[list[str], bool]:
    """What a dry run says of a bag, or of a set that would be rectified first, and whether that is all there is to say:
    the set that depth is made of is not there yet.
    """
    if is_bag(root):
        found = plan_recording(root, settings.bag, settings.rectify, settings.alpha, settings.bits)
        would = f"would be written into {settings.out or default_out(root)}"
        return [*topic_lines(found), *recording_lines(found), *truth_offers(found), would], True
    decision = decide(root, settings)
    if decision.raw is None or decision.settings is None:
        return decision.notes, False
    found_lines = [*lines(decision.raw), *decision.notes, f"would be rectified into {decision.settings.out}"]
    return found_lines + [f"problem: {reason}" for _, reason in decision.raw.problems], True
