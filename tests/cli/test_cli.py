"""The command line through its runner: the whole way on a tiny set, and one line for each mistake."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer
from command_line import advmtl
from street_set import noise, write_cityscapes
from typer.testing import Result

from advmtl.cli.app import app
from advmtl.data import FORMATS
from preprocessing.ground.files import read_image, write_png
from preprocessing.sets.cityscapes import frame_path

SMALL = [
    "encoder.weights=null",
    "generator.channels=16",
    "generator.crp_stages=1",
    "data.size=64x32",
    "data.batch_size=2",
    "data.workers=0",
    "train.epochs=1",
    "train.log_every=1",
    "train.panels=1",
]


def assert_one_line(result: Result, *parts: str, code: int = 2) -> None:
    """Exit code, and one line on standard error with every part and no traceback."""
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for part in parts:
        assert part in lines[0]


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    result = advmtl("train", "demo", "--data", f"cityscapes:{streets}", "--out", folder, *SMALL)
    assert result.exit_code == 0, result.output
    return folder


def test_train_evaluate_predict_export_infer_benchmark(run: Path, streets: Path, tmp_path: Path) -> None:
    assert (run / "evaluation.json").is_file()
    written = tmp_path / "again.json"
    assert advmtl("evaluate", run, "--data", f"cityscapes:{streets}:val", "--out", written).exit_code == 0
    assert json.loads(written.read_text()) == json.loads((run / "evaluation.json").read_text())

    panels = tmp_path / "panels"
    result = advmtl("predict", run, f"cityscapes:{streets}:val", "--out", panels, "--raw")
    assert result.exit_code == 0, result.output
    assert len(list(panels.glob("*_classes.png"))) == 3 and len(list(panels.glob("*_depth.png"))) == 3

    result = advmtl("export", run)
    assert result.exit_code == 0, result.output
    report = json.loads((run / "model.json").read_text())
    assert report["parity"]["outputs"]["classes"]["mean"] <= 0.001 and report["parity"]["frames"] == 3

    pictures = streets / "leftImg8bit" / "val" / "town"
    video = tmp_path / "out.mp4"
    result = advmtl("infer", run / "model.onnx", pictures, "--out", video, "--report", tmp_path / "r.json")
    assert result.exit_code == 0 and video.stat().st_size > 0, result.output
    assert json.loads((tmp_path / "r.json").read_text())["frames"] == 3

    result = advmtl("benchmark", run / "model.onnx", "--iterations", 3, "--report", tmp_path / "b.json")
    assert result.exit_code == 0 and json.loads((tmp_path / "b.json").read_text())["stages"], result.output


def test_a_finished_run_is_continued_not_repeated(run: Path, streets: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    result = advmtl("train", "demo", "--data", f"cityscapes:{streets}", "--out", run, *SMALL)
    assert result.exit_code == 0 and (run / "metrics.jsonl").read_bytes() == before
    assert "resumed at step 3" in result.stdout


def test_preprocess_writes_depth_and_lists_the_bad_frame(tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, "train", 3)
    for number, name in enumerate(names):
        write_png(frame_path(tmp_path, "right", "train", "town", name), noise(50 + number))
    frame_path(tmp_path, "right", "train", "town", names[0]).unlink()
    result = advmtl("preprocess", tmp_path, "--matcher", "sgbm", "--workers", 1)
    assert result.exit_code == 3, result.output
    assert result.stderr.startswith("note: census matching is now called census: write --matcher census")
    assert "2 frames with depth" in result.stdout and f"skipped train/town/{names[0]}: " in result.stdout
    assert len(list((tmp_path / "depth").rglob("*_depth.png"))) == 2
    assert advmtl("preprocess", tmp_path, "--matcher", "dataset", "--workers", 1, "--again").exit_code == 0


def test_synth_makes_a_set_that_preprocess_reads(tmp_path: Path) -> None:
    pytest.importorskip("embreex", reason="the extra synth is not installed")
    result = advmtl("synth", tmp_path / "s", "--scenes", 2, "--size", "96x64", "--workers", 1, "--val-fraction", 0.5)
    assert result.exit_code == 0, result.output
    result = advmtl("preprocess", tmp_path / "s", "--matcher", "dataset", "--workers", 1)
    assert result.exit_code == 0 and "2 frames with depth" in result.stdout


def test_a_truncated_picture_and_a_label_of_another_size_are_left_out_and_named(streets: Path, tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, "train", 5)
    write_cityscapes(tmp_path, "val", 1)
    left = frame_path(tmp_path, "left", "train", "town", names[0])
    left.write_bytes(left.read_bytes()[:-60])
    write_png(frame_path(tmp_path, "labels", "train", "town", names[1]), np.zeros((10, 20), np.uint8))
    result = advmtl("train", "demo", "--data", f"cityscapes:{tmp_path}", "--out", tmp_path / "run", *SMALL)
    assert result.exit_code == 3, result.output
    assert f"skipped {names[0]}" in result.stdout and f"skipped {names[1]}" in result.stdout
    assert "3 frames" in result.stdout
    left_out = json.loads((tmp_path / "run" / "evaluation.json").read_text())["skipped_in_training"]
    assert [frame["name"] for frame in left_out] == names[:2] and "truncated" in left_out[0]["reason"]


def test_evaluate_says_what_was_left_out_and_that_nothing_has_a_label(run: Path, tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, "val", 2)
    left = frame_path(tmp_path, "left", "val", "town", names[0])
    whole = left.read_bytes()
    left.write_bytes(whole[:-60])
    source, out = f"cityscapes:{tmp_path}:val", tmp_path / "out.json"
    result = advmtl("evaluate", run, "--data", source, "--out", out)
    assert result.exit_code == 3 and f"skipped {names[0]}: " in result.stdout, result.output
    assert [frame["name"] for frame in json.loads(out.read_text())["skipped"]] == names[:1]
    left.write_bytes(whole)
    for name in names:
        write_png(frame_path(tmp_path, "labels", "val", "town", name), np.zeros((48, 96), np.uint8))
        frame_path(tmp_path, "disparity", "val", "town", name).unlink()
    result = advmtl("evaluate", run, "--data", source, "--out", tmp_path / "void.json")
    assert_one_line(result, f"{source}: every validation label is void (2 files")
    assert not (tmp_path / "void.json").exists()
    for name in names:
        frame_path(tmp_path, "labels", "val", "town", name).unlink()
    assert_one_line(advmtl("evaluate", run, "--data", source), "no validation frame has a label of any task")


@pytest.mark.parametrize(("failed", "left_out", "code"), [({}, [("f", "gone")], 3), ({"r": "nan"}, [("f", "gone")], 1)])
def test_a_comparison_without_some_frames_ends_with_3(
    failed: dict[str, str],
    left_out: list[tuple[str, str]],
    code: int,
    streets: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    comparison = SimpleNamespace(failed=failed, left_out=left_out)
    monkeypatch.setattr("advmtl.compare.compare", lambda *_, **__: comparison)
    assert advmtl("compare", "baseline", "--data", f"cityscapes:{streets}").exit_code == code


def test_an_unknown_class_id_is_named_when_it_is_read(tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, "train", 2)
    write_cityscapes(tmp_path, "val", 1)
    labels = np.full((48, 96), 77, np.uint8)
    write_png(frame_path(tmp_path, "labels", "train", "town", names[0]), labels)
    result = advmtl("train", "demo", "--data", f"cityscapes:{tmp_path}", "--out", tmp_path / "run", *SMALL)
    assert result.exit_code == 3, result.output  # without that frame
    assert names[0] in result.stdout and "77" in result.stdout


def test_mistakes_are_one_line_and_exit_2(
    run: Path, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--data", f"cityscapes:{streets}"]
    out = ["--out", tmp_path / "r"]
    assert_one_line(advmtl("train", "modell3", *data), "modell3", "model3")
    assert_one_line(advmtl("train", "demo", *data, *out, "train.epoch=3"), "train.epoch", "did you mean epochs?")
    assert_one_line(advmtl("train", "demo", *out), "data.train", "no source given")
    assert_one_line(advmtl("train", "demo", "--data", "kitti:x", *out), "kitti:x")
    assert_one_line(advmtl("train", "demo", "--data", "folder:x", *out), "--val")
    assert_one_line(advmtl("train", "demo", "--data", f"cityscapes:{tmp_path / 'none'}", *out), "none")
    missing = "encoder.weights=missing.pth"
    assert_one_line(advmtl("train", "demo", *data, *out, *SMALL[1:], missing), "missing.pth")
    assert_one_line(advmtl("train", "demo", *data, "--out", run, *SMALL, "seed=9"), "seed is 0 there and 9 here")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_one_line(advmtl("train", "demo", *data, *out, "--device", "cuda:0"), "CUDA")
    assert_one_line(advmtl("synth", tmp_path / "s", "--size", "big"), "--size", "WIDTHxHEIGHT")
    assert_one_line(advmtl("preprocess", tmp_path / "nowhere"), "nowhere")
    assert_one_line(advmtl("preprocess", streets, "--matcher", "magic"), "magic", "census")
    assert_one_line(advmtl("evaluate", tmp_path / "norun"), "norun")
    assert_one_line(advmtl("export", run, "--frames", tmp_path / "nopictures"), "nopictures")
    assert_one_line(advmtl("infer", tmp_path / "m.onnx", streets), "m.onnx")
    assert_one_line(advmtl("infer", run, tmp_path / "v.mp4"), "v.mp4")
    assert_one_line(advmtl("predict", run, tmp_path / "nope"), "nope")
    assert not (tmp_path / "r" / "checkpoints").exists()


def test_debug_shows_the_traceback() -> None:
    result = advmtl("--debug", "train", "modell3")
    assert result.exit_code == 2 and "Traceback" in result.stderr


def test_predict_on_plain_pictures_skips_what_is_no_picture(run: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "in" / "a.png", noise(1))
    (tmp_path / "in" / "b.png").write_bytes(b"not a picture")
    result = advmtl("predict", run, tmp_path / "in", "--out", tmp_path / "out")
    assert result.exit_code == 3 and "skipped b" in result.stdout and "metres are those of" in result.stdout
    assert read_image(tmp_path / "out" / "a.png").std() > 5


COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    """Its purpose, and each of its arguments and options with a sentence."""
    result = advmtl(command, "--help")
    assert result.exit_code == 0
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", result.stdout).split())
    assert COMMANDS[command].help.split("\n")[0].split(".")[0] in words
    for parameter in COMMANDS[command].params:
        if not parameter.hidden:
            assert parameter.help and " ".join(parameter.help.split())[:30] in words, parameter.name
            assert parameter.param_type_name == "argument" or max(parameter.opts, key=len) in words


def test_compare_refuses_what_is_no_comparison(streets: Path, tmp_path: Path) -> None:
    arguments = ("baseline", "baseline:train.epochs=3", "--data", f"cityscapes:{streets}", "--out", tmp_path / "out")
    assert_one_line(advmtl("compare", *arguments), "train.epochs is 60 in baseline and 3 in baseline-epochs-3")
    assert_one_line(advmtl("compare", "train.epochs=3"), "name a configuration")
    assert not (tmp_path / "out").exists()


def test_help_names_every_format_as_its_table_does() -> None:
    """It is read off the formats' files, unimported."""
    text = advmtl("--help").stdout
    for name, one in FORMATS.items():
        assert f"{name}:DIR[:{one.split_word}]" in text and one.holds in text
