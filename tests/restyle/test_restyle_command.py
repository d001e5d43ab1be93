"""`advmtl restyle` through its runner: what goes over, what is refused, what is said."""

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from command_line import advmtl
from street_set import SIZE, write_cityscapes, write_folder
from torch import Tensor, nn
from untouched import lying_in

from advmtl.config import Source
from advmtl.data import index_source
from advmtl.restyle import restyling
from advmtl.restyle.judge import Judge
from advmtl.tasks import TASKS
from preprocessing.ground import label_set_of, read_grey_or_index, read_image, write_png

CUT = ("--size", "64x32", "--steps", 2, "--workers", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 3)
    write_cityscapes(root, "val", 2)
    return root


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark pictures without labels."""
    root = tmp_path_factory.mktemp("drive")
    for number in range(6):
        dark = np.random.default_rng(number).integers(0, 70, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        write_png(root / "images" / f"d{number}.png", dark)
    return root


class Averages(nn.Module):
    """An encoder with one map."""

    def forward(self, image: Tensor) -> list[Tensor]:
        return [nn.functional.avg_pool2d(image, 8)]


class Reversed(nn.Module):
    """Road (0) to the left, car (13) to the right, as the labels have it; the other way round in the dark. It has a
    task more, which nobody asks.
    """

    def __init__(self, classes: int = 19, car: int = 13) -> None:
        super().__init__()
        self.classes, self.car = classes, car
        self.tasks = {name: TASKS[name] for name in ("segmentation", "normals")}
        self.encoder = Averages()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        left = torch.linspace(1, -1, image.shape[-1]).expand(len(image), image.shape[-2], -1)
        bright = image.mean((1, 2, 3)) > -0.8
        road = torch.where(bright[:, None, None], left, -left)
        logits = torch.full((len(image), self.classes, *image.shape[-2:]), -9.0)
        logits[:, 0], logits[:, self.car] = road, -road
        return {"segmentation": logits, "normals": torch.ones(len(image), 3, *image.shape[-2:])}


@pytest.fixture
def reversed_in_the_dark(monkeypatch: pytest.MonkeyPatch, streets: Path) -> None:
    from tiny_run import make_config

    config = make_config(streets, critic=False)

    def load(path: Path | None) -> Judge | None:
        network: Any = Reversed().eval()
        return None if path is None else Judge(network, config, "segmentation", None)

    monkeypatch.setattr(restyling, "load_judge", load)


@pytest.mark.parametrize("method", ["cut", "colour", "histogram"])
def test_a_set_keeps_its_format_labels_depth_and_cameras(
    streets: Path, drive: Path, tmp_path: Path, method: str
) -> None:
    before, out = (lying_in(streets), lying_in(drive)), tmp_path / "new"
    line = ("restyle", streets, "--like", drive, "--out", out, "--run", tmp_path / "run", "--method", method, *CUT)
    result = advmtl(*line)
    assert result.exit_code == 0, result.output
    assert "5 frames" in result.stdout and f"train with cityscapes:{out}:train" in result.stdout
    assert (lying_in(streets), lying_in(drive)) == before
    for role in ("train", "val"):
        source = Source(format="cityscapes", root=str(streets), split=role)
        own = index_source(source, "cityscapes19", role)
        new = index_source(source.model_copy(update={"root": str(out)}), "cityscapes19", role)
        assert [one.name for one in own] == [one.name for one in new]
        for a, b in zip(own, new, strict=True):
            assert a.lens(SIZE) == b.lens(SIZE) and a.labels and b.labels and a.disparity and b.disparity
            assert a.labels.read_bytes() == b.labels.read_bytes() and os.path.samefile(a.disparity, b.disparity)
            np.testing.assert_array_equal(read_grey_or_index(a.disparity), read_grey_or_index(b.disparity))
            assert not np.array_equal(a.picture(), b.picture()) and a.shape() == b.shape()
    rows = [json.loads(text) for text in (out / "restyle.jsonl").read_text().splitlines()]
    assert len(rows) == 5 and all(row["change"] > 0 and ("like" in row) == (method == "colour") for row in rows)
    assert read_image(out / "restyle.png").shape[2] == 3 and read_image(tmp_path / "run/restyle.png").shape[2] == 3
    assert "6 pictures are few" in result.stdout and "3 pictures" not in result.stdout
    pictures = {path: path.read_bytes() for path in (out / "leftImg8bit").rglob("*.png")}
    again = advmtl(*line)
    assert again.exit_code == 0 and "5 frames" in again.stdout and "0 made now" in again.stdout
    assert {path: path.read_bytes() for path in pictures} == pictures
    other = advmtl(*line, "--seed", 4)
    assert other.exit_code == 2 and "made with another seed" in other.stderr


def test_dark_recordings_make_pictures_dark(streets: Path, drive: Path, tmp_path: Path) -> None:
    result = advmtl(
        *("restyle", streets, "--like", drive, "--out", tmp_path / "new", "--run", tmp_path / "run"),
        *("--method", "histogram", "--workers", 1, "--size", "96x48"),
    )
    assert result.exit_code == 0, result.output
    pictures = [read_image(path) for path in (tmp_path / "new/leftImg8bit").rglob("*.png")]
    assert len(pictures) == 5 and all(30 < picture.mean() < 40 for picture in pictures)
    # A finished look, without recordings.
    style = ("--style", tmp_path / "run/restyle.pt", "--out", tmp_path / "again", "--workers", 1)
    refused = advmtl("restyle", streets, *style, "--method", "colour")
    assert refused.exit_code == 2 and "--method and --style: a finished look" in refused.stderr
    assert advmtl("restyle", streets, *style).exit_code == 0
    found = [read_image(path) for path in (tmp_path / "again/leftImg8bit").rglob("*.png")]
    assert all(np.array_equal(a, b) for a, b in zip(found, pictures, strict=True))


def test_a_set_whose_classes_turned_over_is_refused(
    streets: Path, drive: Path, tmp_path: Path, reversed_in_the_dark: None
) -> None:
    line = (
        *("restyle", streets, "--like", drive, "--out", tmp_path / "new", "--run", tmp_path / "run"),
        *("--method", "histogram", "--workers", 1, "--size", "64x32", "--model", "mine.pt"),
    )
    result = advmtl(*line)
    assert result.exit_code == 2 and "0% of the agreement" in result.stderr and "--force" in result.stderr
    assert not (tmp_path / "new").exists() and (tmp_path / "run/restyle.pt").is_file()
    figures = json.loads((tmp_path / "run/figures.json").read_text())
    assert figures["agreement"]["before"]["segmentation"]["pixel_accuracy"] == 1
    assert figures["agreement"]["after"]["segmentation"]["pixel_accuracy"] == 0
    assert figures["agreement"]["kept"] == 0 and figures["agreement"]["with"] == "labels"
    assert figures["frechet"]["pictures"] == 3 and figures["frechet"]["after"] < figures["frechet"]["before"]
    assert "Fréchet distance" in result.stdout and "no FID" in result.stdout
    forced = advmtl(*line, "--force")
    assert forced.exit_code == 0 and "written by --force" in forced.stdout
    assert len(list((tmp_path / "new/leftImg8bit").rglob("*.png"))) == 5
    assert json.loads((tmp_path / "new/restyle_figures.json").read_text())["agreement"]["kept"] == 0
    kept = advmtl(*line[:4], "--run", tmp_path / "run", *line[8:], "--out", tmp_path / "low", "--min-agreement", 0)
    assert kept.exit_code == 0, kept.output


def test_the_judge_is_heard_while_learning(
    streets: Path, drive: Path, tmp_path: Path, reversed_in_the_dark: None
) -> None:
    result = advmtl("restyle", streets, "--like", drive, "--run", tmp_path / "run", *CUT, "--model", "mine.pt")
    assert result.exit_code == 0, result.output
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert row["disagreement/segmentation"] > 0 and row["contrast"] > 0
    assert json.loads((tmp_path / "run/figures.json").read_text())["agreement"]["kept"] == 1


def test_a_source_without_labels_is_compared_with_what_was_seen(
    drive: Path, tmp_path: Path, reversed_in_the_dark: None
) -> None:
    write_folder(tmp_path / "bare", 3)
    result = advmtl(
        *("restyle", tmp_path / "bare", "--like", drive, "--run", tmp_path / "run", "--method", "histogram"),
        *("--workers", 1, "--size", "64x32", "--model", "mine.pt"),
    )
    assert result.exit_code == 0, result.output
    agreement = json.loads((tmp_path / "run/figures.json").read_text())["agreement"]
    assert agreement["with"].startswith("the network's maps") and agreement["kept"] == 0
    assert agreement["before"]["segmentation"]["pixel_accuracy"] == 1


def test_what_cannot_be_is_refused_in_a_line(streets: Path, drive: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    write_folder(tmp_path / "one", 1)
    before = lying_in(tmp_path)
    like, run = ("--like", drive), ("--run", tmp_path / "run")
    given: list[tuple[tuple[object, ...], str]] = [
        ((streets, *run), "--like"),
        ((streets, "--like", f"cityscapes:{streets}:val", *run), "are in"),
        ((streets, "--like", tmp_path / "one", *run), "has 1 readable picture"),
        ((streets, *like, *run, "--out", streets / "new"), "the set that is read"),
        ((streets, *like, *run, "--out", drive / "new"), "the set that is read"),
        ((streets, *like, "--run", drive / "run"), "the set that is read"),
        ((streets, *like, "--run", tmp_path / "mine"), "restyle did not make it"),
        ((streets, *like, *run, "--method", "paint"), "cut, colour, histogram"),
        ((streets, *like, *run, "--objective", "gan"), "lsgan"),
        ((streets, *like, *run, "--size", "66x32"), "multiples of 4"),
        ((streets, *like, *run, "--learning-rate", "nan"), "--learning-rate nan: is more than 0"),
        ((streets, *like, *run, "--adversarial", "inf"), "--adversarial"),
        ((streets, "--style", drive / "images/d0.png", "--out", tmp_path / "new"), "no readable look"),
        ((streets, *like, *run, "--minutes", "nan"), "--minutes nan: is more than 0"),
        ((streets, *like, "--out", tmp_path / "new", "--run", tmp_path / "new"), "which is for the set alone"),
        ((streets, *like, "--out", tmp_path / "new", "--run", tmp_path / "new/run"), "which is for the set alone"),
        ((streets, *like, *run, "--model", tmp_path / "none.pt"), "no such checkpoint"),
        ((streets, *like, *run, "--features", tmp_path / "none.pth"), "--features"),
        ((streets, "--style", tmp_path / "none.pt", "--out", tmp_path / "new"), "no file"),
        ((streets, "--style", tmp_path / "none.pt", *run), "leave one of them out"),
    ]
    for arguments, words in given:
        result = advmtl("restyle", *arguments)
        lines = result.stderr.strip().splitlines()
        assert result.exit_code == 2 and len(lines) == 1 and words in lines[0], (arguments, result.output)
    assert lying_in(tmp_path) == before
    line = ("restyle", streets, *like, *run, "--method", "histogram", "--out", tmp_path / "mine", "--workers", 1)
    result = advmtl(*line)
    assert result.exit_code == 2 and "restyle did not make it" in result.stderr
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_recordings_of_one_colour_are_doubted(streets: Path, drive: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "capped/images/lens_cap.png", np.full((SIZE[1], SIZE[0], 3), 3, np.uint8))
    like = ("--like", drive, "--like", tmp_path / "capped")
    line = ("restyle", streets, *like, "--run", tmp_path / "run", "--method", "colour", "--size", "96x48")
    result = advmtl(*line)
    assert result.exit_code == 0, result.output
    assert "1 of 7 pictures are of one colour (a covered lens?), the first: lens_cap;" in result.output


@pytest.mark.parametrize(("rate", "doubted"), [("0.5", True), ("0.01", False)])
def test_a_learning_rate_that_never_settles_is_doubted(
    streets: Path, drive: Path, tmp_path: Path, rate: str, doubted: bool
) -> None:
    result = advmtl("restyle", streets, "--like", drive, "--run", tmp_path / "run", *CUT, "--learning-rate", rate)
    assert ("rarely settles" in result.output) is doubted, result.output


def test_another_lens_is_doubted(streets: Path, drive: Path, tmp_path: Path) -> None:
    """The set's lens has 200 px of 96; one of 90 degrees has 48."""
    line = ("restyle", streets, "--method", "histogram", "--workers", 1, "--size", "64x32")
    other = advmtl(*line, "--like", f"folder:{drive},hfov_deg=90", "--run", tmp_path / "a")
    assert other.exit_code == 0 and "0.50 of the width, the source's 2.08" in other.stdout
    same = advmtl(*line, "--like", f"folder:{drive},fx_px=200", "--run", tmp_path / "b")
    assert same.exit_code == 0 and "of the width" not in same.stdout


def test_a_model_of_other_classes_is_refused_and_of_some_others_compared_on_what_is_shared(
    streets: Path, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_run import make_config

    def use(classes: list[str]) -> None:
        own = make_config(streets, critic=False)
        config = own.model_copy(update={"data": own.data.model_copy(update={"classes": label_set_of(classes, "mine")})})
        judge = Judge(cast(Any, Reversed(2, 1).eval()), config, "segmentation", None)
        monkeypatch.setattr(restyling, "load_judge", lambda path: judge)

    line = ("restyle", streets, "--like", drive, "--run", tmp_path / "run", "--method", "histogram", "--workers", 1)
    use(["apple", "pear"])
    result = advmtl(*line, "--size", "64x32", "--model", "mine.pt")
    assert result.exit_code == 2 and "apple" in result.stderr and len(result.stderr.strip().splitlines()) == 1
    use(["road", "apple"])  # cars are ignored: what is left is road, all of it right
    result = advmtl(*line, "--size", "64x32", "--model", "mine.pt")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "run/figures.json").read_text())["agreement"]["before"]["segmentation"]
    assert figures["pixel_accuracy"] == 1 and set(figures["iou_per_class"]) == {"road", "apple"}
