import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from shared_files import shared_file
from standins import make_frame, make_session, threads_of_ours

from export.session.open import open_session
from export.session.session import Result
from export.sinks import outputs
from export.sources import Frames, Loaded, Skipped, Source, open_source
from export.stream.report import print_report
from export.stream.stream import Outputs, Reading, infer
from preprocessing.ground.errors import InputError


def make_source(count: int, delay_s: float = 0.0, live: bool = False, bad: int = -1) -> Source:
    def frames() -> Frames:
        for i in range(count):
            time.sleep(delay_s)
            yield Skipped(f"{i}.png", f"{i}.png: broken") if i == bad else Loaded(f"{i:03d}", make_frame(i))

    return Source("made", frames, count, 10.0, live)


def frame_count(path: Path) -> int:
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))


def test_video_in_video_out(tmp_path: Path, model_path: Path, picture_folder: Callable[[int], Path]) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    session = open_session(model_path, "cpu", 1)
    report = infer(session, picture_folder(11), first)
    assert (report.frames, frame_count(first)) == (11, 11)
    report = infer(session, first, Outputs(second, 5))
    assert (report.frames, frame_count(second), report.skipped) == (11, 11, [])
    assert cv2.VideoCapture(str(second)).get(cv2.CAP_PROP_FPS) == 5
    assert set(report.stages) == {"decode", "wait", "net", "draw", "total"}


def test_a_broken_picture_is_listed_and_the_rest_done(tmp_path: Path, picture_folder: Callable[[int], Path]) -> None:
    folder = picture_folder(4)
    (folder / "002.png").write_bytes((folder / "002.png").read_bytes()[:500])
    report = infer(make_session(), folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "001.png", "003.png"]
    assert [name for name, _ in report.skipped] == ["002.png"]
    assert "truncated" in report.skipped[0][1]


def test_results_stay_with_their_frames_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Recorder:
        def __init__(self, metadata: object, tasks: object) -> None: ...

        def paint(self, image: np.ndarray, result: Result) -> np.ndarray:
            assert result.classes is not None
            np.testing.assert_array_equal(result.classes, image[..., 0] % 5)
            seen.append(int(image.sum()))
            return image

    monkeypatch.setattr(outputs, "Painter", Recorder)
    infer(make_session(), make_source(12), tmp_path / "out")
    assert seen == [int(make_frame(i).sum()) for i in range(12)]


def test_percentiles_and_rate_of_known_times() -> None:
    """Decode and net take 20 ms each or, where others compute too, more: that is up to 50 frames/s."""
    start = time.perf_counter()
    report = infer(make_session(delay_s=0.02), make_source(20, delay_s=0.02))
    taken_s = time.perf_counter() - start
    assert (report.frames, report.warm_up) == (20, 3)
    assert set(report.stages) == {"decode", "wait", "net", "total"}
    assert {stage.count for stage in report.stages.values()} == {17}
    for name in ("decode", "net"):
        assert 20 <= report.stages[name].p50_ms <= 1000 * taken_s
    for stage in report.stages.values():
        assert stage.p50_ms <= stage.p90_ms <= stage.p99_ms
    assert 17 / taken_s <= report.frames_per_second <= 50


def test_the_next_frame_is_decoded_while_the_network_is_busy() -> None:
    """The network waits in every frame but the last for the one after it to be asked for."""
    session, asked, calls = make_session(), [threading.Event() for _ in range(6)], []

    def frames() -> Frames:
        for i in range(6):
            asked[i].set()
            yield Loaded(f"{i}", make_frame(i))

    def network(image: np.ndarray) -> dict[str, np.ndarray]:
        calls.append(len(calls) == 5 or asked[len(calls) + 1].wait(timeout=20))
        return session.network(image)

    infer(replace(session, network=network), Source("made", frames, 6, 10.0))
    assert calls == [True] * 6


def test_first_frames_are_not_timed() -> None:
    session, calls = make_session(), []

    def slow_start(image: np.ndarray) -> dict[str, np.ndarray]:
        calls.append(1)
        time.sleep(0.4 if len(calls) <= 3 else 0)
        return session.network(image)

    report = infer(replace(session, network=slow_start), make_source(8))
    assert report.stages["net"].p99_ms < 400


@pytest.mark.parametrize("count", [1, 2])
def test_very_short_streams_still_report(count: int) -> None:
    report = infer(make_session(), make_source(count))
    assert (report.frames, report.warm_up) == (count, count - 1)
    assert report.stages["net"].count == 1
    assert report.frames_per_second > 0


def test_limit(tmp_path: Path) -> None:
    report = infer(make_session(), make_source(50, bad=1), tmp_path / "out.mp4", Reading(limit=6))
    assert (report.frames, frame_count(tmp_path / "out.mp4")) == (6, 6)
    with pytest.raises(InputError, match="limit 0"):
        infer(make_session(), make_source(3), reading=Reading(limit=0))


def test_live_source_drops_and_others_wait() -> None:
    live = infer(make_session(delay_s=0.02), make_source(40, delay_s=0.001, live=True))
    assert live.dropped > 0
    assert live.frames + live.dropped == 40
    patient = infer(make_session(delay_s=0.002), make_source(40))
    assert (patient.frames, patient.dropped) == (40, 0)


@pytest.mark.parametrize("stage", ["decode", "net", "draw"])
def test_an_error_in_any_stage_ends_all_and_leaves_nothing(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, source = make_session(), make_source(200)

    def fail(*_: object) -> None:
        raise RuntimeError(f"{stage} broke")

    def broken() -> Frames:
        yield from (Loaded(f"{i}", make_frame(i)) for i in range(5))
        fail()

    if stage == "decode":
        source = replace(source, frames=broken)
    elif stage == "net":
        session = replace(session, network=fail)  # type: ignore[arg-type]
    else:
        monkeypatch.setattr(outputs.Painter, "paint", fail)
    start = time.perf_counter()
    with pytest.raises(RuntimeError, match=f"{stage} broke"):
        infer(session, source, tmp_path / "out.mp4")
    assert time.perf_counter() - start < 20
    assert not list(tmp_path.iterdir())
    assert not threads_of_ours()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal; a job started in the background comes with it ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupt_finishes_the_file(tmp_path: Path) -> None:
    def frames() -> Frames:
        for i in range(500):
            if i == 15:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.005)
            yield Loaded(f"{i}", make_frame(i))

    report = infer(make_session(delay_s=0.005), Source("made", frames, 500, 10.0), tmp_path / "out.mp4")
    assert report.interrupted
    assert 1 <= report.frames < 400  # of 500
    assert frame_count(tmp_path / "out.mp4") == report.frames
    assert not threads_of_ours()


def test_no_readable_frame_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no frame could be read; 0\.png: broken"):
        infer(make_session(), make_source(1, bad=0), tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_report_is_json_and_a_table() -> None:
    report = infer(make_session(), make_source(6, bad=2))
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["stages"]["net"]["count"] == 2
    assert values["skipped"] == [["2.png", "2.png: broken"]]
    console = Console(record=True, width=120)
    print_report(report, console)
    text = console.export_text()
    for part in ("p50, ms", "p99, ms", "net", "frames/s", "first 3 not timed", "skipped 2.png"):
        assert part in text


def test_real_sequence(tmp_path: Path) -> None:
    folder = shared_file("data/camvid/images/val")
    report = infer(make_session((256, 128)), open_source(folder), tmp_path / "out.mp4", Reading(limit=5))
    assert (report.frames, frame_count(tmp_path / "out.mp4")) == (5, 5)
