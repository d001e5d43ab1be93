"""How a network's threads wait for each other within a frame, asleep or spinning: chosen by what the frames take."""

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.session.session import Network, Zoom
from preprocessing.ground import InputError

WAYS = ("sleep", "spin")
WARM = 3  # first frames of each way: allocation and thread start
BLOCK = 5  # frames of one way in a row; the first one, whose data are not in the caches, is not timed
BLOCKS = 4  # of each way
GAIN, LOSS = 0.95, 1.03  # of the frame in the network, and of the time from one frame to the next


def spinning(waiting: str, in_flight: int) -> bool | None:
    """`open_session`'s `spin` for "sleep", "spin" or "auto"; None: to be measured, of one frame at a time only.

    Raises: InputError for another word.
    """
    if waiting not in ("auto", *WAYS):
        raise InputError(f"waiting {waiting!r}: choose auto, {', '.join(WAYS)}")
    return (None if in_flight == 1 else False) if waiting == "auto" else waiting == "spin"


@dataclass
class _Times:
    """Of one way [s]: in the network, and from the start of one frame to that of the next."""

    within: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)


class MeasuredWaiting:
    """A network that runs in both ways, in turn, on the first frames of a stream, and keeps the faster.

    Both give the same results, so nothing is lost by measuring on the frames themselves, and what else is done with
    them, decoding, drawing, encoding, stands beside the measurement as it will stand later. Spinning is kept where it
    takes 5 % less time in the network and no more than 3 % longer from one frame to the next: what spins may take the
    cores that the rest needs. A frame that meets another one in the network is not timed and sleeps.

    Attributes:
        chosen: "sleep" or "spin", or "" while it measures.
    """

    def __init__(self, sleeping: Network, spinning: Network, clock: Callable[[], float] = time.perf_counter) -> None:
        self.chosen = ""
        self._ways: dict[str, Network] = {"sleep": sleeping, "spin": spinning}
        self._clock, self._lock = clock, threading.Lock()
        self._times = {way: _Times() for way in WAYS}
        self._plan = [(way, False) for way in WAYS for _ in range(WARM)]
        self._plan += [(way, place > 0) for _ in range(BLOCKS) for way in WAYS for place in range(BLOCK)]
        self._last: tuple[str, float] | None = None  # way and start of a timed frame that nothing has followed yet
        self._inside = 0

    @property
    def told(self) -> str:
        """What has been chosen and why, in a line; empty while it measures."""
        if not self.chosen:
            return ""
        sleep, spin = (1e3 * statistics.median(self._times[way].within) for way in WAYS)
        return f"threads {self.chosen}: {sleep:.1f} ms in the network asleep, {spin:.1f} spinning"

    def __call__(self, image: NDArray[np.uint8], zoom: Zoom | None = None, /) -> dict[str, NDArray[Any]]:
        """Run a frame in the way whose turn it is."""
        with self._lock:
            way, timed = self.chosen, False
            if not way:
                way, timed = self._plan[0] if self._inside == 0 else ("sleep", False)
            run, started = self._ways[way], self._clock()
            self._follow(started, way)
            self._inside += 1
        try:
            outputs = run(image) if zoom is None else run(image, zoom)
        finally:
            with self._lock:
                self._inside -= 1
        with self._lock:
            if not self.chosen:
                self._note(way, timed, started)
        return outputs

    def _follow(self, started: float, way: str) -> None:
        """The time since the start of the frame before, where both belong to one block."""
        if self._last is not None and self._last[0] == way:
            self._times[way].between.append(started - self._last[1])
        self._last = None

    def _note(self, way: str, timed: bool, started: float) -> None:
        if self._plan[0] != (way, timed) or self._inside:
            return
        del self._plan[0]
        if timed:
            self._times[way].within.append(self._clock() - started)
            self._last = (way, started)
        if not self._plan:
            self._choose()

    def _choose(self) -> None:
        within = {way: statistics.median(times.within) for way, times in self._times.items()}
        between = {way: statistics.median(times.between) for way, times in self._times.items()}
        faster = within["spin"] <= GAIN * within["sleep"] and between["spin"] <= LOSS * between["sleep"]
        self.chosen = "spin" if faster else "sleep"
        del self._ways["sleep" if faster else "spin"]
