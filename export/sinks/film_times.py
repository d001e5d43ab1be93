"""When each frame of a film is shown."""

CLOCK_NS = 10**17
"""A stamp from here on, three years, is of a clock (Unix time) and none of a film."""
_ROUND_NS = 10**9  # so far back in time goes no stamp that is merely out of order: the source begins again
_NS = 10**9


class FilmTimes:
    """Gives each frame its time in a film, in ticks; each later than the one before.

    Those of a film are as they are in the source, an offset of its first frame with them, so that records and both
    films agree; those of a clock, of a camera or a bag, count from the first frame. Frames that are left out leave
    gaps. Where the source begins again (`--loop`), its times go on. Without times, or `constant`, one frame follows the
    other at `fps`.
    """

    def __init__(self, fps: float, ticks: int, *, constant: bool = False) -> None:
        """ticks: in a second."""
        self.ticks, self._period = ticks, _NS / fps
        self._constant = constant
        self._count = 0
        self._first: int | None = None  # stamp of the first frame [ns]
        self._stamp = 0  # of the last one [ns]
        self._shift = 0  # from stamps to times [ns]
        self._last = -1  # time of the last frame [ticks]

    @property
    def zero_ns(self) -> int | None:
        """The stamp at which the film's time is 0; None where it has none."""
        return None if self._first is None else -self._shift

    def of(self, stamp_ns: int | None) -> int:
        """The time of the next frame, whose source stamps it so [ticks]."""
        if self._count == 0 and stamp_ns is not None and not self._constant:
            self._first = self._stamp = stamp_ns
            self._shift = 0 if 0 <= stamp_ns < CLOCK_NS else -stamp_ns
        if self._first is None:
            time_ns = round(self._count * self._period)
        else:
            time_ns = self._on(self._stamp + round(self._period) if stamp_ns is None else stamp_ns)
        self._count += 1
        self._last = max(self._last + 1, (time_ns * self.ticks + _NS // 2) // _NS)
        return self._last

    def _on(self, stamp_ns: int) -> int:
        if stamp_ns < self._stamp - _ROUND_NS or (self._count and stamp_ns <= (self._first or 0)):
            self._shift += self._stamp + round(self._period) - stamp_ns
        self._stamp = stamp_ns
        return stamp_ns + self._shift
