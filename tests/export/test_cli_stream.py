"""infer and benchmark through the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import advmtl


def test_infer_into_everything(model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path) -> None:
    folder = picture_folder(3)
    paths = {name: tmp_path / f"out.{name}" for name in ("mkv", "arrays", "jsonl", "json")}
    result = advmtl(
        *("infer", model_path, folder, "--loop", 2, "--out", paths["mkv"], "--arrays", paths["arrays"]),
        *("--log", paths["jsonl"], "--report", paths["json"], "--threads", 1, "--policy", "every", "--in-flight", 2),
        *("--out", tmp_path / "drawn", "--raw", tmp_path / "raw"),
    )
    assert result.exit_code == 0, result.output
    report = json.loads(paths["json"].read_text())
    assert (report["frames"], report["policy"], len(report["out"])) == (6, "every", 5)
    # The second round's names are taken, so it gets a number.
    assert len(list(paths["arrays"].glob("*.npz"))) == len(paths["jsonl"].read_text().splitlines()) == 6
    assert len(list((tmp_path / "drawn").iterdir())) == 6 and len(list((tmp_path / "raw").iterdir())) == 12
    assert paths["mkv"].stat().st_size > 0


def test_frames_left_out_are_an_exit_code(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = picture_folder(3)
    (folder / "001.png").write_bytes(b"broken")
    result = advmtl("infer", model_path, folder)
    assert result.exit_code == 3 and "skipped 001.png" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policy", "newest"], "policy 'newest'"),
        (["--out", "x.avi"], "x.avi"),
        (["--out", "x.mp4", "--codec", "vp9"], "codec 'vp9': choose auto, h264"),
        (["--raw", "x", "--raw-size", "double"], "--raw-size double"),
        (["--provider", "metal"], "metal"),
        (["--arrays", "/dev/null/x"], "/dev/null/x"),
        (["--policy", "latest", "--in-flight", "2"], "in flight: with policy latest"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str], message: str, model_path: Path, picture_folder: Callable[[int], Path]
) -> None:
    result = advmtl("infer", model_path, picture_folder(1), *options)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line


def test_benchmark_of_two_models(model_path: Path, tmp_path: Path) -> None:
    line = ("benchmark", "--size", "200x120", "--iterations", 4, "--warm-up", 1, "--report", tmp_path / "b.json")
    result = advmtl(*line, model_path, model_path)
    assert result.exit_code == 0 and "times the first" in result.stdout, result.output
    models = json.loads((tmp_path / "b.json").read_text())["models"]
    assert [model["frame_size"] for model in models] == [[200, 120]] * 2 and models[0]["ratio"] == 1
    assert {"p50_ms", "p90_ms", "p99_ms"} <= models[1]["stages"]["end to end"].keys()
    assert advmtl(*line, model_path).exit_code == 0
    assert json.loads((tmp_path / "b.json").read_text())["iterations"] == 4
    assert advmtl("benchmark", tmp_path / "none.onnx").exit_code == 2
