"""Frames as sources give them: what was read, what could not be, and what is to be said of the source."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import InputError, Lens

# For sources that name no rate of their own.
DEFAULT_FPS = 10.0


@dataclass(frozen=True)
class Distortion:
    """How a raw picture is bent, in the words of a CameraInfo: `distortion_model` and D, for coordinates over focal
    lengths, so the same at every size.
    """

    model: str
    coefficients: tuple[float, ...]


@dataclass(frozen=True)
class Loaded:
    """One decoded frame, uint8 `[H, W, 3]` RGB.

    timestamp_ns: its time in the video [ns]; of a message that of its header, to the nanosecond; of a live source that
    of the clock (Unix time) when it arrived; None where there is none. arrived: when it arrived on
    `time.perf_counter`, for live sources only. lens: of this frame as it is, where the source tells it, and
    distortion: how it departs from it; None where it does not, or nobody says so. frame_id: the coordinate frame that a
    message names, handed through. damage: why it is not whole, "" where it is or nobody
    knows.
    """

    name: str
    image: NDArray[np.uint8]
    timestamp_ns: int | None = None
    arrived: float | None = None
    lens: Lens | None = None
    frame_id: str = ""
    distortion: Distortion | None = None
    damage: str = ""


@dataclass(frozen=True)
class Skipped:
    """A frame that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Notice:
    """A notice about the source; without text: still waiting for it."""

    text: str


@dataclass(frozen=True)
class Lost(Notice):
    """The last of a live source, which ended by itself and did not come back."""


Frames = Generator[Loaded | Skipped | Notice, None, None]


@dataclass(frozen=True)
class Source:
    """Frames to be read from the beginning at each call of `frames`.

    `total` is None where unknown; a `live` source waits for no slow reader and has only one beginning.
    """

    description: str
    frames: Callable[[], Frames]
    total: int | None
    fps: float
    live: bool = False


def without_lens(source: Source) -> Source:
    """The source with no lens of its own: a user has told another."""

    def frames() -> Frames:
        with closing(source.frames()) as taken:
            for frame in taken:
                yield replace(frame, lens=None) if isinstance(frame, Loaded) else frame

    return replace(source, frames=frames)


def looped(source: Source, times: int) -> Source:
    """The source `times` times over, 0 = for ever. Raises: InputError for a live one, which cannot begin again."""
    if times < 0:
        raise InputError(f"--loop {times}: give a number of rounds, 0 for no end")
    if times == 1:
        return source
    if source.live:
        raise InputError(f"{source.description}: --loop is for files; a camera cannot begin again")

    def frames() -> Frames:
        for _ in range(times) if times else count():
            found = False
            with closing(source.frames()) as one_round:
                for frame in one_round:
                    found = found or isinstance(frame, Loaded)
                    yield frame
            if not found:  # for ever would be without a frame
                return

    return replace(source, frames=frames, total=source.total * times if times and source.total is not None else None)
