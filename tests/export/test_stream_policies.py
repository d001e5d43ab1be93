"""Frames dropped and kept, sources slower and faster than the network, notices, and how a stream is ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from standins import NAMES, make_frame, make_session, make_source

from export.session.session import Session
from export.sinks import Inferred
from export.sources import Frames, Loaded, Notice, Skipped, Source
from export.stream import pipeline as stages
from export.stream import report as listed
from export.stream.queue import Queue
from export.stream.stream import Outputs, Reading, infer, run
from preprocessing.ground.errors import InputError

ROOT = Path(__file__).parents[2]


def make_gated(gate: threading.Event) -> Session:
    """A network whose results wait until the gate is open: slower than any source."""
    session = make_session()

    def network(image: np.ndarray) -> dict[str, np.ndarray]:
        assert gate.wait(20)
        return session.network(image)

    return replace(session, network=network)


@pytest.mark.parametrize(("live", "policy"), [(True, "auto"), (True, "latest"), (False, "latest")])
def test_of_latest_only_the_newest_waits(live: bool, policy: str) -> None:
    """The network is at its first frame until the source is at its end: of all others the last alone is left."""
    gate, indices = threading.Event(), list[int]()
    source = make_source(30, live, 1e6, lambda i: gate.set() if i == 30 else None)
    report = run(make_gated(gate), source, lambda frame: indices.append(frame.index), reading=Reading(policy))
    assert report.policy == "latest" and report.frames == len(indices) <= 2
    assert indices[-1] == 29 and report.dropped == 30 - report.frames


@pytest.mark.parametrize(("live", "policy"), [(True, "every"), (False, "every"), (False, "auto")])
def test_of_every_none_is_dropped(live: bool, policy: str) -> None:
    indices = list[int]()
    session = make_session(delay_s=0.005)
    report = run(session, make_source(30, live), lambda frame: indices.append(frame.index), reading=Reading(policy))
    assert (report.policy, report.frames, report.dropped) == ("every", 30, 0) and indices == list(range(30))


def test_a_source_slower_than_the_network_loses_nothing() -> None:
    done = threading.Semaphore(1)
    source = make_source(12, live=True, before=lambda i: done.acquire(timeout=20))
    report = run(make_session(), source, lambda frame: done.release())
    assert (report.policy, report.frames, report.dropped) == ("latest", 12, 0)


def test_waiting_for_a_camera_is_no_latency() -> None:
    """0.2 s between frames; a frame's time begins when it arrived, not when the camera was asked."""
    report = run(make_session(), make_source(5, live=True, before=lambda i: time.sleep(0.2)))
    assert report.stages["decode"].p50_ms < 150
    file = run(make_session(), make_source(5, before=lambda i: time.sleep(0.2)))
    assert file.stages["decode"].p50_ms >= 200


def test_a_file_with_latest_is_played_at_its_rate() -> None:
    start = time.perf_counter()
    report = run(make_session(), make_source(11, fps=50), reading=Reading("latest"))
    assert time.perf_counter() - start > 0.19
    assert report.frames + report.dropped == 11


def test_limit_counts_frames_that_are_inferred() -> None:
    gate = threading.Event()
    source = make_source(500, live=True, before=lambda i: gate.set() if i == 50 else time.sleep(0.001))
    report = run(make_gated(gate), source, reading=Reading(limit=7))
    assert report.frames == 7 and report.dropped >= 48


def test_a_looped_stream_numbers_its_frames_through() -> None:
    indices: list[int] = []
    report = run(make_session(), make_source(5), lambda frame: indices.append(frame.index), reading=Reading(loop=3))
    assert report.frames == 15 and indices == list(range(15))


@pytest.mark.parametrize("values", [{"policy": "newest"}, {"limit": 0}, {"reconnect_s": float("nan")}])
def test_settings_that_cannot_be(values: dict) -> None:
    with pytest.raises(InputError, match=next(iter(values)).removesuffix("_s")):
        Reading(**values)


def test_a_change_of_size_is_told_and_every_map_keeps_the_networks_size() -> None:
    def frames() -> Frames:
        for size in [(160, 96)] * 2 + [(320, 192)] * 2 + [(160, 96)] + [(100, 100)]:
            yield Loaded("f", make_frame(0, size))

    seen: list[tuple[tuple[int, int], tuple[int, ...]]] = []

    def take(frame: Inferred) -> None:
        assert frame.result.classes is not None
        seen.append((frame.frame_size, frame.result.classes.shape))

    report = run(make_session(), Source("made", frames, 6, 10.0), take)
    assert [size for size, _ in seen] == [(160, 96)] * 2 + [(320, 192)] * 2 + [(160, 96), (100, 100)]
    assert {shape for _, shape in seen} == {(96, 160)}
    assert report.notices == [
        "metres are those of the training lens, which this model does not tell",
        "f: frames are now 320x192",
        "f: frames are now 100x100, of another aspect than the network's 160x96: stretched, so metres may be off; --fit"
        " crop or pad shows them as they are",
    ]


