import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from standins import make_frame, make_session

from export.benchmark import benchmark, print_benchmark
from export.runtime import open_session
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


def test_nothing_to_measure() -> None:
    with pytest.raises(InputError, match="measure at least one"):
        benchmark(make_session(), iterations=0)
