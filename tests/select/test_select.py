"""The command on small sets: the list, what is in it, what is skipped, and one line for each mistake."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import advmtl
from PIL import Image
from street_set import PLAIN, noise, write_cityscapes
from typer.testing import Result

from advmtl.config.data import Source
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.index import index_source
from advmtl.data.label_budget import keep_labels
from advmtl.networks.generator import Generator
from advmtl.select import selection
from advmtl.select.features import find_frames, measure_frames
from advmtl.tasks import TASKS
from advmtl.training.checkpoint import load_generator, save_checkpoint
from advmtl.training.state import generator_from
from preprocessing.ground.files import read_image, write_png
from preprocessing.sets.cityscapes import frame_path

SMALL: dict[str, Any] = {
    "tasks": {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}},
    "encoder": {"weights": None},
    "generator": {"channels": 16, "crp_stages": 1},
    "data": {"size": "64x32", "batch_size": 4, "workers": 0, "augment": PLAIN},
}


def write_run(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A run folder with random weights, which is all that choosing asks for."""
    config = validate(Config, {**SMALL, **changes}, "test")
    torch.manual_seed(seed)
    generator: Generator = generator_from(config, pretrained=False)
    save_checkpoint(folder / "checkpoints" / "best.pt", {"ema": generator.state_dict()}, config)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "teacher")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out the list goes into the folder one is in."""
    monkeypatch.chdir(tmp_path)


def scene(seed: int) -> np.ndarray:
    """A picture of few large patches: unlike noise, each is different at any scale."""
    patches = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return patches.repeat(20, 0).repeat(24, 1)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Five scenes, the first of which is recorded four times while the car stands."""
    for number, seed in enumerate([0, 0, 0, 0, 1, 2, 3, 4]):
        write_png(tmp_path / "drive" / "images" / f"f{number}.png", scene(seed))
    return tmp_path / "drive"


def listed(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "selection.json").read_text())
    return content


