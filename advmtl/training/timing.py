"""Wall-clock time of a run by activity, in `timing.jsonl`.

A clock gives other values each time, so they stay out of metrics.jsonl, which a resumed run repeats bit by bit.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")
Part = Literal["waiting", "validation", "saving"]


class Timing:
    """Seconds between two log rows, and how many of them went into waiting for data, measuring and saving.

    Rows are appended, also after a resume: a step that was taken again has two rows, of which the later one counts.

    Args:
        path: the file; None in a process that does not write.
        processes: how many learn from as many frames as this one.
    """

    def __init__(self, path: Path | None, processes: int = 1) -> None:
        self._path, self._processes = path, processes
        self._open: list[float] = []  # per running part, the seconds of parts inside it
        self._reset()

    def _reset(self) -> None:
        self._since, self._frames = time.perf_counter(), 0
        self._parts: dict[Part, float] = {"waiting": 0.0, "validation": 0.0, "saving": 0.0}

    @contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """Count the block's time as that of `name`, less that of parts inside it."""
        began = time.perf_counter()
        self._open.append(0.0)
        try:
            yield
        finally:
            spent, inside = time.perf_counter() - began, self._open.pop()
            self._parts[name] += spent - inside
            if self._open:
                self._open[-1] += spent

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches; the time until each is there counts as waiting."""
        iterator = iter(batches)
        while True:
            with self.part("waiting"):
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def count(self, frames: int) -> None:
        """Frames that this process has learnt from."""
        self._frames += frames * self._processes

    def write(self, step: int, epoch: int) -> None:
        """Append a row about the time since the last one. On a GPU, call it where the device has just been waited for.

        `frames_per_s`: of training alone, without measuring and saving.
        """
        seconds = time.perf_counter() - self._since
        training = seconds - self._parts["validation"] - self._parts["saving"]
        row = {
            "step": step,
            "epoch": epoch,
            "seconds": round(seconds, 4),
            "frames": self._frames,
            "frames_per_s": round(self._frames / training, 3) if self._frames and training > 0 else None,
            **{f"{name}_s": round(value, 4) for name, value in self._parts.items()},
        }
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        self._reset()
