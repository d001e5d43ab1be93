"""`python -m export`: what it prints, and that a failure is one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import advmtl
from standins import make_session, make_source

import export.__main__ as command
from advmtl.infer_options import OPTIONS, InferOptions
from export.stream.stream import infer
from preprocessing.ground.errors import InputError


def test_a_report_that_cannot_be_written_is_one_line_after_the_figures(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / f"{250 * 'r'}.json"  # a name that a disk can have, but not with the ending of a temporary one
    assert command.main([str(model_path), str(picture_folder(2)), "--report", str(report)]) == 1
    printed = capsys.readouterr()
    assert "2 frames" in printed.out and "p50" in printed.out
    (error,) = printed.err.strip().splitlines()
    assert error.startswith("error: ") and str(tmp_path) in error


def test_a_report_below_a_file_is_refused_before_the_first_frame(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = [str(model_path), str(picture_folder(2)), "--report", str(tmp_path / "file" / "r.json")]
    assert command.main(line) == 2
    printed = capsys.readouterr()
    assert "p50" not in printed.out
    (error,) = printed.err.strip().splitlines()
    assert error.startswith("error: --report") and f"{tmp_path / 'file'} is a file" in error


LINE = ["m.onnx", "drive.mp4", "--out", "o.mkv", "--arrays", "a", "--log", "l.jsonl", "--show", "--policy", "every"]
LINE += ["--limit", "7", "--loop", "2", "--reconnect-seconds", "1.5", "--fps", "12.5", "--threads", "3"]
LINE += ["--in-flight", "4", "--provider", "cpu", "--report", "r.json", "--camera", "c.json", "--fx-px", "700"]
LINE += ["--hfov-deg", "60", "--fit", "crop", "--runtime", "openvino", "--undistort", "--crop", "0,8,64,32"]
LINE += ["--camera-size", "640x480", "--camera-fps", "15", "--camera-format", "MJPG", "--camera-exposure", "4"]
LINE += ["--live", "yes", "--waiting", "spin", "--out", "o.rrd", "--raw", "w", "--raw-size", "frame"]
LINE += ["--clouds", "c", "--depth-video", "d.mkv", "--codec", "hevc"]
LINE += ["--topic", "/camera/image_raw"]
LINE += ["--damaged", "keep"]


@pytest.mark.parametrize("line", [LINE[:2], LINE], ids=["defaults", "all"])
def test_both_commands_read_a_line_alike(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[InferOptions] = []

    def refuse(options: InferOptions) -> None:
        asked.append(options)
        raise InputError("enough")

    for place in ("export.__main__", "export.stream", "export.stream.stream"):
        monkeypatch.setattr(f"{place}.infer_from", refuse)
    assert command.main(line) == 2
    assert advmtl("infer", *line).exit_code == 2
    ours, theirs = asked
    assert ours == theirs
    values = vars(ours)
    assert {type(value) for value in values.values()} >= {str, bool, int, float}
    assert all(
        (value != OPTIONS[name].default) == (line is LINE)
        for name, value in values.items()
        if name not in ("model", "source")
    )


@pytest.mark.parametrize("option", ["--limit", "--in-flight"])
def test_a_number_below_the_least_is_refused_by_both(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["m.onnx", "drive.mp4", option, "0"])
    assert ended.value.code == 2 and f"argument {option}: 0 is below 1" in capsys.readouterr().err
    assert advmtl("infer", "m.onnx", "drive.mp4", option, "0").exit_code == 2


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "o.mp4")

    monkeypatch.setattr(command, "infer_from", full)
    assert command.main(["m.onnx", "drive.mp4"]) == 1
    assert capsys.readouterr().err == "error: o.mp4: No space left on device\n"


def test_an_early_end_and_what_is_not_listed_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = infer(make_session(), make_source(3))
    values = {"interrupted": True, "skipped_frames": 9, "skipped": [("a", "broken"), ("b", "broken")]}
    values |= {"faulty_frames": 2, "faulty": [("c", "not finite")]}
    monkeypatch.setattr(command, "infer_from", lambda *_: type(report)(**(vars(report) | values)))
    assert command.main(["m.onnx", "drive.mp4"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:] == [
        *("skipped b: broken", "and 7 more skipped"),
        *("invalid outputs on c: not finite", "and 1 more with invalid outputs"),
        "stopped early; finished frames are written",
    ]


def test_a_defect_is_one_line_and_a_traceback_where_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(options: InferOptions) -> None:
        raise AttributeError("module 'cv2.utils' has no attribute 'logging'\nand more")

    monkeypatch.setattr(command, "infer_from", fail)
    assert command.main(LINE[:2]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said == "error: AttributeError: module 'cv2.utils' has no attribute 'logging' (--debug shows more)"
    assert command.main([*LINE[:2], "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["nan", "inf", "1e-9", "1e9"])
def test_a_rate_that_no_film_has_is_bad_input(rate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "drive.mp4").touch()
    for options in (["--out", str(tmp_path / "o.mp4")], []):  # of what is written, and of a source without times
        assert command.main(["m.onnx", str(tmp_path / "drive.mp4"), "--fps", rate, *options]) == 2
        assert f"--fps {float(rate):g}: give frames a second, 0.001 to 1000" in capsys.readouterr().err
