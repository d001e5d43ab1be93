"""What `preprocess` does before all else where a set's calibration is of raw cameras: see whether, and rectify."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from preprocessing.ground import Frame, InputError, read_image
from preprocessing.job.manifest import Shard
from preprocessing.job.rectify import RawSet, RectifySettings, find_raw, lines, rectify_set
from preprocessing.job.redraw import Drawing, draw_pair
from preprocessing.job.settings import PreprocessSettings
from preprocessing.sets import MIN_MATCHES, Calibration, detect_layout, inspect_pair, read_calibration

PAIRS = 4
_MARGIN_PX = 0.3
"""Pictures whose rows agree better by so much as they are have been rectified before."""
_BAD_PX = 1.0


@dataclass(frozen=True)
class Rows:
    """How far rows are off over some pairs [px], as the pictures are and once rectified; None = too dark to tell."""

    before_px: float | None
    after_px: float | None
    pairs: int

    @property
    def rectified_already(self) -> bool:
        """Whether rectifying would do harm."""
        known = self.before_px is not None and self.after_px is not None
        return known and self.before_px + _MARGIN_PX < self.after_px  # type: ignore[operator]

    def text(self) -> str:
        """In words."""
        if self.before_px is None or self.after_px is None:
            return "too few corners to compare rows"
        return f"rows off by {self.before_px:.2f} px as they are, {self.after_px:.2f} px rectified ({self.pairs} pairs)"


def rows_of_set(raw: RawSet) -> Rows:
    """Follow corners in up to `PAIRS` pairs, before and after."""
    picked = np.linspace(0, len(raw.frames) - 1, min(PAIRS, len(raw.frames))).round().astype(int)
    found = [_rows(*raw.frames[index]) for index in sorted(set(picked.tolist()))]
    before = [one[0] for one in found if one is not None and one[0] is not None]
    after = [one[1] for one in found if one is not None and one[1] is not None]
    return Rows(
        float(np.median(before)) if before else None, float(np.median(after)) if after else None, max(len(after), 1)
    )


def _rows(frame: Frame, drawing: Drawing) -> tuple[float | None, float | None] | None:
    try:
        left, right = read_image(frame.left), read_image(frame.right) if frame.right is not None else None
    except InputError:
        return None  # rectifying will say so
    if right is None or left.shape != right.shape:
        return None
    reports = inspect_pair(left, right), inspect_pair(*draw_pair(drawing, left, right))
    first, second = (
        max(abs(one.vertical_px), one.systematic_px) if one.matches >= MIN_MATCHES else None for one in reports
    )
    return first, second


@dataclass(frozen=True)
class Decision:
    """Whether a set is to be rectified, into what, and what is said about it."""

    raw: RawSet | None
    settings: RectifySettings | None
    notes: list[str]


def decide(root: Path, settings: PreprocessSettings) -> Decision:
    """See whether a set must be rectified first; writes nothing.

    Raises: InputError where the pictures look rectified and nothing says by which camera, or rectification is asked for
    and the set has no raw cameras.
    """
    if settings.rectify == "never":
        return Decision(None, None, [])
    out = settings.out or beside(root)
    made = RectifySettings(out, settings.alpha, settings.labels_on, workers=settings.workers)
    if settings.rectify == "always" or settings.alpha is not None:
        return Decision(find_raw(root, made), made, [])
    calibrations = _raw_calibrations(root)
    if not any(one.is_raw for one in calibrations) or all(one.pictures == "rectified" for one in calibrations):
        return Decision(None, None, [])
    raw = find_raw(root, made)
    rows = rows_of_set(raw)
    if rows.rectified_already and not any(one.pictures == "raw" for one in calibrations):
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


def _raw_calibrations(root: Path) -> list[Calibration]:
    """The calibrations of a set's frames that can be read; the others are each frame's problem."""
    found = []
    for path in dict.fromkeys(frame.camera for frame in _frames(root)):
        try:
            found += [read_calibration(path)] if path is not None else []
        except InputError:
            continue
    return found


def _frames(root: Path) -> list[Frame]:
    layout = detect_layout(root)
    return [] if layout.name == "cityscapes" else layout.find_frames(root, None)


def beside(root: Path) -> Path:
    """Where the rectified set goes if nobody says: a folder beside the raw one."""
    full = root.absolute()
    return full.with_name(f"{full.name}_rectified")


def ready(root: Path, settings: PreprocessSettings, shard: Shard) -> tuple[Path, PreprocessSettings, list[str]]:
    """Rectify a set where it must be: the root and settings to go on with, and what to say.

    Raises: InputError as `decide` and `rectify_set` do.
    """
    decision = decide(root, settings)
    if decision.raw is None or decision.settings is None:
        return root, settings, decision.notes
    report = rectify_set(root, decision.settings, shard)
    notes = [*report.notes, *decision.notes, f"rectified set: {report.out}; train and measure on that one"]
    notes += [f"{name}: {reason}" for name, reason in report.skipped]
    return report.out, replace(settings, out=None), notes


def plan_lines(decision: Decision) -> list[str]:
    """What a dry run says of a set that would be rectified first."""
    if decision.raw is None or decision.settings is None:
        return decision.notes
    found = [*lines(decision.raw), *decision.notes, f"would be rectified into {decision.settings.out}"]
    return found + [f"problem: {reason}" for _, reason in decision.raw.problems]
