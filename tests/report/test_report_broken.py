"""Runs that are old, unfinished, damaged or none: the page says so, or one line does."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner
from web_outline import Outline
from written_runs import write_run

from advmtl.cli.app import app
from advmtl.report.page import write_report
from advmtl.report.read import read_run, read_runs
from preprocessing.ground.errors import InputError


def page_of(*runs: Path) -> str:
    out = runs[0].parent / "report.html"
    write_report(runs, out)
    return out.read_text()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_a_row_that_is_being_written_is_ignored(run: Path) -> None:
    before = read_run(run, "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 14, "epo')
    after = read_run(run, "run")
    assert after.train == before.train and after.notes == before.notes == []


def test_lines_that_are_no_rows_are_counted_and_left_out(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_bytes().splitlines()
    lines[1:1] = [b"\xff\xfe\x00", b"[1, 2]", b'{"kind": "train", "step": NaN, "epoch": 0}', b'{"kind": "train"}']
    (run / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    record = read_run(run, "run")
    assert len(record.train) == 6 and record.notes[0].startswith("metrics.jsonl: 4 of 13 lines are not readable")


def test_nan_and_infinity_are_no_points_and_no_figures(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    rows[0]["combined"], rows[1]["depth/supervised"] = float("nan"), float("inf")
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = json.loads((run / "evaluation.json").read_text())
    figures["depth"]["rmse_m"] = float("nan")
    figures["depth"]["bands"][0]["abs_rel"] = float("inf")
    (run / "evaluation.json").write_text(json.dumps(figures))
    text = page_of(run)
    drawn = "".join(attributes.get("points", "") for attributes in Outline(text).all("polyline"))
    assert "nan" not in drawn and "inf" not in drawn
    assert '<th scope="row">RMSE ↓</th>' not in text  # no run has it
    json.loads((run.parent / "report.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("kept", ["config.yaml", "metrics.jsonl", "evaluation.json"])
def test_one_readable_file_is_enough(run: Path, kept: str) -> None:
    shutil.rmtree(run / "panels")
    for file in run.iterdir():
        if file.name != kept:
            file.unlink()
    Outline(page_of(run))


@pytest.mark.parametrize("name", ["config.yaml", "evaluation.json", "evolution.gif", "panels/town_1.png"])
def test_a_damaged_file_is_named_and_the_rest_shown(run: Path, name: str) -> None:
    (run / name).write_bytes(b"{: \x00 garbage")
    text = page_of(run).split('<section id="left-out"')[1]
    assert name.rpartition("/")[2] in text and "not" in text


def test_a_run_that_still_goes_on_shows_its_last_validation(run: Path) -> None:
    (run / "evaluation.json").unlink()
    text = page_of(run)
    assert "From last validation, epoch 3" in text and "mIoU 1.200" in text and "the run is not finished" in text


def test_steps_taken_again_count_once(run: Path) -> None:
    rows = (run / "timing.jsonl").read_text().splitlines()
    again = {**json.loads(rows[-1]), "seconds": 4.0}
    (run / "timing.jsonl").write_text("\n".join([*rows, json.dumps(again)]) + "\n")
    record = read_run(run, "run")
    assert [row["step"] for row in record.timing] == [2, 4, 6, 8, 10, 12] and record.timing[-1]["seconds"] == 4.0


def test_a_run_without_an_epoch_is_drawn_over_steps(run: Path, tmp_path: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(lines[0])
    other = write_run(tmp_path / "other")
    assert ">epoch</text>" in page_of(other) and ">epoch</text>" not in page_of(run, other)


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = read_runs([write_run(tmp_path / "a" / "x"), write_run(tmp_path / "b" / "x")])
    assert [run.name for run in runs] == ["a/x", "b/x"]
    twice = read_runs([tmp_path / "a" / "x"] * 2)  # the same run twice is odd, and no error
    assert len(twice) == 2 and twice[0].name.endswith("a/x")


def test_runs_on_different_data_are_not_ranked(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other")
    figures = json.loads((other / "evaluation.json").read_text())
    figures["measured_on"], figures["depth"]["frames"] = ["rig:drive"], 99
    (other / "evaluation.json").write_text(json.dumps(figures))
    text = page_of(run, other).split('<section id="figures"')[1].split("</section>")[0]
    assert "measured on different data" in text and "<td><strong>" not in text


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    runner = CliRunner()
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.yaml").write_text("a: [")
    for name, reason in (
        ("gone", "no such run folder"),
        ("empty", "no run can be read"),
        ("bad", "config.yaml is not"),
    ):
        with pytest.raises(InputError, match=reason):
            read_runs([tmp_path / name])
        result = runner.invoke(app, ["report", str(tmp_path / name), "--out", str(tmp_path / "page.html")])
        assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
        assert name in result.stderr and not (tmp_path / "page.html").exists()
