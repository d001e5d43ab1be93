import json
import mmap
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from standins import make_frame, make_session

from export.bench import measure as module
from export.bench.measure import add_facts, benchmark, in_turn, open_models, print_benchmark, print_comparison
from export.bench.meters import resident_mib
from export.session.open import open_session
from export.session.session import Session
from preprocessing.ground.errors import InputError


class Clock:
    """Takes the place of `time` in the benchmark: every look at it takes 1 ms, and a network what it is given."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.001
        return self.now

    process_time = perf_counter

    def session(self, takes_s: float, before: Callable[[], object] = lambda: None) -> Session:
        inner = make_session()

        def network(image: np.ndarray) -> dict[str, np.ndarray]:
            before()
            self.now += takes_s
            return inner.network(image)

        return replace(inner, network=network)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_known_times(clock: Clock) -> None:
    """Pre and post 1 ms each, the network 11: 13 in all, 1000 / 13 = 76.92 frames/s."""
    report = benchmark(clock.session(0.010), frame_size=(320, 200), warm_up=2, iterations=8)
    assert list(report.stages) == ["pre", "net", "post", "end to end"]
    times = [stage.p50_ms for stage in report.stages.values()]
    assert times == pytest.approx([1, 11, 1, 13], abs=0.01)
    assert {stage.count for stage in report.stages.values()} == {8}
    assert report.frames_per_second == pytest.approx(76.92, abs=0.01)
    assert (report.frame_size, report.model_size) == ((320, 200), (160, 96))


def test_warm_up_is_left_out_and_every_frame_used() -> None:
    session, seen = make_session(), []

    def network(image: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(int(image[0, 0, 0, 0]))
        return session.network(image)

    frames = [np.full((96, 160, 3), value, np.uint8) for value in (10, 20, 30)]
    report = benchmark(replace(session, network=network), frames, warm_up=2, iterations=4)
    assert seen == [10, 20, 30, 10, 20, 30]
    assert report.stages["net"].count == 4


def test_exported_model(model_path: Path) -> None:
    report = benchmark(open_session(model_path, "cpu", 1), [make_frame(0, (200, 120))], warm_up=1, iterations=3)
    json.dumps(report.to_dict(), allow_nan=False)
    console = Console(record=True, width=100)
    print_benchmark(report, console)
    assert "frames 200x120, network 160x96" in console.export_text()


def test_several_models_take_turns(clock: Clock) -> None:
    """The second takes three times as long; blocks go 0 1, 1 0, 0 1, …, each after a frame that is not timed."""
    order: list[str] = []
    sessions = [clock.session(takes_s, partial(order.append, name)) for name, takes_s in (("a", 0.007), ("b", 0.027))]
    first, second = in_turn(sessions, warm_up=1, iterations=20)
    assert "".join(order) == "ab" + ("aaabbb" + "bbbaaa") * 5
    assert (first.iterations, second.iterations) == (20, 20) and first.stages["net"].count == 20
    assert first.ratio == first.cpu_ratio == 1 and second.ratio == pytest.approx(1 / 3, abs=0.001)
    console = Console(record=True, width=160)
    print_comparison([replace(first, model="runs/a/model.onnx", power_w={"RAPL package-0": 11.5}), second], console)
    text = console.export_text()
    for part in ("a/model.onnx", "times the first", "RAPL package-0 11.5", "not measured", "p99, ms", "GMACs"):
        assert part in text


def test_blocks_share_any_number_of_iterations() -> None:
    assert [report.iterations for report in in_turn([make_session(), make_session()], iterations=13)] == [13, 13]


def test_energy_is_that_of_the_blocks_of_each_model(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter that counts a joule for each frame of one model, of 5 ms, and three for the other: 200 W and 600 W."""
    used = [0.0]

    def eater(joules: float) -> Session:
        def eat() -> None:
            used[0] += joules

        return clock.session(0.002, eat)

    class FakeMeter:
        name = "all"

        def joules(self) -> float:
            return used[0]

    monkeypatch.setattr(module, "open_meters", lambda: nullcontext([FakeMeter()]))
    reports = in_turn([eater(1), eater(3)], warm_up=2, iterations=10)
    assert [report.frame_mj for report in reports] == [{"all": 1000.0}, {"all": 3000.0}]
    assert [report.power_w for report in reports] == [{"all": pytest.approx(200)}, {"all": pytest.approx(600)}]


def test_models_from_files_tell_cost_and_memory(model_path: Path) -> None:
    sessions, facts = open_models([model_path, model_path], "cpu", 1)
    reports = [add_facts(*pair) for pair in zip(in_turn(sessions, warm_up=1, iterations=2), facts, strict=True)]
    for report in reports:
        assert report.model == str(model_path) and report.precision == "fp32"
        assert report.gmacs is None and report.parameters == 1052  # its export has not counted
        assert report.memory_mib is not None
    json.dumps([report.to_dict() for report in reports], allow_nan=False)


def test_memory_is_that_of_this_process() -> None:
    before = resident_mib()
    with mmap.mmap(-1, 50 * 2**20) as held:  # a map of its own: the C library may have kept that much from before
        view = np.frombuffer(held, np.uint8)
        view[:] = 1
        after = resident_mib()
        del view
    assert before is not None and after is not None and 45 < after - before < 60


def test_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="measure at least one"):
        benchmark(make_session(), iterations=0)
