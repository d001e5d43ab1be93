import pytest

from export.sinks.film_times import CLOCK_NS, FilmTimes

MS = 1_000_000


def times(stamps_ms: list[float | None], fps: float = 10.0, *, constant: bool = False) -> list[float]:
    """Of frames with these stamps [ms], their times in a film of 1000 ticks a second, so [ms] too."""
    clock = FilmTimes(fps, 1000, constant=constant)
    return [clock.of(None if stamp is None else round(stamp * MS)) for stamp in stamps_ms]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([5000, 5033.3, 6000, 6050], [5000, 5033, 6000, 6050]),  # an offset and gaps stay
        ([None, None, None], [0, 100, 200]),  # pictures follow each other
        ([20, None, 260], [20, 120, 260]),  # one without a stamp comes a period after the one before it
        ([-50, 0, 50], [0, 50, 100]),  # no film begins before 0
        ([0, 100, 90, 200], [0, 100, 101, 200]),  # out of order: never before the last, and nothing is shifted
        ([30, 130, 230, 30, 130], [30, 130, 230, 330, 430]),  # the source begins again (fps 10: a period of 100 ms)
        ([0, 900, 1800, 100, 1000], [0, 900, 1800, 1900, 2800]),  # again, its first frame was dropped
    ],
)
def test_times_are_those_of_the_source(stamps: list[float | None], expected: list[int]) -> None:
    assert times(stamps) == expected


def test_a_constant_rate_leaves_stamps_alone() -> None:
    assert times([5000, 5500, 7000], 4.0, constant=True) == [0, 250, 500]


def test_a_clock_counts_from_the_first_frame() -> None:
    first = 1_700_000_000_123_456_789
    clock = FilmTimes(30, 90_000)
    assert first > CLOCK_NS and clock.zero_ns is None
    assert [clock.of(first + step) for step in (0, 100 * MS, 350 * MS)] == [0, 9000, 31_500]
    assert clock.zero_ns == first


def test_ticks_are_rounded_and_never_equal() -> None:
    clock = FilmTimes(30, 1000)
    assert [clock.of(stamp) for stamp in (1_499_999, 1_500_000, 1_500_001)] == [1, 2, 3]
    assert clock.zero_ns == 0


def test_a_long_film_keeps_its_rate() -> None:
    """30000/1001 frames a second over ten hours: the last frame's time is exact, no error adds up."""
    clock = FilmTimes(30_000 / 1001, 90_000, constant=True)
    last = 0
    for _ in range(30_001):
        last = clock.of(None)
    assert last == 30_000 * 3003
