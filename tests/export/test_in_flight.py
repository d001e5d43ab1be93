"""Several frames in the network at once: overlapped, in order, and ended like one at a time."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import make_frame, make_session, make_source, threads_of_ours

from export.session.open import open_session
from export.session.session import Session
from export.sinks import Inferred
from export.stream import queue as in_flight_module
from export.stream.queue import session_threads
from export.stream.stream import Outputs, Reading, infer, run
from preprocessing.ground.errors import InputError


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


def test_a_real_session_gives_the_same_bits_in_order(model_path: Path, picture_folder: Callable[[int], Path]) -> None:
    folder, seen = picture_folder(9), dict[int, list[Inferred]]()
    for in_flight in (1, 2):
        session = open_session(model_path, "cpu", session_threads(model_path, 2, in_flight))
        run(session, folder, seen.setdefault(in_flight, []).append, reading=Reading(loop=2, in_flight=in_flight))
    assert [frame.index for frame in seen[2]] == list(range(18))
    for one, two in zip(seen[1], seen[2], strict=True):
        assert one.name == two.name and one.result.classes is not None and one.result.depth_m is not None
        np.testing.assert_array_equal(one.result.classes, two.result.classes)
        np.testing.assert_array_equal(one.result.depth_m, two.result.depth_m)
    assert len({frame.result.depth_m.tobytes() for frame in seen[2][:9] if frame.result.depth_m is not None}) == 9


def test_the_wait_for_ones_turn_is_a_part_of_the_total(tmp_path: Path) -> None:
    """The first frame is done 30 ms after the second, which waits for it that long."""
    session, second = make_session(), threading.Event()

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        if np.array_equal(image[0], make_frame(0)):
            assert second.wait(20)
            time.sleep(0.03)
        second.set()
        return session.network(image)

    outputs = Outputs(log=tmp_path / "frames.jsonl")
    report = infer(replace(session, network=network), make_source(12), outputs, Reading(in_flight=2))
    lines = [json.loads(line) for line in (tmp_path / "frames.jsonl").read_text().splitlines()]
    assert lines[1]["turn_ms"] > 25
    for line in lines:
        parts = sum(line[name] for name in ("decode_ms", "wait_ms", "net_ms", "turn_ms"))
        assert parts <= line["total_ms"] + 0.01
    assert report.stages["turn"].count == 12 - 3 and list(report.stages) == ["decode", "wait", "net", "turn", "total"]
    alone = infer(make_session(), make_source(4), Outputs(log=tmp_path / "alone.jsonl"))
    assert "turn" not in alone.stages and "turn_ms" not in (tmp_path / "alone.jsonl").read_text()


@pytest.mark.parametrize("concurrent", [True, False])
def test_of_latest_several_are_refused(concurrent: bool) -> None:
    """A session opened for several frames would have too few threads for the one that is in it."""
    session = replace(make_session(), concurrent=concurrent)
    with pytest.raises(
        InputError, match=r"in flight: made is live, so only its newest frame .* give 1 or policy every"
    ):
        run(session, make_source(12, live=True), reading=Reading(in_flight=3))
    with pytest.raises(InputError, match="in flight: with policy latest only the newest frame"):
        Reading("latest", in_flight=2)
    assert run(make_session(), make_source(5, live=True), reading=Reading("every", in_flight=3)).frames == 5


def test_refused() -> None:
    with pytest.raises(InputError, match="in flight 0: give at least one frame"):
        Reading(in_flight=0)
    engine = replace(make_session(), provider="TensorRT engine", concurrent=False)
    with pytest.raises(InputError, match="in flight: TensorRT engine runs one frame at a time; give 1"):
        run(engine, make_source(3), reading=Reading(in_flight=2))


@pytest.mark.parametrize(
    ("model", "wanted"),
    [("m.onnx", [0, 5, 3, 1, 3, 5, 1]), ("m.pt", [0, 3, 1, 1, 3, 3, 1]), ("runs/v1.2", [0, 3, 1, 1, 3, 3, 1])],
)
def test_threads_keep_all_cores_busy(model: str, wanted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's pool is one less and shared: 6 cores, 2 frames are 2 threads of their own and 4 in the pool."""
    monkeypatch.setattr(in_flight_module, "threads_here", lambda: 6)
    given = ((0, 1), (0, 2), (0, 4), (0, 9), (3, 1), (3, 2), (1, 3))
    assert [session_threads(Path(model), *one) for one in given] == wanted
