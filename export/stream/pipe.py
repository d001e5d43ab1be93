"""A bounded queue between two threads that can be closed and stopped, so that nobody waits for ever."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

# Frames waiting between two stages: enough to hide one slow frame, few enough to stay fresh and small.
LENGTH = 4
LATEST = 1  # where only the newest frame or result counts
# How soon a waiting thread notices a stop [s].
POLL_S = 0.05

T = TypeVar("T")


class Pipe(Generic[T]):
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
        """Put without waiting; the oldest goes where it is full. Returns how many went."""
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
        """Wait until the last item is taken, in a pipe of length 1 and by the one thread that puts."""
        while not self._stop.is_set() and not self._taken.wait(POLL_S):
            continue

    def close(self) -> None:
        self.put(None)