def assert_one_line(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for part in parts:
        assert part in lines[0]


def test_a_standing_car_is_labelled_once(run: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = advmtl("select", run, f"folder:{recordings}", "--count", 8, "--out", out)
    assert result.exit_code == 0, result.output
    assert "8 of 8 frames chosen" in result.stdout
    content = listed(out)
    standing = {"f0", "f1", "f2", "f3"}
    assert len(standing & set(content["frames"][:5])) == 1
    assert [row["rank"] for row in content["chosen"] if "repeats" in row["reason"]] == [6, 7, 8]
    assert sorted(content["frames"]) == sorted({f"f{n}" for n in range(8)})
    assert content["radius"][4] == pytest.approx(0, abs=1e-4)


def test_the_list_is_the_same_in_csv_and_json_and_again(run: Path, recordings: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        assert advmtl("select", run, f"folder:{recordings}", "--count", 4, "--out", tmp_path / out).exit_code == 0
    for name in ("selection.csv", "selection.json", "selection.jpg", "coverage.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    content = listed(tmp_path / "a")
    with (tmp_path / "a" / "selection.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == content["frames"] == [row["frame"] for row in content["chosen"]]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] and rows[0]["distance"] == ""
    assert rows[1]["image"] == f"images/{rows[1]['frame']}.png" and (recordings / rows[1]["image"]).is_file()
    assert float(rows[1]["distance"]) == pytest.approx(content["chosen"][1]["distance"])
    assert rows[0]["source"] == f"folder:{recordings}" and rows[0]["disagreement"] == ""


def test_the_sheet_shows_the_frames_in_their_order(run: Path, recordings: Path, tmp_path: Path) -> None:
    assert advmtl("select", run, f"folder:{recordings}", "--count", 5, "--out", tmp_path / "o").exit_code == 0
    sheet = np.asarray(Image.open(tmp_path / "o" / "selection.jpg"))
    for number, row in enumerate(listed(tmp_path / "o")["chosen"]):
        corner = 258 * number  # thumbnails of 256 px, 2 px apart, under two lines of text
        tile = sheet[36 : 36 + 160, corner : corner + 256]
        wanted = read_image(recordings / row["image"]).repeat(3, 0).repeat(3, 1)[:160, :256]
        centres = np.s_[27:160:53, 32:256:64]  # of the patches
        difference = tile[centres].astype(int) - read_image(recordings / row["image"])[10::20, 12::24].astype(int)
        assert wanted.size and np.abs(difference).mean() < 8
    assert read_image(tmp_path / "o" / "coverage.png").shape[1] > 600


def test_labelled_frames_are_chosen_already(run: Path, tmp_path: Path) -> None:
    """Of a set with labels on two frames, these are never chosen and the others are compared with them."""
    for number, seed in enumerate([0, 1, 0, 1, 2]):
        write_png(tmp_path / "images" / f"f{number}.png", scene(seed))
    for name in ("f0", "f1"):
        write_png(tmp_path / "labels" / f"{name}.png", np.zeros((60, 96), np.uint8))
    result = advmtl("select", run, f"folder:{tmp_path}", "--count", 3, "--out", tmp_path / "o")
    assert result.exit_code == 0 and "in addition to 2 labelled before" in result.stdout, result.output
    content = listed(tmp_path / "o")
    assert content["frames"] == ["f4", "f2", "f3"] and content["candidates"] == 3 and content["labelled"] == 2
    assert content["chosen"][0]["distance"] > 0.1
    result = advmtl("select", run, f"folder:{tmp_path}", "--ignore-labels", "--count", 9, "--out", tmp_path / "all")
    assert result.exit_code == 0 and "5 of 5 frames chosen (all there are, 9 were asked for)" in result.stdout


def test_what_was_labelled_before_is_in_the_list_for_the_trainer(run: Path, tmp_path: Path) -> None:
    """Two rounds: after the first frames have labels, a budget of the second list keeps those of both."""
    for number in range(6):
        write_png(tmp_path / "new" / "images" / f"f{number}.png", scene(number))
    for name in ("f1", "f9"):
        write_png(tmp_path / "old" / "images" / f"{name}.png", scene(7))
    for name in ("f2", "f5"):
        write_png(tmp_path / "new" / "labels" / f"{name}.png", np.zeros((60, 96), np.uint8))
    arguments = ["select", run, f"folder:{tmp_path / 'new'}", "--count", 2, "--labelled", f"folder:{tmp_path / 'old'}"]
    assert advmtl(*arguments, "--out", tmp_path / "o").exit_code == 0
    content = listed(tmp_path / "o")
    assert (
        content["labelled_frames"] == ["f2", "f5"] and content["labelled"] == 4
    )  # other sources' are not of this list
    records = index_source(Source.parse(f"folder:{tmp_path / 'new'}"), "cityscapes19", "train")
    records = [replace(record, labels=record.image) for record in records]  # now all have labels
    kept = keep_labels(records, str(tmp_path / "o" / "selection.json"), 0)
    assert {record.name for record in kept if TASKS["segmentation"].has(record)} == {"f2", "f5", *content["frames"]}
    twice = [*arguments[:-2], "--labelled", f"folder:{tmp_path / 'new'}"]
    assert_one_line(advmtl(*twice), "have labels already")
    assert advmtl(*arguments[:3], "--ignore-labels", "--out", tmp_path / "all").exit_code == 0
    assert listed(tmp_path / "all")["labelled_frames"] == []


def test_labelled_frames_of_another_source_and_the_same_picture_in_both(run: Path, tmp_path: Path) -> None:
    for number in range(4):
        write_png(tmp_path / "new" / "images" / f"f{number}.png", scene(number))
    for number in (1, 7):  # one has the same content under the same name; it is another file
        write_png(tmp_path / "old" / "images" / f"f{number}.png", scene(number))
    known = ["--labelled", f"folder:{tmp_path / 'old'}"]
    result = advmtl("select", run, f"folder:{tmp_path / 'new'}", *known, "--count", 4, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert listed(tmp_path / "o")["frames"][-1] == "f1" and listed(tmp_path / "o")["labelled"] == 2
    both = ["--labelled", f"folder:{tmp_path / 'new'}"]
    assert_one_line(advmtl("select", run, f"folder:{tmp_path / 'new'}", *both), "all 4 frames have labels already")
    twice = [f"folder:{tmp_path / 'new'}", f"folder:{tmp_path / 'new'}"]
    assert advmtl("select", run, *twice, "--out", tmp_path / "t").exit_code == 0
    assert sorted(listed(tmp_path / "t")["frames"]) == ["f0", "f1", "f2", "f3"]
    namesakes = [f"folder:{tmp_path / 'new'}", f"folder:{tmp_path / 'old'}"]
    assert_one_line(advmtl("select", run, *namesakes, "--out", tmp_path / "n"), "f1: a frame of this name is in")


def test_a_student_adds_its_disagreement_and_prefers_where_it_is_large(
    run: Path, recordings: Path, tmp_path: Path
) -> None:
    student = write_run(tmp_path / "student", seed=1)
    arguments = ["select", run, f"folder:{recordings}", "--student", student, "--count", 2, "--pool", 2]
    assert advmtl(*arguments, "--out", tmp_path / "both").exit_code == 0
    assert advmtl(*arguments, "--by", "disagreement", "--count", 8, "--out", tmp_path / "d").exit_code == 0
    both, ranked = listed(tmp_path / "both"), listed(tmp_path / "d")
    gaps = [row["disagreement"] for row in ranked["chosen"]]
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 0
    assert both["by"] == "both" and both["pool"] == 2 and both["frames"][0] == ranked["frames"][0]
    assert set(both["frames"]) <= set(ranked["frames"][:4])
    same = {row["frame"]: row["disagreement"] for row in ranked["chosen"]}
    assert same["f0"] == pytest.approx(same["f3"], rel=1e-4)


def test_unreadable_frames_are_left_out_and_listed(run: Path, recordings: Path, tmp_path: Path) -> None:
    """A truncated file shows at the start; one with a garbled middle only when it is read."""
    truncated, garbled = (recordings / "images" / name for name in ("f4.png", "f5.png"))
    truncated.write_bytes(truncated.read_bytes()[:-20])
    write_png(garbled, noise(5))
    content = bytearray(garbled.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    garbled.write_bytes(bytes(content))
    result = advmtl("select", run, f"folder:{recordings}", "--count", 8, "--out", tmp_path / "o")
    assert result.exit_code == 3, result.output
    assert "skipped f4: " in result.stdout and "skipped f5: " in result.stdout and "6 of 6" in result.stdout
    listing = listed(tmp_path / "o")
    assert [one["frame"] for one in listing["skipped"]] == ["f4", "f5"]
    assert not {"f4", "f5"} & set(listing["frames"])


def test_a_frame_does_not_take_its_namesake_of_another_source_with_it(
    run: Path, recordings: Path, tmp_path: Path
) -> None:
    """Both are in one batch; the one that has labels breaks after it was listed."""
    write_png(tmp_path / "old" / "images" / "f1.png", scene(9))
    sources = [Source.parse(f"folder:{folder}") for folder in (recordings, tmp_path / "old")]
    generator, config = load_generator(run)
    frames = find_frames(sources[:1], sources[1:], config)
    assert [record.name for record in frames.records[1:3]] == ["f1", "f1"]
    (tmp_path / "old" / "images" / "f1.png").write_bytes(b"no picture")
    left = measure_frames(frames, generator, config, torch.device("cpu")).frames
    assert [record.name for record in left.records] == [f"f{n}" for n in range(8)]
    assert left.labelled == [False] * 8 and [one.name for one in left.skipped] == ["f1"]


def test_frames_of_sources_with_other_sizes_are_compared(run: Path, recordings: Path, tmp_path: Path) -> None:
    """The run has seen one source at a size of its own; batches never mix sizes."""
    write_cityscapes(tmp_path / "city", "train", 3)
    own = {"format": "folder", "root": str(recordings), "size": "96x64"}
    seen = write_run(tmp_path / "seen", data={**SMALL["data"], "train": [own]})
    sources = [f"folder:{recordings}", f"cityscapes:{tmp_path / 'city'}:train"]
    frames = find_frames([Source.parse(one) for one in sources], [], load_generator(seen)[1], ignore_labels=True)
    assert frames.sizes == [(96, 64), (64, 32)]
    assert advmtl("select", seen, *sources, "--ignore-labels", "--out", tmp_path / "o").exit_code == 0
    assert listed(tmp_path / "o")["candidates"] == 11


def test_what_cannot_be_chosen_is_one_line(run: Path, recordings: Path, tmp_path: Path) -> None:
    source = f"folder:{recordings}"
    assert_one_line(advmtl("select", tmp_path / "none", source), "none", "no such checkpoint")
    assert_one_line(advmtl("select", run, f"folder:{tmp_path / 'nowhere'}"), "nowhere")
    assert_one_line(advmtl("select", run, "recordings"), "format:root")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    assert_one_line(advmtl("select", run, f"folder:{tmp_path / 'empty'}"), "empty", "no frames found")
    assert_one_line(advmtl("select", run, source, "--by", "both"), "--student")
    assert_one_line(advmtl("select", run, source, "--student", run), "is the teacher itself")
    depthless = write_run(tmp_path / "depthless", tasks={"segmentation": SMALL["tasks"]["segmentation"]})
    assert_one_line(advmtl("select", run, source, "--student", depthless), "depthless", "predicts no depth")
    assert_one_line(advmtl("select", depthless, source, "--student", run), "depthless", "predicts no depth")
    other = write_run(tmp_path / "other", depth={"max_m": 120})
    assert_one_line(advmtl("select", run, source, "--student", other), "1 to 120 m", "1 to 80 m")
    larger = write_run(tmp_path / "larger", data={**SMALL["data"], "size": "96x64"})
    assert_one_line(advmtl("select", run, source, "--student", larger), "96x64", "64x32")
    assert_one_line(advmtl("select", run, source, "--pool", "inf"), "--pool inf: is no number")
    assert advmtl("select", run, source, "--pool", "nan").exit_code == 2
    for picture in (recordings / "images").iterdir():
        picture.write_bytes(b"no picture")
    assert_one_line(advmtl("select", run, source, "--out", tmp_path / "o"), "no frame to choose from is readable")
    assert not (tmp_path / "o").exists()


def test_a_place_that_cannot_hold_the_list_is_told_before_measuring(
    run: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("measured in vain")

    monkeypatch.setattr(selection, "measure_frames", measured)
    (tmp_path / "file").write_text("kept")
    for out, why in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "below", f"{tmp_path / 'file'} is a file")):
        assert_one_line(advmtl("select", run, f"folder:{recordings}", "--out", out), f"--out {out}: {why}")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_huge_pool_is_all_frames(run: Path, recordings: Path, tmp_path: Path) -> None:
    student = write_run(tmp_path / "student", seed=1)
    arguments = ["select", run, f"folder:{recordings}", "--student", student, "--count", 20, "--pool", "1e308"]
    assert advmtl(*arguments, "--out", tmp_path / "o").exit_code == 0
    assert len(listed(tmp_path / "o")["frames"]) == 8


def test_a_depthless_run_chooses_by_diversity(recordings: Path, tmp_path: Path) -> None:
    alone = write_run(tmp_path / "alone", tasks={"segmentation": SMALL["tasks"]["segmentation"]})
    assert advmtl("select", alone, f"folder:{recordings}", "--count", 3, "--out", tmp_path / "o").exit_code == 0


def test_a_source_with_another_label_set_than_the_runs(run: Path, tmp_path: Path) -> None:
    """A run with Cityscapes' classes can look at CamVid's pictures: what their labels say does not matter here."""
    for number in range(3):
        write_png(tmp_path / "images" / "train" / f"f{number}.png", scene(number))
    write_png(tmp_path / "labels" / "train" / "f1.png", np.zeros((60, 96), np.uint8))
    assert advmtl("select", run, f"camvid:{tmp_path}:train", "--out", tmp_path / "o").exit_code == 0
    assert sorted(listed(tmp_path / "o")["frames"]) == ["f0", "f2"]


def test_the_command_explains_itself() -> None:
    result = advmtl("select", "--help")
    assert result.exit_code == 0 and "advmtl select runs/model3 folder:recordings --count 50" in result.stdout


def test_cityscapes_paths_stand_below_the_root(run: Path, tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path, "train", 3)
    assert advmtl("select", run, f"cityscapes:{tmp_path}", "--ignore-labels", "--out", tmp_path / "o").exit_code == 0
    for row in listed(tmp_path / "o")["chosen"]:
        assert tmp_path / row["image"] == frame_path(tmp_path, "left", "train", "town", row["frame"])
        assert row["frame"] in names
