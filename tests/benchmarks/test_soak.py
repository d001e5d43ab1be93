"""benchmarks/soak.py: a short one counts every frame, and its judgement can fail."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import soak as module


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_short_soak_counts_every_frame_and_fault(in_flight: int, tmp_path: Path) -> None:
    report = module.soak(frames=700, cuts=1, threads=1, draw=False, out=tmp_path, in_flight=in_flight)
    assert ("turn" in report["stages"]) == (in_flight > 1)
    assert report["frames"] == report["frames_expected"] > 700 + 2 * module.VIDEO_FRAMES
    assert report["passed"]["every frame, in order"] and report["passed"]["every fault listed"]
    # Of a round: the end of the video that is cut off, a broken picture, one of floats.
    assert report["skipped"] == 2 * 3 and report["streams_cut"] == 1
    assert {"grey", "colour with transparency", "16 bits a channel, the upper 8 are used"} <= set(report["notices"])
    assert any("160x60" in notice for notice in report["notices"])
    json.dumps(report, allow_nan=False)


def test_frames_that_are_missing_or_late_are_seen(tmp_path: Path) -> None:
    lines = [{"frame": i, "decode_ms": 1, "net_ms": 1 if i < 90 else 4} for i in range(100) if i != 37]
    (tmp_path / "f.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    p50, p99, gaps = module.by_tenths(tmp_path / "f.jsonl")
    assert gaps == 1 and (p50[0], p50[-1]) == (2, 5) and p99[-1] == pytest.approx(5)
