"""What lies between two stages of a stream: a queue that can be closed and stopped, so that nobody waits for ever, and
several frames in the network at once, handed on in the order in which they came.

Two frames on one core each make more frames/s than one frame on two cores: what an operator does on one core leaves no
other idle. Each frame takes longer.
"""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from export.session import is_export, threads_here

# Frames waiting between two stages: enough to hide one slow frame, few enough to stay fresh and small.
LENGTH = 4

LATEST = 1  # where only the newest frame or result counts

# How soon a waiting thread notices a stop [s].
POLL_S = 0.05

T = TypeVar("T")


class Queue(Generic[T]):
    """A bounded queue that ends: None after `close`, and at once for everyone when `stop` is set.

    Once `ending` says so, what waits is still given out, and then it ends without being closed: who fills it may hang
    in the read of a dead camera.
    """

    def __init__(self, stop: threading.Event, ending: Callable[[], bool] = lambda: False, length: int = LENGTH) -> None:
        self._queue: queue.Queue[T | None] = queue.Queue(length)
        self._stop, self._ending = stop, ending
        self._taken = threading.Event()
        self._taken.set()

    def put(self, item: T | None) -> None:
        self._taken.clear()
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
        return None

    def offer(self, item: T) -> int:
        """Put without waiting; the oldest is dropped where it is full. Returns how many were dropped."""
        lost = 0
        while True:
            try:
                self._queue.put_nowait(item)
                return lost
            except queue.Full:
                try:
                    self._queue.get_nowait()
                    lost += 1
                except queue.Empty:
                    continue

    def get(self) -> T | None:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=POLL_S)
                self._taken.set()
                return item
            except queue.Empty:
                if self._ending():
                    return None
        return None

    def await_taken(self) -> None:
        """Wait until the last item is taken, in a queue of length 1 and by the one thread that puts."""
        while not self._stop.is_set() and not self._taken.wait(POLL_S):
            continue

    def close(self) -> None:
        self.put(None)


Job = TypeVar("Job")

Done = TypeVar("Done")


def session_threads(model: Path, threads: int, in_flight: int) -> int:
    """Threads to open the session of `model` with, so that each of `in_flight` frames may use `threads` of them; where
    that is 0, so that all together keep this process's cores busy. 0, one per core, for a frame alone.

    ONNX Runtime has one pool for all frames, of one thread less than it is given: each frame's own thread works too.
    PyTorch gives each frame's thread a pool of its own.
    """
    if in_flight == 1:
        return threads
    if model.suffix == ".onnx" or is_export(model):
        return in_flight * (threads - 1) + 1 if threads else max(1, threads_here() - in_flight + 1)
    return threads or max(1, threads_here() // in_flight)


class InFlight(Generic[Job, Done]):
    """Work that several threads take from one queue and return in its original order.

    work: called by several threads at once. hand: called by one at a time, in order, with what is done and how long it
    waited for its turn [s]. limit: jobs at most.
    """

    def __init__(
        self,
        work: Callable[[Job], Done],
        hand: Callable[[Done, float], None],
        stop: threading.Event,
        limit: int | None = None,
    ) -> None:
        self._work, self._hand, self._stop, self._limit = work, hand, stop, limit
        self._taking = threading.Lock()
        self._turn = threading.Condition()
        self._taken = self._handed = 0
        self._ended = False

    def run(self, jobs: Queue[Job], before: Callable[[], None] | None = None) -> None:
        """Take jobs until there are no more; in each of the threads. `before` is called before a job is taken."""
        while not self._stop.is_set():
            with self._taking:  # a job and its number belong together
                if self._ended or (self._limit is not None and self._taken >= self._limit):
                    return
                if before is not None:
                    before()
                job = jobs.get()
                if job is None:
                    self._ended = True  # a queue says so once
                    return
                number, self._taken = self._taken, self._taken + 1
            done = self._work(job)
            finished = time.perf_counter()
            with self._turn:
                while self._handed != number:
                    if self._stop.is_set():
                        return
                    self._turn.wait(POLL_S)
                self._hand(done, time.perf_counter() - finished)
                self._handed += 1
                self._turn.notify_all()
