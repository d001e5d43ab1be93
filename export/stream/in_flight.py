"""Several frames in the network at once: each in a thread of its own, results handed on in the order of the frames.

Two frames on one core each make more frames/s than one frame on two cores: what an operator does on one core leaves no
other idle. Each frame takes longer.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from export.session.processor import threads_here
from export.stream.pipe import POLL_S, Pipe

Job = TypeVar("Job")
Done = TypeVar("Done")


# What `--help` says of both, here and in `python -m export`.
THREADS = "CPU threads that a frame in the network may use; 0 = all cores, shared by the frames in flight."
IN_FLIGHT = "Frames in the network at once, of every frame only: more frames/s, each takes longer."


def session_threads(model: Path, threads: int, in_flight: int) -> int:
    """Threads to open the session of `model` with, so that each of `in_flight` frames may use `threads` of them; where
    that is 0, so that all together keep this process's cores busy. 0, one per core, for a frame alone.

    ONNX Runtime has one pool for all frames, of one thread less than it is given: each frame's own thread works too.
    PyTorch gives each frame's thread a pool of its own.
    """
    if in_flight == 1:
        return threads
    if model.suffix == ".onnx":
        return in_flight * (threads - 1) + 1 if threads else max(1, threads_here() - in_flight + 1)
    return threads or max(1, threads_here() // in_flight)


class InFlight(Generic[Job, Done]):
    """Work that several threads take from one pipe and hand on in the order in which it came.

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

    def run(self, pipe: Pipe[Job], before: Callable[[], None] | None = None) -> None:
        """Take jobs until there are no more; in each of the threads. `before` is called before a job is taken."""
        while not self._stop.is_set():
            with self._taking:  # a job and its number belong together
                if self._ended or (self._limit is not None and self._taken >= self._limit):
                    return
                if before is not None:
                    before()
                job = pipe.get()
                if job is None:
                    self._ended = True  # a pipe says so once
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