def test_endless_faults_take_no_endless_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "KEPT", 3)
    monkeypatch.setattr(listed, "KEPT", 3)

    def frames() -> Frames:
        for i in range(20):
            yield Skipped(f"{i}", "broken")
            yield Notice(f"lost {i}")
        yield Loaded("f", make_frame(0))

    report = run(make_session(), Source("made", frames, None, 10.0))
    assert report.skipped_frames == 20 and len(report.skipped) == len(report.notices) == 3


def test_run_hands_over_the_networks_own_arrays() -> None:
    session, taken = make_session(), []
    made: list[np.ndarray] = []

    def network(image: np.ndarray) -> dict[str, np.ndarray]:
        outputs = session.network(image)
        made.append(outputs["depth_m"])
        return outputs

    run(replace(session, network=network), make_source(4), taken.append)
    assert [frame.index for frame in taken] == [0, 1, 2, 3] and taken[2].timestamp_s == 0.02
    for frame, depth in zip(taken, made, strict=True):
        assert np.shares_memory(frame.result.depth_m, depth)
        np.testing.assert_array_equal(frame.result.classes, frame.image[..., 0] % len(NAMES))


def test_an_error_of_the_caller_ends_the_stream() -> None:
    def take(frame: Inferred) -> None:
        raise LookupError("publisher gone")

    with pytest.raises(LookupError, match="publisher gone"):
        run(make_session(), make_source(10**6), take)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("export-")]


def test_the_caller_ends_the_stream() -> None:
    stop, count = threading.Event(), 0

    def take(frame: Inferred) -> None:
        nonlocal count
        count += 1
        if frame.index == 5:
            stop.set()

    report = run(make_session(delay_s=0.002), make_source(10**6), take, stop=stop)
    assert 6 <= report.frames == count < 30 and not report.interrupted


def test_arrays_and_records_of_every_frame(tmp_path: Path) -> None:
    outputs = Outputs(arrays=tmp_path / "arrays", log=tmp_path / "log" / "frames.jsonl")
    report = infer(make_session(delay_s=0.005), make_source(4), outputs)
    assert report.out == [str(outputs.arrays), str(outputs.log)]
    for i in range(4):
        with np.load(tmp_path / "arrays" / f"{i:03d}.npz") as arrays:
            np.testing.assert_array_equal(arrays["classes"], make_frame(i)[..., 0] % len(NAMES))
            assert arrays["depth_m"].dtype == np.float32 and arrays["depth_m"].shape == (96, 160)
            assert (arrays["index"], arrays["timestamp_ns"], arrays["frame_size"].tolist()) == (i, i * 10**7, [160, 96])
    assert not [path for path in (tmp_path / "arrays").iterdir() if path.name.startswith(".")]
    lines = [json.loads(line) for line in (tmp_path / "log" / "frames.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    for line in lines:
        assert line["net_ms"] >= 5
        parts = sum(line[name] for name in ("decode_ms", "wait_ms", "net_ms", "draw_ms"))
        assert parts <= line["total_ms"] + 0.01
        assert line["size"] == [160, 96] and line["dropped"] == 0


def test_outputs_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for outputs in (Outputs(arrays=tmp_path / "file"), Outputs(log=tmp_path / "file" / "x.jsonl")):
        with pytest.raises(InputError, match="file"):
            infer(make_session(), make_source(2), outputs)


def test_a_pipe_that_is_ending_still_gives_what_waits() -> None:
    ending, pipe = threading.Event(), Queue[int](threading.Event())
    pipe = Queue(threading.Event(), ending.is_set)
    pipe.put(1)
    pipe.put(2)
    ending.set()
    assert [pipe.get(), pipe.get(), pipe.get()] == [1, 2, None]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_files(
    number: int, model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    """The command over an endless source, ended from outside: a video that plays, whole lines, a whole report."""
    out, log, report = tmp_path / "o.mp4", tmp_path / "l.jsonl", tmp_path / "r.json"
    line = [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"]
    line[-1] += "from advmtl.cli.app import main; main()"
    line += ["infer", str(model_path), str(picture_folder(3)), "--loop=0", f"--out={out}", f"--log={log}"]
    process = subprocess.Popen([*line, f"--report={report}"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 40
    while (not log.exists() or log.read_text().count("\n") < 8) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and "stopped early" in text
    frames = json.loads(report.read_text())["frames"]
    assert 8 <= frames == len([json.loads(one) for one in log.read_text().splitlines()])
    video, count = cv2.VideoCapture(str(out)), 0
    while video.read()[0]:
        count += 1
    assert count == frames
