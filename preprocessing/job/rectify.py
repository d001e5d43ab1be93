"""A raw set rectified into a set of its own: `advmtl rectify`, and what `preprocess` does first where it must."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from preprocessing.ground import (
    Frame,
    InputError,
    names_in,
    progress,
    read_header,
    read_json,
    stated_bits,
    worker_pool,
)
from preprocessing.job.besides import write_calibrations, write_masks, write_other
from preprocessing.job.manifest import Shard
from preprocessing.job.outside import check_outside, check_writable
from preprocessing.job.redraw import Drawing, LabelsOn, Redrawn, drawing_of, maps, redraw
from preprocessing.sets import (
    Calibration,
    detect_layout,
    read_calibration,
)

NOTE = "rectification.json"
"""In a rectified set: of which set it was made. What has none was not made here, and nothing is written there."""


@dataclass(frozen=True)
class RectifySettings:
    """How a set is rectified.

    Attributes:
        out: Folder of the new set.
        alpha: 0 = nothing but what both cameras see, 1 = all that they see, with black borders; None = the
            rectification that the calibration states, else 0.
        labels_on: What `labels/` lie on: the raw "left" pictures, "rectified" ones, or "none" = leave them out.
        calibration: In place of the set's own.
        workers: Processes.
        pair_tolerance_s: Seconds that the time stamps in the names of a pair may be apart; None: as `rig.json` says.
        bits: So many of 16 bits of the pictures are used; None: to be found out.
    """

    out: Path
    alpha: float | None = None
    labels_on: LabelsOn = "left"
    calibration: Path | None = None
    workers: int = 1
    pair_tolerance_s: float | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise InputError(f"alpha: {self.alpha} must be within 0..1")
        if self.labels_on not in ("left", "rectified", "none"):
            raise InputError(f"labels-on: {self.labels_on!r}; offered: left, rectified, none")


@dataclass(frozen=True)
class RectifyReport:
    """The report: where the set is, how many frames it has, which were left out and why, and lines to be shown."""

    out: Path
    done: int
    reused: int
    skipped: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class RawSet:
    """The frames of a set with how each is drawn; `problems`: (frame, why it cannot be)."""

    root: Path
    frames: list[tuple[Frame, Drawing]]
    sources: dict[Drawing, Path]
    problems: list[tuple[str, str]]


def find_raw(root: Path, settings: RectifySettings) -> RawSet:
    """Read the calibrations of a set's frames. Raises: InputError where none of them can be rectified."""
    layout = detect_layout(root, settings.pair_tolerance_s)
    if layout.rectified and settings.calibration is None:
        raise InputError(
            f"{root}: pictures in the layout of {layout.name} are rectified as they are; for raw ones in it "
            "give --calibration FILE"
        )
    frames: list[tuple[Frame, Drawing]] = []
    problems: list[tuple[str, str]] = []
    sources: dict[Drawing, Path] = {}
    known: dict[tuple[Path, tuple[int, int]], Drawing] = {}
    for frame in stated_bits(layout.find_frames(root, None), settings.bits):
        try:
            path, size = settings.calibration or frame.camera, _size(frame)
            if path is None:
                raise InputError(f"{frame.left}: no calibration for it; see docs/calibrations.md")
            if (path, size) not in known:
                drawing = _drawing(read_calibration(path), size, settings)
                known[path, size] = drawing
                sources.setdefault(drawing, path)
            frames.append((frame, known[path, size]))
        except InputError as error:
            problems.append((frame.key, str(error)))
    if not frames:
        raise InputError(f"{root}: no frame can be rectified; the first: {problems[0][1]}")
    return RawSet(root, frames, sources, problems)


def _drawing(calibration: Calibration, size: tuple[int, int], settings: RectifySettings) -> Drawing:
    if not calibration.pairs:
        raise InputError(
            f"{calibration.path}: tells of rectified cameras alone, there is nothing to rectify by; that takes K, "
            "distortion, R and T of both"
        )
    return drawing_of(calibration.pair_at(size), settings.alpha, settings.labels_on)


