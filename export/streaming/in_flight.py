"""Several frames in the network at once: each in a thread of its own, results handed on in the order of the frames.

Two frames on one core each make more frames/s than one frame on two cores: what an operator does on one core leaves no
other idle. Each frame takes longer.
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from export.streaming.pipe import POLL_S, Pipe

Job = TypeVar("Job")
Done = TypeVar("Done")


def threads_each(threads: int, in_flight: int) -> int:
    """CPU threads for each of `in_flight` frames: `threads` where given, else an equal share of this process's cores;
    0, one per core, for a frame alone.
    """
    if threads or in_flight == 1:
        return threads
    return max(1, len(os.sched_getaffinity(0)) // in_flight)


class InFlight(Generic[Job, Done]):
    """Work that several threads take from one pipe and hand on in the order in which it came.

    work: called by several threads at once. hand: called by one at a time, in order. limit: jobs at most.
    """

    def __init__(
        self, work: Callable[[Job], Done], hand: Callable[[Done], None], stop: threading.Event, limit: int | None = None
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
            with self._turn:
                while self._handed != number:
                    if self._stop.is_set():
                        return
                    self._turn.wait(POLL_S)
                self._hand(done)
                self._handed += 1
                self._turn.notify_all()
