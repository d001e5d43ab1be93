"""The time of each frame of a film [ns], as its file gives it, and whether the film ends where it should."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

# A film is cut off where it ends by more than this before its announced end [s], and by two of its longest intervals.
SHORT_S = 0.25


@dataclass
class Times:
    """Called with every frame in the order of showing. base: the unit of its stamps [s]. rate, reason: by which frames
    without times are counted [1/s], and why by it. raw: none has a time. announced_s: when the film should end, None
    where nothing says so.
    """

    base: Fraction
    rate: Fraction
    reason: str
    raw: bool
    announced_s: float | None
    _count: int = 0
    _last: int | None = None
    _end: int = 0
    _longest: int = 0
    _back: bool = False

    def of(self, frame: Any) -> int:
        """The time of the next frame [ns]."""
        ticks = frame.pts if frame.pts is not None else frame.dts
        if self.raw or ticks is None:
            stamp = round(Fraction(self._count * 10**9) / self.rate)
        else:
            stamp = round(ticks * self.base * 10**9)
        self._count += 1
        self._back = self._last is not None and stamp <= self._last
        if self._last is not None:
            self._longest = max(self._longest, stamp - self._last)
        self._last, self._end = stamp, max(self._end, stamp + round((frame.duration or 0) * self.base * 10**9))
        return stamp

    def counted(self) -> str:
        """How frames without times are timed."""
        return f"holds no times; frames are timed by {float(self.rate):g}/s, {self.reason}"

    def notes(self, name: str) -> Iterator[str]:
        """What is to be said of the time just given."""
        if self._back:
            yield f"its time is not behind that of the frame before at {name}; times are kept as they are"

    def missing(self) -> str | None:
        """How the film is cut off, None where it is not."""
        if self.raw or self.announced_s is None or self._last is None:
            return None
        lacking = self.announced_s - self._end / 1e9
        if lacking <= max(SHORT_S, 2e-9 * self._longest):
            return None
        return f"cut off: the last frame ends at {self._end / 1e9:.3f} s of the {self.announced_s:.3f} s announced"
