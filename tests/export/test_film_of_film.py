"""From a film into a film: both and the records have the same times."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from standins import make_frame, make_session

from export.sinks import Outputs
from export.stream import infer

av = pytest.importorskip("av", reason="PyAV is not installed")

TIMES = {
    "constant": [i / 25 for i in range(8)],
    "variable": [0, 0.04, 0.05, 0.3, 0.31, 1.9, 1.94, 2.2],
    "offset": [5 + i / 15 for i in range(8)],
}


def write(path: Path, times: Sequence[float]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 60_000)
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(make_frame(i), "rgb24")
            frame.pts, frame.time_base = round(60_000 * time), Fraction(1, 60_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


@pytest.mark.parametrize("kind", list(TIMES))
@pytest.mark.parametrize(("source", "result"), [(".mp4", ".mp4"), (".mkv", ".mp4"), (".mp4", ".mkv")])
def test_times_stay(kind: str, source: str, result: str, tmp_path: Path) -> None:
    drive, out, log = tmp_path / f"drive{source}", tmp_path / f"result{result}", tmp_path / "log.jsonl"
    write(drive, TIMES[kind])
    assert times_of(drive) == pytest.approx(TIMES[kind], abs=6e-4)
    report = infer(
        make_session(), str(drive), Outputs([out, tmp_path / "drawn"], log=log, depth_video=tmp_path / "d.mkv")
    )
    assert report.frames == 8
    stamps = [json.loads(line)["timestamp_ns"] / 1e9 for line in log.read_text().splitlines()]
    assert stamps == pytest.approx(times_of(drive), abs=1e-6)
    assert times_of(out) == pytest.approx(times_of(drive), abs=1e-3)
    assert times_of(tmp_path / "d.mkv") == pytest.approx(times_of(drive), abs=1e-3)
