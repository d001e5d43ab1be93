"""Decoded, resized frames in memory that all loader workers share."""

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np

from advmtl.data.augment import Arrays, Size
from advmtl.tasks.grouping import IGNORED_INSTANCE

BYTES_PER_PIXEL = 8  # depth float32, image 3 × uint8, labels uint8
INSTANCE_BYTES = 2  # ids uint16, where a task asks for them


class FrameCache:
    """Room for the first frames that fit into a budget; reading from it gives the same bits as from disk.

    The memory is an anonymous shared mapping: forked workers fill it for each other, and it does not count
    against /dev/shm, which containers keep small. It does not survive pickling (workers started by spawn):
    those read files.
    """

    def __init__(self, sizes: Sequence[Size], budget_mb: float, *, instances: bool = False) -> None:
        self._instances = instances
        per_pixel = BYTES_PER_PIXEL + INSTANCE_BYTES * instances
        ends = np.cumsum([width * height * per_pixel for width, height in sizes], dtype=np.int64)
        self.frames = int(np.searchsorted(ends, budget_mb * 2**20, side="right"))
        self._sizes = list(sizes[: self.frames])
        self._starts = [0, *ends[: self.frames].tolist()]
        self._memory = mmap.mmap(-1, self._starts[-1] + self.frames) if self.frames else None

    def get(self, index: int) -> Arrays | None:
        """The frame, as read-only views into the cache, or None where it is not (yet) held."""
        if self._memory is None or index >= self.frames or not self._memory[self._starts[-1] + index]:
            return None
        arrays = self._views(index)
        for array in (arrays.image, arrays.labels, arrays.depth, arrays.instances):
            if array is not None:
                array.flags.writeable = False
        return arrays

    def put(self, index: int, frame: Arrays) -> None:
        """Keep a frame if there is room for it; two workers writing the same frame write the same bytes."""
        if self._memory is None or index >= self.frames:
            return
        views = self._views(index)
        views.image[:], views.labels[:], views.depth[:] = frame.image, frame.labels, frame.depth
        if views.instances is not None:  # a frame without the label is ignored everywhere
            views.instances[:] = IGNORED_INSTANCE if frame.instances is None else frame.instances
        self._memory[self._starts[-1] + index] = 1  # last, so that nobody reads a half-written frame

    def _views(self, index: int) -> Arrays:
        width, height = self._sizes[index]
        pixels, start = width * height, self._starts[index]
        buffer: Any = self._memory
        instances = None
        if self._instances:
            instances = np.frombuffer(buffer, np.uint16, pixels, start + 8 * pixels).reshape(height, width)
        return Arrays(
            instances=instances,
            image=np.frombuffer(buffer, np.uint8, 3 * pixels, start + 4 * pixels).reshape(height, width, 3),
            labels=np.frombuffer(buffer, np.uint8, pixels, start + 7 * pixels).reshape(height, width),
            depth=np.frombuffer(buffer, np.float32, pixels, start).reshape(height, width),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": None}
