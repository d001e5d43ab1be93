"""What sinks are given: a frame with its result, its times, and its picture once somebody wants it drawn."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, Task
from export.graph import DEPTH_ERROR, Metadata, View
from export.session import Result, complete
from export.sinks.draw import Painter
from export.sources import Distortion
from preprocessing.ground import Lens

Record = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Inferred:
    """A frame with its result, as delivered; the arrays are this frame's own and are not written to again.

    index: its number among the frames read from the source, from 0; dropped ones leave gaps. image: uint8 `[h, w, 3]`
    RGB at the network's size, without what stands beside a padded frame. frame_size: (width, height) in the source
    [px]. view: how it was shown, and whose lens its metres are of. timestamp_ns, frame_id, lens, distortion:
    see `Loaded`.
    started: when the frame was there (`time.perf_counter`). dropped: frames dropped until it was inferred. decode_ms,
    wait_ms and net_ms: decoding and resizing, waiting for the network, the network. turn_ms: with several frames in
    flight, waiting for those before it; None with one. fault: why the result means nothing (`session.fault_of`), NaN
    in it say; None where it is sound. damage: of the frame itself, see `Loaded`.
    """

    index: int
    name: str
    image: NDArray[np.uint8]
    result: Result
    frame_size: tuple[int, int]
    timestamp_ns: int | None
    started: float
    view: View
    dropped: int
    decode_ms: float
    wait_ms: float
    net_ms: float
    turn_ms: float | None = None
    fault: str | None = None
    frame_id: str = ""
    lens: Lens | None = None
    distortion: Distortion | None = None
    damage: str = ""

    @property
    def timestamp_s(self) -> float | None:
        """`timestamp_ns` in seconds: of Unix time good to some 200 ns only."""
        return None if self.timestamp_ns is None else self.timestamp_ns / 1e9

    @property
    def age_ms(self) -> float:
        """How long ago the frame was there [ms]."""
        return 1e3 * (time.perf_counter() - self.started)

    def record(self, draw_ms: float | None) -> dict[str, Any]:
        """Its times as plain values for JSON; total_ms is the frame's age now."""
        times = {"decode_ms": self.decode_ms, "wait_ms": self.wait_ms, "net_ms": self.net_ms}
        if self.turn_ms is not None:
            times["turn_ms"] = self.turn_ms
        if draw_ms is not None:
            times["draw_ms"] = draw_ms
        times["total_ms"] = self.age_ms
        return {
            "version": RECORD_VERSION,
            "frame": self.index,
            "name": self.name,
            "timestamp_s": self.timestamp_s,
            "timestamp_ns": self.timestamp_ns,
            "size": list(self.frame_size),
            **self.view.facts(),
            **{name: round(value, 3) for name, value in times.items()},
            "dropped": self.dropped,
            "fault": self.fault,
            "damage": self.damage or None,
            **self._stated(),
        }

    def _stated(self) -> dict[str, Any]:
        """The mean expected error of its depth, where the model gives one; null where that is no number."""
        error = self.result.outputs.get(DEPTH_ERROR)
        if error is None:
            return {}
        mean = float(error.mean())
        return {DEPTH_ERROR: round(mean, 4) if math.isfinite(mean) else None}


RECORD_VERSION = 2
"""Of records, arrays and reports; 1 had none, metres of the training lens, frames stretched, and the sky finite."""

OnFrame = Callable[[Inferred], None]


def lens_of_maps(frame: Inferred) -> Lens | None:
    """The lens of a result's maps in their own pixels: resized, cropped, and without what a frame was padded with.

    It is the one that metres are of; where a model's outputs depend on none, the source's. None where nobody tells one.
    """
    known, framing = frame.view.lens or frame.lens, frame.view.framing
    if known is None:
        return None
    lens = framing.lens(known)
    if framing.plain:
        return lens
    rows, columns = framing.shown
    return lens.cropped(columns.start, rows.start, (columns.stop - columns.start, rows.stop - rows.start))


class Delivery:
    """A frame for several sinks: it is drawn once, by `painter`, where one of them asks for the picture."""

    def __init__(self, frame: Inferred, painter: Callable[[], Painter]) -> None:
        self.frame, self._painter = frame, painter

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """The drawn result, uint8 `[H, W, 3]` RGB; all of a stream have one size, even in width and height."""
        return self._painter().paint(self.frame.image, self.frame.result)


Sink = Callable[[Delivery], None]


def completed(frame: Inferred, metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> Inferred:
    """The frame with what its tasks compute of the outputs: offsets become instances."""
    return replace(frame, result=complete(frame.result, metadata, tasks))