def _size(frame: Frame) -> tuple[int, int]:
    return frame.reading.shape(read_header(frame.left).shape)[::-1]


def rectify_set(root: Path, settings: RectifySettings, shard: Shard | None = None) -> RectifyReport:
    """Write left/, right/, labels/, lidar/, the masks and the calibration of the rectified set into `settings.out`.

    Frames that are there already, of the same pictures and cameras, are left alone. Under `torchrun` each process
    takes its share.

    Raises: InputError where nothing is to be rectified, or the folder holds what rectification did not write.
    """
    started, shard = time.monotonic(), shard or Shard()
    raw = find_raw(root, settings)
    _check_out(root, settings.out)
    if shard.index == 0:
        # Before the pictures, so that a set cut off in the middle is one.
        note = {"from": str(root.resolve()), "alpha": settings.alpha, "labels_on": settings.labels_on}
        write_other(settings.out / NOTE, note)
        write_calibrations(settings.out, raw.frames, raw.sources)
        write_masks(settings.out, list(raw.sources), root)
    share = shard.share(raw.frames)
    outcomes: list[Redrawn] = []
    with progress("rectify", len(share), "frames") as bar:
        for one in _redrawn(share, settings):
            outcomes.append(one)
            bar.advance()
    gathered = [one for part in shard.gather(outcomes) for one in part]
    skipped = [*raw.problems, *((one.frame.key, one.reason) for one in gathered if one.reason)]
    done = sum(not one.reason for one in gathered)
    if not done:
        reason = skipped[0][1]
        raise InputError(f"{settings.out}: none of {len(gathered)} frames could be rectified; the first: {reason}")
    reused = sum(one.reused for one in gathered)
    return RectifyReport(settings.out, done, reused, sorted(skipped), lines(raw), time.monotonic() - started)


def lines(raw: RawSet) -> list[str]:
    """One line for each calibration: what makes it raw, and the camera that comes out."""
    counts = Counter(drawing for _, drawing in raw.frames)
    found = []
    for drawing, number in counts.most_common():
        valid = min(float(one.valid.mean()) for one in maps(drawing))
        camera = drawing.found.camera()
        found.append(
            f"{number} frames: {raw.sources[drawing]}: {drawing.pair.describe()}; rectified: baseline "
            f"{camera.baseline_m:.6g} m, focal length {camera.fx_px:.2f} px, principal point ({camera.u0_px:.1f}, "
            f"{camera.v0_px:.1f}), {valid:.1%} of the pixels valid"
        )
    if any(frame.disparity is not None for frame, _ in raw.frames):
        found.append(f"{raw.root}: its own disparity is left out: it is not that of the rectified pictures")
    if any(frame.depth is not None for frame, _ in raw.frames):
        found.append(
            f"{raw.root}: its own depth/ is left out; what a sensor measured on the raw left pictures belongs into "
            "lidar/, in metres x 256, and is moved"
        )
    return found


def _redrawn(share: list[tuple[Frame, Drawing]], settings: RectifySettings) -> Iterator[Redrawn]:
    workers = min(settings.workers, len(share))
    if workers <= 1:
        yield from (redraw(frame, drawing, settings.out) for frame, drawing in share)
        return
    frames, drawings = zip(*share, strict=True)
    with worker_pool(workers) as pool:
        yield from pool.map(redraw, frames, drawings, repeat(settings.out), chunksize=4)


def _check_out(root: Path, out: Path) -> None:
    """Raise InputError where a folder holds what is not the rectified set of this root."""
    check_outside(root, out, detect_layout(root))
    check_writable(out, "give another --out")
    if out.resolve() == root.resolve():
        raise InputError(f"{out}: the rectified set needs a folder of its own; give another --out")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give another --out")
    if not (out / NOTE).is_file():
        if names_in(out):
            raise InputError(f"{out}: is not empty, and rectification did not make it; give another --out")
        return
    noted = read_json(out / NOTE)
    source = noted.get("from") if isinstance(noted, dict) else None
    if source != str(root.resolve()):
        raise InputError(f"{out}: holds the rectified set of {source}; give another --out")
