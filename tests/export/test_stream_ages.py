"""How old results are, and a stream that ends before its first frame or has none."""

import json
import threading
import time

import pytest
from standins import make_session, make_source

from export.sinks import Inferred
from export.sources import Frames, Notice, Skipped, Source
from export.stream.stream import Reading, run
from preprocessing.ground.errors import InputError


def test_of_latest_no_result_waits_while_another_does() -> None:
    """A reader at its first result until the source is at its end: one result waits, then the newest comes."""
    gate, indices = threading.Event(), list[int]()

    def take(frame: Inferred) -> None:
        assert gate.wait(20)
        indices.append(frame.index)

    # Long after the network could have inferred what comes.
    source = make_source(30, live=True, before=lambda i: gate.set() if i == 30 else time.sleep(0.005))
    report = run(make_session(), source, take)
    assert report.frames == len(indices) <= 3 and indices[-1] == 29
    assert report.dropped == 30 - report.frames


def test_playing_a_file_at_its_rate_is_no_latency() -> None:
    """0.2 s between frames, and nothing else takes time."""
    ages = list[float]()
    report = run(make_session(), make_source(3, fps=5), lambda f: ages.append(f.age_ms), reading=Reading("latest"))
    assert report.frames == 3 and max(ages) < 150
    assert report.stages["wait"].p50_ms < 150 and report.stages["total"].p50_ms < 150


def test_a_stream_that_is_ended_before_its_first_frame_is_a_report_of_none() -> None:
    stop = threading.Event()

    def frames() -> Frames:
        yield Notice("")
        stop.set()
        yield Notice("")

    report = run(make_session(), Source("topic", frames, None, 30.0, live=True), stop=stop)
    assert (report.frames, report.frames_per_second, report.warm_up, report.stages) == (0, 0, 0, {})
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_source_of_refused_frames_alone_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    def frames() -> Frames:
        for i in range(120):
            yield Skipped(f"{i}", "pixels are float32")

    with pytest.raises(InputError, match="no frame could be read; pixels are float32"):
        run(make_session(), Source("camera 0", frames, None, 30.0, live=True))
    assert caplog.messages == [
        *(f"skipped {i}: pixels are float32" for i in range(3)),
        "camera 0: 10 frames skipped so far",
        "camera 0: 100 frames skipped so far",
        "camera 0: 120 frames skipped in all",
    ]
