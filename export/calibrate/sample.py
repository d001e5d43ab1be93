"""What a model says at known distances."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from export.calibrate.fit import LEAST_UNITS, Known, octaves
from export.calibrate.frames import Frames, KnownFrame
from export.session import Session, fault_of, fit
from export.stream import Skipped
from preprocessing.ground import InputError, track

COLUMNS, ROWS = 8, 4
"""Parts of a picture whose errors are taken to be independent, where there are too few pictures to take those."""
LEAST_PIXELS = 8  # of an octave of distance in a part
_AT_END = 1e-3  # relative; a prediction at an end of the model's range says only "so far or farther"


class Samples:
    """Known distances and predictions there, gathered frame by frame."""

    def __init__(self, range_m: tuple[float, float]) -> None:
        self.range_m = range_m
        self.rows: list[tuple[float, float, int, int, int]] = []  # true, predicted, frame, part of it, pixels
        self.frames: list[str] = []
        self.skipped: list[Skipped] = []
        self.left_out: list[str] = []
        self.lenses: list[str] = []  # whose lens the metres of each frame are of

    def add(self, frame: KnownFrame, depth_m: NDArray[np.floating]) -> None:
        """Add a frame with the model's metres `[H,W]` at its size. Raises: InputError for a point outside of it."""
        number = len(self.frames)
        self.frames.append(frame.name)
        found = _of_map(frame.depth_m, depth_m) if frame.depth_m is not None else self._of_points(frame, depth_m)
        low, high = self.range_m
        for true, predicted, part, pixels in found:
            if low <= true <= high and low * (1 + _AT_END) < predicted < high * (1 - _AT_END):
                self.rows.append((true, predicted, number, part, pixels))
            elif frame.points:
                self.left_out.append(
                    f"{frame.points[part].place}: {true:g} m, and the model says {predicted:.3g} m: one of both is not "
                    f"within its {low:g} to {high:g} m"
                )

    def _of_points(self, frame: KnownFrame, depth_m: NDArray[np.floating]) -> Iterator[tuple[float, float, int, int]]:
        for part, point in enumerate(frame.points):
            yield point.metres, point.of(depth_m, frame.name), part, 1

    def known(self) -> Known:
        """All of them; what may be wrong as a whole is a frame where there are enough, else a point or a part of one.

        Raises: InputError where there are too few.
        """
        if not self.rows:
            why = self.left_out or [one.reason for one in self.skipped] or ["nothing is within the model's range"]
            raise InputError(f"no known distance can be compared with the model; the first: {why[0]}")
        true, predicted, frame, part, pixels = (np.array(column) for column in zip(*self.rows, strict=True))
        unit = frame if len(np.unique(frame)) >= LEAST_UNITS else frame * 100_000 + part
        found = Known(
            true.astype(float),
            predicted.astype(float),
            unit.astype(np.int64),
            pixels.astype(np.int64),
            len(np.unique(frame)),
        )
        if found.units < LEAST_UNITS:
            raise InputError(
                f"{found.units} known distances can be compared with the model; give at least {LEAST_UNITS}, so that "
                "some can be held out of the fit" + "".join(f"; {one}" for one in self.left_out[:1])
            )
        return found


def _of_map(true: NDArray[np.floating], predicted: NDArray[np.floating]) -> Iterator[tuple[float, float, int, int]]:
    """Of a dense or sparse map the median of each octave of distance in each part of the picture: true, true over the
    median ratio, the part's number, pixels.
    """
    rows, columns = np.nonzero((true > 0) & np.isfinite(true) & (predicted > 0) & np.isfinite(predicted))
    g, p = true[rows, columns].astype(np.float64), predicted[rows, columns].astype(np.float64)
    part = rows * ROWS // true.shape[0] * COLUMNS + columns * COLUMNS // true.shape[1]
    key = part * 1000 + octaves(g) + 500
    order = np.argsort(key, kind="stable")
    borders = np.flatnonzero(np.diff(key[order])) + 1
    for cell in np.split(order, borders):
        if len(cell) >= LEAST_PIXELS:
            metres = float(np.median(g[cell]))
            ratio = float(np.exp(np.median(np.log(g[cell]) - np.log(p[cell]))))
            yield metres, metres / ratio, int(part[cell[0]]), len(cell)


def sample(session: Session, frames: Frames, count: int) -> Samples:
    """Run the model on `count` frames and read it where distances are known.

    The lens is that of the session where it was opened with one, else that of the frame's set, else the model's own.
    """
    found = Samples(session.metadata.depth_range_m or (1.0, 80.0))
    for frame in track(frames, "calibrate", count):
        if isinstance(frame, Skipped):
            found.skipped.append(frame)
            continue
        size = (frame.image.shape[1], frame.image.shape[0])
        # A model that does not tell what lens it learnt for cannot be told another one.
        lens = frame.lens if session.lens is None and session.metadata.learnt_fx_px is not None else None
        found.lenses.append(session.view(size, lens).whose)
        result = session.run(frame.image, lens)
        if fault := fault_of(result, session.metadata.sky):
            found.skipped.append(Skipped(frame.name, f"{frame.name}: {fault}"))
            continue
        depth_m = fit(result, size, session.tasks).depth_m
        assert depth_m is not None
        found.add(frame, depth_m)
    return found
