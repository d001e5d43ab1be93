"""examples/mcap_to_rerun.py shows a result bag; skipped where the Rerun SDK is not installed."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from standins import make_session, make_source

from export.stream import infer

pytest.importorskip("rerun", reason="the Rerun SDK is not installed")
pytest.importorskip("mcap")

SCRIPT = Path(__file__).parents[2] / "examples" / "mcap_to_rerun.py"


def test_a_result_becomes_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    infer(make_session(), make_source(3), tmp_path / "result.mcap")
    line = ["mcap_to_rerun.py", str(tmp_path / "result.mcap"), "--save", str(tmp_path / "r.rrd")]
    monkeypatch.setattr(sys, "argv", line)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    # Three frames of classes, depth, labels, overlay and record; nobody tells a lens.
    assert capsys.readouterr().out.startswith("15 messages of ")
    assert (tmp_path / "r.rrd").stat().st_size > 10_000


def test_depth_is_in_metres_and_0_where_there_is_none(tmp_path: Path) -> None:
    def network(image: np.ndarray) -> dict[str, np.ndarray]:
        depth = np.full(image.shape[:3], 7.5, np.float32)
        depth[0, 0, :5] = np.inf
        return {"classes": np.full(image.shape[:3], 2, np.uint8), "depth_m": depth}

    infer(replace(make_session(), network=network), make_source(2, fps=10.0), tmp_path / "result.mcap")
    names = runpy.run_path(str(SCRIPT))
    found = {name: (stamp, message) for name, stamp, message in names["messages"](tmp_path / "result.mcap")}
    stamp, depth = found["depth"]
    shown = np.array(names["archetype"]("depth", depth).buffer.as_arrow_array().to_pylist()[0], np.uint8)
    assert stamp == 100_000_000
    np.testing.assert_array_equal(shown.view(np.float32), [0.0] * 5 + [7.5] * (96 * 160 - 5))
    assert names["archetype"]("records", found["records"][1]) is None
