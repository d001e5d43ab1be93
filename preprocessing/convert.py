"""One frame from stereo pair to depth file: match, clean, convert by Eq. 1, write; what a worker runs."""

import hashlib
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocessing.cityscapes import KINDS, Camera, Frame, frame_path, read_camera
from preprocessing.depth import (
    DEPTH_SCALE,
    MAX_STORED_DEPTH_M,
    Float32,
    disparity_to_depth,
    read_depth,
    write_depth,
)
from preprocessing.disparity import CleanSettings, clean, write_disparity
from preprocessing.errors import InputError
from preprocessing.figure import draw_frame
from preprocessing.files import read_grey_or_index, read_image, write_png
from preprocessing.labels import LABEL_SETS, UInt8, colorize, lookup_table, map_labels
from preprocessing.matchers import SgbmSettings, check_size, find_matcher

BINS_PER_M = 16


@dataclass(frozen=True)
class PreprocessSettings:
    """What `preprocess` does.

    Attributes:
        matcher: A key of `matchers.MATCHERS`.
        split: One split, or None for all.
        out: Where to write; None = into the set itself. Another folder becomes a set of its own, with links
            to the input folders.
        workers: Processes; a frame is one process's work.
        pictures: How many frames, evenly spaced, are drawn.
        max_depth_m: Farther points are clipped to it [m].
        epsilon_px: The epsilon of Eq. 1 [px].
        infinity: What a match at d = 0 becomes: "invalid", or "clip" for `max_depth_m`.
        again: Redo frames that an earlier run finished with the same settings and inputs, and overwrite depth
            files that are not on record.
        sgbm, clean: Settings of the matcher and of the cleaning.
    """

    matcher: str = "sgbm"
    split: str | None = None
    out: Path | None = None
    workers: int = 1
    pictures: int = 4
    max_depth_m: float = 80.0
    epsilon_px: float = 1e-6
    infinity: Literal["invalid", "clip"] = "invalid"
    again: bool = False
    sgbm: SgbmSettings = field(default_factory=SgbmSettings)
    clean: CleanSettings = field(default_factory=CleanSettings)

    def __post_init__(self) -> None:
        find_matcher(self.matcher)
        if not 0 < self.max_depth_m <= MAX_STORED_DEPTH_M:
            raise InputError(f"max_depth_m: {self.max_depth_m} must be within 0..{MAX_STORED_DEPTH_M:.2f} m")
        if not 0 <= self.epsilon_px < 1 / 256:
            raise InputError(f"epsilon_px: {self.epsilon_px} must be within 0..1/256 px, or it shifts depth")
        if self.infinity not in ("invalid", "clip"):
            raise InputError(f"infinity: {self.infinity!r}; offered: invalid, clip")
        if self.workers < 1:
            raise InputError(f"workers: {self.workers} must be at least 1")
        if self.pictures < 0:
            raise InputError(f"pictures: {self.pictures} must not be negative")

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape what is written, ready for JSON."""
        kept: dict[str, Any] = {"matcher": self.matcher, "max_depth_m": self.max_depth_m}
        kept |= {"epsilon_px": self.epsilon_px, "infinity": self.infinity, "clean": asdict(self.clean)}
        kept["clean"]["clip_px"] = list(self.clean.clip_px)
        return kept | ({"sgbm": asdict(self.sgbm)} if self.matcher == "sgbm" else {})


@dataclass(frozen=True)
class FrameTask:
    """One frame to do: where to write it, what an earlier run recorded of it, whether to draw it."""

    frame: Frame
    out: Path
    settings: PreprocessSettings
    settings_key: str
    row: dict[str, Any] | None
    draw: bool

    @property
    def depth_path(self) -> Path:
        return frame_path(self.out, "depth", self.frame.split, self.frame.city, self.frame.name)

    @property
    def disparity_path(self) -> Path:
        folder = self.out / f"disparity_{self.settings.matcher}" / self.frame.split / self.frame.city
        return folder / f"{self.frame.name}{KINDS['disparity'][1]}"

    @property
    def picture_path(self) -> Path:
        return self.out / KINDS["depth"][0] / "pictures" / f"{self.frame.split}_{self.frame.name}.png"


@dataclass(frozen=True)
class Outcome:
    """What came of a frame: a row for the record and a histogram of depth in bins of 1/16 m, or a reason.

    `removed` says that an earlier run's files of the frame were stale and are gone.
    """

    frame: Frame
    row: dict[str, Any] | None = None
    histogram: npt.NDArray[np.int64] | None = None
    reason: str = ""
    reused: bool = False
    removed: bool = False


def convert_frame(task: FrameTask) -> Outcome:
    """Do one frame; a bad input gives an `Outcome` with its reason.

    What an earlier run wrote for a bad frame stays, unless the record shows it to be stale: made with these very
    settings from an input that has been replaced since. A depth file that no run recorded is never touched,
    except `settings.again` says so.
    """
    inputs: dict[str, list[int]] = {}
    try:
        inputs = _fingerprint(task.frame, task.settings.matcher)
        depth_m = _finished_depth(task, inputs)
        if depth_m is not None:
            return Outcome(task.frame, task.row, depth_histogram(depth_m), reused=True)
        _check_overwrite(task)
        return _convert(task, inputs)
    except (InputError, cv2.error) as error:
        stale = _is_stale(task, inputs)
        if stale:
            for path in (task.depth_path, task.disparity_path, task.picture_path):
                path.unlink(missing_ok=True)
        return Outcome(task.frame, reason=" ".join(str(error).split()), removed=stale)


def _check_overwrite(task: FrameTask) -> None:
    """Raise InputError where the depth file is there and not on record: then it is somebody else's."""
    path = task.depth_path
    if task.settings.again or task.row is not None or not path.exists():
        return
    # A run that was killed leaves its last files without rows: they bear the mark of its settings.
    if _settings_mark(path) != task.settings_key:
        raise InputError(f"{path}: is there, but not on record as written by preprocess; --again overwrites it")


