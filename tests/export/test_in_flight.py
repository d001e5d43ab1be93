"""Several frames in the network at once: overlapped, in order, and ended like one at a time."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import make_session
from test_stream import make_source, threads_of_ours

from export.runtime import Session
from export.stream import Reading, run
from export.streaming.in_flight import threads_each
from preprocessing.errors import InputError


def counting(delays_s: list[float]) -> tuple[Session, list[int]]:
    """A session whose n-th call takes the n-th of these times, over and over; and how many calls there were at once."""
    inner, lock, at_once = make_session(), threading.Lock(), list[int]()
    now = calls = 0

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        nonlocal now, calls
        with lock:
            now, calls = now + 1, calls + 1
            at_once.append(now)
            delay = delays_s[calls % len(delays_s)]
        time.sleep(delay)
        with lock:
            now -= 1
        return inner.network(image)

    return replace(inner, network=network), at_once


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_so_many_at_once_and_results_in_order(in_flight: int) -> None:
    session, at_once = counting([0.03, 0.0, 0.01])
    seen = []
    reading = Reading("every", in_flight=in_flight)
    report = run(session, make_source(14), lambda f: seen.append((f.index, int(f.image.sum()))), reading=reading)
    assert max(at_once) == in_flight
    alone: list[tuple[int, int]] = []
    run(make_session(), make_source(14), lambda f: alone.append((f.index, int(f.image.sum()))))
    assert seen == alone and [index for index, _ in seen] == list(range(14))
    assert report.frames == 14 and report.stages["net"].count == 14 - 3
    assert not threads_of_ours()


def test_the_limit_holds() -> None:
    session, at_once = counting([0.01])
    report = run(session, make_source(30), reading=Reading(limit=7, in_flight=3))
    assert report.frames == len(at_once) == 7


def test_an_error_in_one_ends_all() -> None:
    session = make_session(delay_s=0.01)
    calls = 0

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise RuntimeError("out of memory")
        return session.network(image)

    with pytest.raises(RuntimeError, match="out of memory"):
        run(replace(session, network=network), make_source(50), reading=Reading(in_flight=2))
    assert not threads_of_ours()


def test_of_latest_only_one_frame_is_in_the_network() -> None:
    session, at_once = counting([0.02])
    run(session, make_source(12, 0.005, live=True), reading=Reading(in_flight=3))
    assert max(at_once) == 1
    with pytest.raises(InputError, match="in flight: with policy latest only the newest frame"):
        Reading("latest", in_flight=2)


def test_refused() -> None:
    with pytest.raises(InputError, match="in flight 0: give at least one frame"):
        Reading(in_flight=0)
    engine = replace(make_session(), provider="TensorRT engine", concurrent=False)
    with pytest.raises(InputError, match="in flight: TensorRT engine runs one frame at a time; give 1"):
        run(engine, make_source(3), reading=Reading(in_flight=2))


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    shares = [threads_each(*given) for given in ((0, 1), (0, 2), (0, 4), (0, 9), (3, 2))]
    assert shares == [0, 3, 1, 1, 3]
