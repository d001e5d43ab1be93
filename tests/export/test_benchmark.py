import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from standins import make_frame, make_session

from export.measuring import benchmark as module
from export.measuring.benchmark import benchmark, in_turn, print_benchmark
from export.measuring.benchmark_report import complete, open_models, print_comparison
from export.measuring.memory import resident_mib
from export.runtime import Session, open_session
from preprocessing.errors import InputError


def test_known_times() -> None:
    report = benchmark(make_session(delay_s=0.01), frame_size=(320, 200), warm_up=2, iterations=8)
    assert list(report.stages) == ["pre", "net", "post", "end to end"]
    assert 10 <= report.stages["net"].p50_ms < 25
    assert report.stages["end to end"].p50_ms >= report.stages["net"].p50_ms
    assert 0 < report.stages["pre"].p50_ms < 10
    assert {stage.count for stage in report.stages.values()} == {8}
    assert 40 < report.frames_per_second < 100
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


def test_several_models_take_turns() -> None:
    """The second takes three times as long; blocks go 0 1, 1 0, 0 1, …, each after a frame that is not timed."""
    order: list[str] = []

    def named(name: str, delay_s: float) -> Session:
        session = make_session(delay_s=delay_s)

        def network(image: np.ndarray) -> dict[str, np.ndarray]:
            order.append(name)
            return session.network(image)

        return replace(session, network=network)

    first, second = in_turn([named("a", 0.005), named("b", 0.015)], warm_up=1, iterations=20)
    assert "".join(order) == "ab" + ("aaabbb" + "bbbaaa") * 5
    assert (first.iterations, second.iterations) == (20, 20) and first.stages["net"].count == 20
    assert first.ratio == first.cpu_ratio == 1 and 0.25 < second.ratio < 0.5
    console = Console(record=True, width=160)
    print_comparison([replace(first, model="runs/a/model.onnx", power_w={"RAPL package-0": 11.5}), second], console)
    text = console.export_text()
    for part in ("a/model.onnx", "times the first", "RAPL package-0 11.5", "not measured", "p99, ms", "GMACs"):
        assert part in text


def test_blocks_share_any_number_of_iterations() -> None:
    assert [report.iterations for report in in_turn([make_session(), make_session()], iterations=13)] == [13, 13]


def test_energy_is_that_of_the_blocks_of_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter that counts a joule for each frame of one model and three for the other."""
    used = [0.0]

    def eater(joules: float) -> Session:
        session = make_session(delay_s=0.002)

        def network(image: np.ndarray) -> dict[str, np.ndarray]:
            used[0] += joules
            return session.network(image)

        return replace(session, network=network)

    class FakeMeter:
        name = "all"

        def joules(self) -> float:
            return used[0]

    monkeypatch.setattr(module, "open_meters", lambda: nullcontext([FakeMeter()]))
    reports = in_turn([eater(1), eater(3)], warm_up=2, iterations=10)
    assert [report.frame_mj for report in reports] == [{"all": 1000.0}, {"all": 3000.0}]
    assert reports[0].power_w is not None and 50 < reports[0].power_w["all"] <= 500


def test_models_from_files_tell_cost_and_memory(model_path: Path) -> None:
    sessions, facts = open_models([model_path, model_path], "cpu", 1)
    reports = [complete(*pair) for pair in zip(in_turn(sessions, warm_up=1, iterations=2), facts, strict=True)]
    for report in reports:
        assert report.model == str(model_path) and report.precision == "fp32"
        assert report.gmacs is not None and report.gmacs > 0 and report.parameters is not None
        assert report.memory_mib is not None
    json.dumps([report.to_dict() for report in reports], allow_nan=False)


def test_memory_is_that_of_this_process() -> None:
    before = resident_mib()
    held = np.ones(50 * 2**20, np.uint8)
    after = resident_mib()
    assert before is not None and after is not None and 45 < after - before < 60 and held[0]


def test_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="measure at least one"):
        benchmark(make_session(), iterations=0)
