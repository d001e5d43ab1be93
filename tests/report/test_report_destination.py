"""A page overwrites its own former self and nothing else."""

from pathlib import Path

import pytest
from typer.testing import CliRunner
from written_runs import write_run

from advmtl.cli.app import app
from advmtl.report.page import write_report
from preprocessing.ground.errors import InputError


def test_a_page_is_html(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in ("p.json", "p", "p.txt"):
        with pytest.raises(InputError, match=r"ending in \.html"):
            write_report([run], tmp_path / name)
        assert not (tmp_path / name).exists()
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="folder"):
        write_report([run], tmp_path / "folder.html")


def test_a_page_beside_a_run_s_own_figures_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = (run / "evaluation.json").read_bytes()
    result = CliRunner().invoke(app, ["report", str(run), "--out", str(run / "evaluation.html")])
    (line,) = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and "evaluation.json" in line and "give another name" in line
    assert (run / "evaluation.json").read_bytes() == before and not (run / "evaluation.html").exists()
    (run / "other.json").write_text("{ garbled")
    with pytest.raises(InputError, match=r"other\.json"):
        write_report([run], run / "other.htm")


def test_a_page_takes_the_place_of_a_former_one(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "page.HTML"
    write_report([run], out, title="first")
    write_report([run], out, title="second")
    assert "second" in out.read_text() and "second" in (tmp_path / "page.json").read_text()
