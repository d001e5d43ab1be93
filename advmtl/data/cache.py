"""A cache of decoded, resized frames in memory shared by all loader workers."""

import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advmtl.data.frames import Arrays
from advmtl.tasks import Size, Task

_IMAGE = ""
_ALIGNED = 8  # every frame begins where any type may begin


class FrameCache:
    """Room for the first frames that fit into a budget; reading from it gives the same bits as from disk.

    The memory is an anonymous shared mapping: forked workers fill it for each other, and it does not count
    against /dev/shm, which containers keep small. It does not survive pickling (workers started by spawn):
    those read files.
    """

    def __init__(self, sizes: Sequence[Size], budget_mb: float, tasks: Mapping[str, Task]) -> None:
        maps = {name: (np.dtype(task.arrays.dtype), task.arrays.channels) for name, task in tasks.items()}
        # The widest numbers first: all begin at a multiple of their size then.
        self._maps = dict(sorted(maps.items(), key=lambda one: -one[1][0].itemsize))
        per_pixel = 3 + sum(dtype.itemsize * max(1, channels) for dtype, channels in maps.values())
        bytes_of = [-(-width * height * per_pixel // _ALIGNED) * _ALIGNED for width, height in sizes]
        ends = np.cumsum(bytes_of, dtype=np.int64)
        self.frames = int(np.searchsorted(ends, budget_mb * 2**20, side="right"))
        self._sizes = list(sizes[: self.frames])
        self._starts = [0, *ends[: self.frames].tolist()]
        self._memory = mmap.mmap(-1, self._starts[-1] + self.frames) if self.frames else None

    def get(self, index: int) -> Arrays | None:
        """The frame, as read-only views into the cache, or None where it is not (yet) held."""
        if self._memory is None or index >= self.frames or not self._memory[self._starts[-1] + index]:
            return None
        views = self._views(index)
        for view in views.values():
            view.flags.writeable = False
        return Arrays(views.pop(_IMAGE), views)

    def put(self, index: int, frame: Arrays) -> None:
        """Keep a frame if there is room for it; two workers writing the same frame write the same bytes."""
        if self._memory is None or index >= self.frames:
            return
        for name, view in self._views(index).items():
            view[:] = frame.image if name == _IMAGE else frame.labels[name]
        self._memory[self._starts[-1] + index] = 1  # last, so that nobody reads a half-written frame

    def _views(self, index: int) -> dict[str, Any]:
        (width, height), start = self._sizes[index], self._starts[index]
        buffer: Any = self._memory
        layout = {
            name: (dtype, (channels, height, width) if channels else (height, width))
            for name, (dtype, channels) in self._maps.items()
        }
        layout[_IMAGE] = (np.dtype(np.uint8), (height, width, 3))
        views = {}
        for name, (dtype, shape) in layout.items():
            count = int(np.prod(shape))
            views[name] = np.frombuffer(buffer, dtype, count, start).reshape(shape)
            start += count * dtype.itemsize
        return views

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": None}
