"""`advmtl evaluate` through its runner: sizes, views, Cityscapes' rules, files, exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import advmtl
from instance_set import write_instances
from street_set import write_cityscapes, write_folder
from tiny_run import CPU, make_config, quiet

from advmtl.training import fit
from preprocessing.ground.files import read_grey_or_index, write_png
from preprocessing.sets.cityscapes import frame_path


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 2)
    write_instances(root, "val", write_cityscapes(root, "val", 2))
    return root


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    fit(make_config(streets, critic=False, epochs=1, panels=0), folder, CPU, quiet())
    return folder


def test_each_manner_has_a_file_of_its_own_and_says_what_it_was(run: Path) -> None:
    before = (run / "evaluation.json").read_bytes()
    result = advmtl("evaluate", run, "--size", "labels", "--flip", "--scales", "1,1.5")
    assert result.exit_code == 0, result.output
    found = json.loads((run / "evaluation_labels_flip_scales1-1.5.json").read_text())
    assert found["measured_as"] == {
        **{"size": "labels", "input": None, "flip": True, "scales": [1.0, 1.5], "window": None, "stride": None},
        **{"shown_at": ["64x32"], "compared_at": ["96x48"]},
    }
    assert found["depth"]["pixels"] == 2 * 96 * 44 and (run / "evaluation.json").read_bytes() == before
    assert "at the labels' size, with the mirror image, at scales 1, 1.5" in " ".join(result.stdout.split())
    result = advmtl("evaluate", run, "--size", "128x64", "--sliding-window", "64x48", "--protocol", "garg")
    assert result.exit_code == 0, result.output
    assert "training showed" in result.output and "are a guess there" in " ".join(result.output.split())
    found = json.loads((run / "evaluation_128x64_window64x48-32x24.json").read_text())
    assert found["measured_as"]["stride"] == "32x24" and found["depth"]["protocols"]["garg"]["frames"] == 2
    assert "protocol garg" in result.stdout


def test_the_default_is_that_of_training(run: Path) -> None:
    result = advmtl("evaluate", run, "--out", run / "again.json")
    assert result.exit_code == 0 and "--size labels measures as published figures are" in result.stdout
    again = json.loads((run / "again.json").read_text())
    assert again == json.loads((run / "evaluation.json").read_text())
    assert again["measured_as"]["size"] == "network" and again["measured_as"]["compared_at"] == ["64x32"]


def test_cityscapes_own_scripts_and_files_for_the_server(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("cityscapesscripts", reason="the extra cityscapes is not installed")
    result = advmtl("evaluate", run, "--official", "cityscapes", "--submit", tmp_path / "maps")
    assert result.exit_code == 0 and "by the scripts, " not in result.stdout, result.output
    found = json.loads((run / "evaluation_labels.json").read_text())
    official = found["official"]["cityscapes"]
    assert official["iou_class"] == pytest.approx(found["segmentation"]["miou"], abs=1e-6)
    assert official["iou_category"] == pytest.approx(found["segmentation"]["miou_categories"], abs=1e-6)
    assert official["iiou_class"] is not None and "2 class maps in" in result.stdout
    maps = sorted((tmp_path / "maps").glob("*_pred_labelIds.png"))
    assert len(maps) == 2 and read_grey_or_index(maps[0]).shape == (48, 96)


def test_a_test_split_is_submitted_though_nothing_can_be_measured(run: Path, streets: Path, tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, "test", 1)
    write_png(frame_path(tmp_path, "labels", "test", "town", names[0]), np.zeros((48, 96), np.uint8))
    frame_path(tmp_path, "disparity", "test", "town", names[0]).unlink()
    source = f"cityscapes:{tmp_path}:test"
    result = advmtl("evaluate", run, "--data", source)
    assert result.exit_code == 2 and "every validation label is void (1 file" in result.stderr
    result = advmtl("evaluate", run, "--data", source, "--submit", tmp_path / "maps", "--out", tmp_path / "e.json")
    assert result.exit_code == 0 and "1 class maps in" in result.stdout, result.output


def test_frames_left_out_are_exit_code_3(run: Path, tmp_path: Path) -> None:
    write_folder(tmp_path, 2, labels=True)
    broken = tmp_path / "images" / "f1.png"
    broken.write_bytes(broken.read_bytes()[:-60])
    result = advmtl("evaluate", run, "--data", f"folder:{tmp_path}", "--out", tmp_path / "e.json")
    assert result.exit_code == 3 and "skipped f1" in result.stdout and (tmp_path / "e.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scales", "1,x"), "--scales 1,x: write numbers"),
        (("--size", "big"), "size big: write network, labels or WIDTHxHEIGHT"),
        (("--sliding-window", "64x32"), "window: 64x32 covers the whole picture"),
        (("--protocol", "grag"), "protocol 'grag': no task is measured so; did you mean garg?"),
        (("--official", "kitti"), "--official kitti: there is cityscapes"),
        (("--submit", "maps", "--size", "64x32"), "write --input 64x32"),
    ],
)
def test_mistakes_are_one_line(run: Path, arguments: tuple[str, ...], message: str) -> None:
    result = advmtl("evaluate", run, *arguments)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and len(lines) == 1 and message in lines[0], result.output


@pytest.mark.slow
def test_an_exported_file_is_measured_as_it_is_deployed(run: Path) -> None:
    assert advmtl("export", run).exit_code == 0
    result = advmtl("evaluate", run / "model.onnx")
    assert result.exit_code == 0, result.output
    ours = json.loads((run / "evaluation.json").read_text())
    found = json.loads((run / "model_evaluation.json").read_text())
    assert found["segmentation"]["pixel_accuracy"] == pytest.approx(ours["segmentation"]["pixel_accuracy"], abs=0.002)
    assert found["depth"]["abs_rel"] == pytest.approx(ours["depth"]["abs_rel"], rel=0.002)
    assert advmtl("evaluate", run / "model.onnx", "--size", "labels").exit_code == 0
    result = advmtl("evaluate", run / "model.onnx", "--flip")
    assert result.exit_code == 2 and "give the run folder" in result.stderr