def _settings_mark(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            return image.info.get("settings")
    except (OSError, SyntaxError, ValueError):
        return None


def _is_stale(task: FrameTask, inputs: dict[str, list[int]]) -> bool:
    """Say whether these settings made the frame's files from an input other than the one that is there now.

    An input that is gone or cannot be looked at proves nothing: a disk that is not mounted must cost no depth.
    """
    if task.row is None or task.row.get("settings") != task.settings_key:
        return False
    earlier = task.row.get("inputs", {})
    return any(earlier.get(kind) != state for kind, state in inputs.items())


def _convert(task: FrameTask, inputs: dict[str, list[int]]) -> Outcome:
    frame, settings = task.frame, task.settings
    left = read_image(frame.left)
    labels = _read_labels(frame, left)
    camera = _camera(frame, left)
    match = find_matcher(settings.matcher)(frame, left, settings.sgbm)
    disparity, valid = clean(match, settings.clean)
    depth_m = disparity_to_depth(
        disparity,
        valid,
        camera,
        epsilon=settings.epsilon_px,
        max_depth_m=settings.max_depth_m,
        infinity=settings.infinity,
    )
    if not (depth_m > 0).any():
        raise InputError(f"{frame.left}: not one pixel got a depth; is the pair rectified, left and right not swapped?")
    write_disparity(task.disparity_path, disparity, valid)
    if task.draw:
        mask = None if labels is None else colorize(labels, LABEL_SETS["cityscapes19"].palette)
        write_png(task.picture_path, draw_frame(left, mask, disparity, valid, depth_m))
    # Depth comes last: where it is, the frame is done.
    text = {"max_depth_m": str(settings.max_depth_m), "baseline_m": str(camera.baseline_m)}
    text |= {"fx_px": str(camera.fx_px), "matcher": settings.matcher, "settings": task.settings_key}
    write_depth(task.depth_path, depth_m, text)
    row = {
        "settings": task.settings_key,
        "camera": asdict(camera),
        "density": round(float((depth_m > 0).mean()), 6),
        "median_m": round(float(np.median(depth_m[depth_m > 0])), 3),
        "inputs": inputs,
    }
    return Outcome(frame, row, depth_histogram(depth_m))


def _read_labels(frame: Frame, left: UInt8) -> UInt8 | None:
    """Read and check the labels: a label that does not fit its image means that one of the two is wrong."""
    if frame.labels is None:
        return None
    raw = read_grey_or_index(frame.labels)
    check_size(frame.labels, raw, left)
    return map_labels(raw, lookup_table("cityscapes", "cityscapes19"), frame.labels)


def _camera(frame: Frame, left: UInt8) -> Camera:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `preprocess` warns once for the set
        return read_camera(frame.camera).at_width(left.shape[1])


def _fingerprint(frame: Frame, matcher: str) -> dict[str, list[int]]:
    """Size and time of change of each input that is read, by which a later run knows it again."""
    found: dict[str, list[int]] = {}
    for kind in ("left", "disparity" if matcher == "dataset" else "right", "labels", "camera"):
        path: Path | None = getattr(frame, kind)
        if path is None:
            continue
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        found[kind] = [status.st_size, status.st_mtime_ns]
    return found


def _finished_depth(task: FrameTask, inputs: dict[str, list[int]]) -> Float32 | None:
    """Read the depth [m] that an earlier run made with these settings and inputs; None where there is none."""
    row = task.row
    if task.settings.again or row is None or row.get("inputs") != inputs or row.get("settings") != task.settings_key:
        return None
    outputs = [task.depth_path, task.disparity_path, *([task.picture_path] if task.draw else [])]
    if not all(path.is_file() for path in outputs):
        return None
    try:
        return read_depth(task.depth_path)
    except InputError:
        return None  # damaged: made anew


def depth_histogram(depth_m: Float32) -> npt.NDArray[np.int64]:
    """Count the valid pixels of depth [H, W] in bins of 1/16 m, up to the largest depth that a file holds."""
    # Counted as stored, so that a frame counts the same whether it was just made or read back from its file.
    stored = np.rint(depth_m[depth_m > 0].astype(np.float64) * DEPTH_SCALE).astype(np.int64)
    return np.bincount(stored * BINS_PER_M // DEPTH_SCALE, minlength=256 * BINS_PER_M)


def settings_key(shaping: dict[str, Any]) -> str:
    """Return a short name of settings: equal if and only if (up to chance) the settings are."""
    return hashlib.sha256(repr(sorted(shaping.items())).encode()).hexdigest()[:12]
