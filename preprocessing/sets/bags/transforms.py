"""How the frames of a bag stand to each other: /tf_static and /tf, and the way from one frame to another."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preprocessing.ground import InputError
from preprocessing.sets.bags.decoding import decode, plain_frame
from preprocessing.sets.bags.message import Message

Matrix = npt.NDArray[np.float64]
Edge = tuple[str, str]
"""(parent, child)."""
OLDEST_NS = 10**9
"""A transform of /tf that is older than this says nothing of now."""
_LISTED = 12
_UNIT = 0.01


@dataclass
class _Stamped:
    """One transform of /tf: when, and translation and quaternion each time."""

    stamps_ns: list[int] = field(default_factory=list)
    values: list[Sequence[float]] = field(default_factory=list)

    def sort(self) -> None:
        order = sorted(range(len(self.stamps_ns)), key=self.stamps_ns.__getitem__)
        self.stamps_ns = [self.stamps_ns[index] for index in order]
        self.values = [self.values[index] for index in order]


@dataclass
class Transforms:
    """The frames of a bag.

    Attributes:
        fixed: (parent, child) -> translation [m] and quaternion x y z w, of /tf_static; the last one counts.
        moving: The same of /tf, where /tf_static has it not, by stamp.
    """

    fixed: dict[Edge, Sequence[float]] = field(default_factory=dict)
    moving: dict[Edge, _Stamped] = field(default_factory=dict)

    @property
    def frames(self) -> list[str]:
        """All that are known, sorted."""
        return sorted({frame for edge in (*self.fixed, *self.moving) for frame in edge})

    def way(self, source: str, target: str) -> list[Edge] | None:
        """The steps (from, to) that lead from one frame to another; None where none do."""
        came: dict[str, str] = {source: source}
        left = deque([source])
        while left and target not in came:
            here = left.popleft()
            for other in self._beside(here):
                if other not in came:
                    came[other] = here
                    left.append(other)
        if target not in came:
            return None
        steps = []
        while target != source:
            steps.append((came[target], target))
            target = came[target]
        return steps[::-1]

    def between(self, source: str, target: str, stamp_ns: int) -> Matrix:
        """[4, 4]: takes points of `source` to `target` at a time; of /tf the latest at or before it.

        Raises: InputError naming the two frames, or the step of /tf that has nothing for that time.
        """
        steps = self.way(source, target)
        if steps is None:
            raise InputError(f"no transform from {source} to {target}; {self.known(source, target)}")
        found = np.eye(4)
        for start, end in steps:
            found = self._step(start, end, stamp_ns) @ found
        return found

    def known(self, source: str, target: str) -> str:
        """What is known instead of a way between two frames."""
        if not self.frames:
            return "the bag has no /tf_static and no /tf"
        joined = [f"{frame} is joined to {_listed(self._joined(frame))}" for frame in (source, target)]
        return f"frames known: {_listed(self.frames)}" + (
            f" ({'; '.join(joined)})" if {source, target} <= set(self.frames) else ""
        )

    def _joined(self, frame: str) -> list[str]:
        return [other for other in self.frames if other != frame and self.way(frame, other) is not None]

    def _beside(self, frame: str) -> Iterable[str]:
        for parent, child in (*self.fixed, *self.moving):
            if frame == parent:
                yield child
            elif frame == child:
                yield parent

    def _step(self, start: str, end: str, stamp_ns: int) -> Matrix:
        edge = (end, start)  # a transform takes points of the child to the parent
        if edge in self.fixed or edge in self.moving:
            return matrix_of(self._values(edge, stamp_ns), f"the transform of {start} in {end}")
        edge = (start, end)
        return inverse(matrix_of(self._values(edge, stamp_ns), f"the transform of {end} in {start}"))

    def _values(self, edge: Edge, stamp_ns: int) -> Sequence[float]:
        if edge in self.fixed:
            return self.fixed[edge]
        known, (parent, child) = self.moving[edge], edge
        index = bisect_right(known.stamps_ns, stamp_ns) - 1
        if index < 0:
            late_s = (known.stamps_ns[0] - stamp_ns) / 1e9
            raise InputError(f"/tf has {child} in {parent} only {late_s:.3f} s after the picture")
        age_ns = stamp_ns - known.stamps_ns[index]
        if age_ns > OLDEST_NS and len(known.stamps_ns) > 1:  # said once and for all: as good as static
            raise InputError(f"/tf has {child} in {parent} last {age_ns / 1e9:.3f} s before the picture")
        return known.values[index]

    def read_fixed(self, messages: Iterable[Message]) -> None:
        """Take in /tf_static. Raises: InputError where a message is garbled."""
        for message in messages:
            for edge, _, values in _read(message):
                self.fixed[edge] = values

    def read_moving(self, messages: Iterable[Message]) -> None:
        """Take in /tf, but for what /tf_static has. Raises: InputError where a message is garbled."""
        for message in messages:
            for edge, stamp_ns, values in _read(message):
                if edge not in self.fixed:
                    stamped = self.moving.setdefault(edge, _Stamped())
                    stamped.stamps_ns.append(stamp_ns)
                    stamped.values.append(values)
        for one in self.moving.values():
            one.sort()


def _read(message: Message) -> Iterator[tuple[Edge, int, Sequence[float]]]:
    for one in decode(message).transforms:
        stamp_ns = int(one.header.stamp.sec) * 10**9 + int(one.header.stamp.nanosec) or message.time_ns
        t, q = one.transform.translation, one.transform.rotation
        edge = (plain_frame(one.header.frame_id), plain_frame(one.child_frame_id))
        yield edge, stamp_ns, (t.x, t.y, t.z, q.x, q.y, q.z, q.w)


def matrix_of(values: Sequence[float], what: str) -> Matrix:
    """[4, 4] of a translation [m] and a quaternion x y z w. Raises: InputError where that is no unit quaternion."""
    numbers = np.array(values, np.float64)
    length = float(np.linalg.norm(numbers[3:]))
    if not (np.isfinite(numbers).all() and abs(length - 1) < _UNIT):
        raise InputError(f"{what} is a quaternion of length {length:.4g}; it must be 1")
    x, y, z, w = numbers[3:] / length
    found = np.eye(4)
    found[:3, 3] = numbers[:3]
    found[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return found


def inverse(matrix: Matrix) -> Matrix:
    """The way back of a turn and a shift."""
    found = np.eye(4)
    found[:3, :3] = matrix[:3, :3].T
    found[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more or "nothing"
