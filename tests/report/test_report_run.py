"""A real run from training to its page: what is recorded on the way is what the page shows."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from street_set import TASKS
from typer.testing import CliRunner
from web_outline import Outline

from advmtl.cli.app import app
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.report.page import write_report
from advmtl.report.read import read_run
from advmtl.training.fitting import fit
from preprocessing.sets.cityscapes import frame_path


@pytest.fixture(scope="module")
def run(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {
        **{"tasks": TASKS, "encoder": {"weights": None}, "generator": {"channels": 16, "crp_stages": 1}},
        "discriminators": {"both": {"sees": ["segmentation", "depth"], "objective": "hinge", "channels": 4}},
        "data": {
            **{role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")},
            **{"size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 8},
        },
        "train": {"epochs": 2, "log_every": 1, "warmup_steps": 2, "panels": 1},
    }
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    fit(validate(Config, values, "test"), folder, torch.device("cpu"), Console(quiet=True))
    return folder


def test_the_run_records_what_the_page_needs(run: Path) -> None:
    record = read_run(run, "tiny")
    assert record.notes == []
    for row in record.validation:
        total = row["losses/segmentation/supervised"] + row["losses/depth/supervised"] + row["losses/adversarial"]
        assert row["losses/combined"] == pytest.approx(total)
        assert row["losses/segmentation/cross_entropy"] == pytest.approx(row["losses/segmentation/supervised"])
    # Six steps of two frames, and what came after the last one.
    assert [row["frames"] for row in record.timing] == [2, 2, 2, 2, 2, 2, 0]
    assert record.timing[-1]["validation_s"] > 0 and record.timing[0]["frames_per_s"] > 0
    figures = json.loads((run / "evaluation.json").read_text())
    assert sum(map(sum, figures["segmentation"]["confusion"])) == sum(
        sum(row) for row in record.task("segmentation")["confusion"]
    )
    assert sum(band["pixels"] for band in figures["depth"]["bands"]) == figures["depth"]["pixels"] > 0
    assert [row["frame"] for row in record.frames] == [f"town_000000_{n:06d}" for n in range(3)]


def test_best_and_worst_frames_are_drawn(run: Path, tmp_path: Path) -> None:
    write_report([run], tmp_path / "page.html", frames=1)
    text = (tmp_path / "page.html").read_text()
    part = text.split('<section id="frames"')[1].split("</section>")[0]
    assert len(Outline(f"<main>{part.partition('>')[2]}</main>").all("img")) == 2 * 2 * 4
    assert "<p>Nothing.</p>" in text.split('<section id="left-out"')[1]


def test_data_that_is_gone_costs_the_pictures_only(run: Path, streets: Path, tmp_path: Path) -> None:
    hidden = streets.with_name("hidden")
    streets.rename(hidden)
    try:
        write_report([run], tmp_path / "page.html")
    finally:
        hidden.rename(streets)
    text = (tmp_path / "page.html").read_text()
    assert "best and worst frames are not drawn" in text and "Worst frames of tiny" in text


def test_measuring_an_old_run_again_gives_it_the_records(run: Path) -> None:
    whole = [(run / name).read_bytes() for name in ("evaluation.json", "evaluation_frames.jsonl")]
    old = json.loads(whole[0])
    del old["segmentation"]["confusion"], old["depth"]["bands"]
    (run / "evaluation.json").write_text(json.dumps(old))
    (run / "evaluation_frames.jsonl").unlink()
    assert len(read_run(run, "tiny").notes) == 3
    result = CliRunner().invoke(app, ["evaluate", str(run)])
    assert result.exit_code == 0, result.output
    assert [(run / name).read_bytes() for name in ("evaluation.json", "evaluation_frames.jsonl")] == whole


def test_numbers_of_a_list_stand_on_one_line(run: Path) -> None:
    lines = (run / "evaluation.json").read_text().splitlines()
    assert sum(line.strip().startswith("[") and line.count(",") >= 18 for line in lines) == 19
    assert len(lines) < 160


def test_frames_that_cannot_be_read_are_told(run: Path, streets: Path, tmp_path: Path) -> None:
    path = frame_path(streets, "labels", "val", "town", "town_000000_000000")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        write_report([run], tmp_path / "page.html", frames=2)
    finally:
        path.write_bytes(content)
    text = (tmp_path / "page.html").read_text()
    assert "1 of the best and worst frames could not be read again" in text
