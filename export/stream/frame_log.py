"""What is known of one frame of a stream: its result, and its times as a line of JSON."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.session.session import Result
from preprocessing.ground import InputError

# Where the time of a frame goes, in order: turn with several in flight, draw where there are outputs.
STAGES = ("decode", "wait", "net", "turn", "draw")
Record = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Inferred:
    """A frame with its result, as it is handed on; the arrays are this frame's own and nobody writes into them again.

    index: its number among the frames read from the source, from 0; dropped ones leave gaps. image: uint8 `[h, w, 3]`
    RGB at the network's size. frame_size: (width, height) in the source [px]. timestamp_s: see `sources.Loaded`.
    started: when the frame was there (`time.perf_counter`). dropped: frames dropped until it was inferred. decode_ms,
    wait_ms and net_ms: decoding and resizing, waiting for the network, the network. turn_ms: with several frames in
    flight, waiting for those before it; None with one. fault: why the result means nothing (`faults.fault_of`), NaN
    in it say; None where it is sound.
    """

    index: int
    name: str
    image: NDArray[np.uint8]
    result: Result
    frame_size: tuple[int, int]
    timestamp_s: float | None
    started: float
    dropped: int
    decode_ms: float
    wait_ms: float
    net_ms: float
    turn_ms: float | None = None
    fault: str | None = None

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
            "frame": self.index,
            "name": self.name,
            "timestamp_s": self.timestamp_s,
            "size": list(self.frame_size),
            **{name: round(value, 3) for name, value in times.items()},
            "dropped": self.dropped,
            "fault": self.fault,
        }


@contextmanager
def open_records(path: Path | None) -> Iterator[Record | None]:
    """Write one JSON object a line, each complete when it is written, so that a reader can follow; None for nowhere.

    Raises: InputError where the file cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", buffering=1)  # noqa: SIM115 closed below
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    with file:
        yield lambda values: print(json.dumps(values, allow_nan=False), file=file)
