"""`python -m export`: what it prints, and that a failure is one line."""

from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
from standins import make_session, make_source

import export.__main__ as command
from advmtl.cli import stream
from export.stream.infer import infer


def test_a_report_that_cannot_be_written_is_one_line_after_the_figures(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = [str(model_path), str(picture_folder(2)), "--report", str(tmp_path / "file" / "r.json")]
    assert command.main(line) == 1
    printed = capsys.readouterr()
    assert "2 frames" in printed.out and "p50" in printed.out
    (error,) = printed.err.strip().splitlines()
    assert error.startswith("error: ") and str(tmp_path / "file") in error


@pytest.mark.parametrize("name", ["threads", "in_flight"])
def test_both_commands_say_the_same_of_an_option(name: str) -> None:
    (action,) = [one for one in command._parser()._actions if one.dest == name]
    (option,) = get_type_hints(stream.infer, include_extras=True)[name].__metadata__
    assert action.help and action.help == option.help


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "o.mp4")

    monkeypatch.setattr(command, "open_session", lambda *_: make_session())
    monkeypatch.setattr(command, "infer", full)
    assert command.main(["m.onnx", "drive.mp4"]) == 1
    assert capsys.readouterr().err == "error: o.mp4: No space left on device\n"


def test_an_early_end_and_what_is_not_listed_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = infer(make_session(), make_source(3))
    values = {"interrupted": True, "skipped_frames": 9, "skipped": [("a", "broken"), ("b", "broken")]}
    values |= {"faulty_frames": 2, "faulty": [("c", "not finite")]}
    monkeypatch.setattr(command, "open_session", lambda *_: make_session())
    monkeypatch.setattr(command, "infer", lambda *_: type(report)(**(vars(report) | values)))
    assert command.main(["m.onnx", "drive.mp4"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:] == [
        *("skipped b: broken", "and 7 more skipped"),
        *("without a sound result c: not finite", "and 1 more without a sound result"),
        "stopped early; what was done is written",
    ]
