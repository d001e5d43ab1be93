"""No command replaces what it reads, another of its outputs, or a file that it did not write.

The walk goes over all commands and all their options: a new option has to be put into a table of `cli.own_files`, and
is then tried here.
"""

import json
import os
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from command_line import advmtl
from untouched import lying_in

from advmtl.cli.app import app
from advmtl.cli.own_files import READS, WRITES, OwnFiles
from advmtl.doctor.report import Examination
from preprocessing.ground import Output

GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
# Options that are texts and name no file: a new one that does belongs into a table of `own_files`.
PLAIN = {
    *("size", "hfov_deg", "camera_height", "pitch_deg", "matcher", "precision", "network_size", "device", "split"),
    *("fill", "infinity", "sky", "labels", "setting", "rectify", "labels_on", "left", "right", "left_info"),
    *("right_info", "truth", "init_part", "input", "scales", "sliding_window", "stride", "protocol", "official"),
    *("metrics", "objective", "sampler", "pruner", "reference", "title", "by", "provider", "fit", "target"),
    *("kind", "hidden", "kinds", "method", "light", "season", "streets", "events", "baseline_m"),
    *(
        "calibration",
        "policy",
        "runtime",
        "verify",
        "crop",
        "camera_size",
        "camera_format",
        "live",
        "raw_size",
        "waiting",
        "damaged",
        "topic",
        "codec",
    ),
}
# Outputs that are folders; all others are files, of an ending that the command takes.
SHARED = {("synth", "out"), ("preprocess", "out"), ("quality", "out"), ("train", "out")}
ENDINGS = {
    ("infer", "out"): ".mp4",
    ("report", "out"): ".html",
    ("export", "out"): ".onnx",
    ("calibrate", "out"): ".onnx",
    ("adapt", "out"): ".pt",
}
# Looked at where the other settings are known: `test_export_command`, of the files of each precision.
LATER = {("export", "out")}


def parameters(command: str) -> dict[str, Any]:
    return {one.name: one for one in GROUP.commands[command].params if one.name != "help"}


def kinds_of(command: str) -> dict[str, str]:
    """What each option is declared as, "pathlib.Path | None"."""
    (callback,) = (one.callback for one in app.registered_commands if one.callback.__name__ == command)
    return {name: str(get_args(one.annotation)[0]) for name, one in signature(callback).parameters.items()}


def written(command: str, option: str, path: Path) -> list[Output]:
    return list(WRITES[command][option]("--x", path))


def is_folder(command: str, option: str) -> bool:
    return written(command, option, Path("some.html"))[0].folder if option != "out" or command != "infer" else False


EVERY = [(command, option) for command in COMMANDS for option in WRITES[command]]
FILES = [one for one in EVERY if not is_folder(*one)]
FOLDERS = [one for one in EVERY if is_folder(*one) and one not in SHARED]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_its_place(command: str) -> None:
    own = parameters(command)
    assert isinstance(GROUP.commands[command], OwnFiles)
    assert set(WRITES[command]) | set(READS[command]) <= set(own)
    assert not set(WRITES[command]) & set(READS[command])
    named = {name for name, kind in kinds_of(command).items() if "Path" in kind or "str" in kind}
    unplaced = named - {*WRITES[command], *READS[command], *PLAIN}
    assert unplaced == set(), f"put {unplaced} of {command} into WRITES or READS of advmtl.cli.own_files"
    paths = {name for name, kind in kinds_of(command).items() if "Path" in kind}
    assert paths <= {*WRITES[command], *READS[command]}


def test_the_tables_know_every_command() -> None:
    assert set(WRITES) == set(READS) == set(COMMANDS)
    assert {command for command, _ in EVERY} == {*COMMANDS}, "each writes something"


def line(command: str, given: dict[str, object]) -> list[object]:
    """A command line with these values, and something for every argument that is needed."""
    found: list[object] = [command]
    for name, one in parameters(command).items():
        if one.param_type_name == "argument":
            if name in given:
                found.append(given[name])
            elif one.required:
                found.append("nothing_of_this_name")
        elif name in given:
            found += [one.opts[0], given[name]]
    return found


def refused(before: dict[str, Any], folder: Path, arguments: list[object]) -> str:
    result = advmtl(*arguments)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and len(lines) == 1 and lines[0].startswith("error: "), (arguments, result.output)
    assert lying_in(folder) == before
    return lines[0]


def ways(path: Path) -> Iterator[Path]:
    """Other names of a file or folder: its own, another spelling, through a link, through a linked folder, hard."""
    yield path
    yield path.parent / ".." / path.parent.name / path.name
    linked = path.with_name("linked" + path.suffix)
    linked.symlink_to(path.name)
    yield linked
    (path.parent.parent / "way").symlink_to(path.parent, target_is_directory=True)
    yield path.parent.parent / "way" / path.name
    if path.is_file():
        hard = path.with_name("hard" + path.suffix)
        os.link(path, hard)
        yield hard


READ_AND_WRITTEN = [(*one, read) for one in (*FILES, *FOLDERS) for read in READS[one[0]]]


@pytest.mark.parametrize(("command", "option", "read"), READ_AND_WRITTEN)
def test_what_is_read_is_not_written(command: str, option: str, read: str, tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    if (command, option) in FOLDERS:
        theirs = place / "recording"
        theirs.mkdir()
        (theirs / "a.png").write_bytes(b"a picture")
    else:
        theirs = place / f"recording{ENDINGS.get((command, option), '.json')}"
        theirs.write_bytes(b"a day's drive")
    for way in list(ways(theirs)):
        text = refused(lying_in(tmp_path), tmp_path, line(command, {read: theirs, option: way}))
        assert str(way) in text and "is read" in text and parameters(command)[option].opts[0].lstrip("-") in text


@pytest.mark.parametrize(("command", "option"), [one for one in FILES if one not in LATER])
@pytest.mark.parametrize("content", [b"dear diary", b'{"a": 1}', b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"PK\x03\x04"])
def test_what_the_command_did_not_write_stays(command: str, option: str, content: bytes, tmp_path: Path) -> None:
    theirs = tmp_path / f"theirs{ENDINGS.get((command, option), '.json')}"
    theirs.write_bytes(content)
    if (command, option) == ("calibrate", "out"):
        theirs = theirs.with_suffix(".onnx")
    text = refused(lying_in(tmp_path), tmp_path, line(command, {option: theirs}))
    assert theirs.name in text and "stays" in text
    assert "give another name" in text


@pytest.mark.parametrize(("command", "option"), FILES)
def test_neither_a_folder_nor_a_device_is_a_file(command: str, option: str, tmp_path: Path) -> None:
    folder = tmp_path / f"folder{ENDINGS.get((command, option), '.json')}"
    folder.mkdir()
    given: list[Path] = [] if (command, option) == ("infer", "out") else [folder]  # there, a folder is meant
    if (command, option) not in ENDINGS and (command, option) != ("infer", "log"):  # a log may be a pipe
        os.mkfifo(tmp_path / "pipe.json")
        given.append(tmp_path / "pipe.json")
    for path in given:
        result = advmtl(*line(command, {option: path}))
        assert result.exit_code == 2 and path.name in result.stderr and len(result.stderr.splitlines()) == 1
        assert path.is_dir() == (path == folder) and path.is_fifo() == (path != folder)


@pytest.mark.parametrize(("command", "option"), [*FOLDERS, *sorted(SHARED)])
def test_a_file_is_no_folder(command: str, option: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    for given in (tmp_path / "theirs",):
        values: dict[str, object] = {option: given}
        if command == "synth":
            values["scenes"] = 1
        refused(lying_in(tmp_path), tmp_path, line(command, values))


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("infer", {"log": "x.json", "report": "x.json"}),
        ("infer", {"log": "x.json", "report": "./sub/../X.json"}),
        ("infer", {"out": "x.mp4", "report": "x.mp4"}),
        ("infer", {"out": "d", "report": "d"}),
        ("infer", {"out": "d", "log": "d/000.png"}),
        ("infer", {"arrays": "d", "report": "d/sub/000.npz"}),
        ("calibrate", {"out": "m.onnx", "report": "m.onnx"}),
        ("inspect", {"json": "d/a", "pictures": "d/a"}),
        ("evaluate", {"out": "e.json", "submit": "e.json"}),
    ],
)
def test_two_outputs_are_not_one(
    command: str, values: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    text = refused(lying_in(tmp_path), tmp_path, line(command, dict(values)))
    assert all(parameters(command)[name].opts[0] in text for name in values)


def test_what_goes_with_a_file_stays_too(tmp_path: Path) -> None:
    (tmp_path / "e_frames.jsonl").write_text('{"mine": 1}\n')
    (tmp_path / "page.json").write_text("{}")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "selection.csv").write_text("my own choice\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "table.md").write_text("my own table\n")
    before = lying_in(tmp_path)
    for command, out, named in (
        ("evaluate", "e.json", "e_frames.jsonl"),
        ("report", "page.html", "page.json"),
        ("select", "list", "selection.csv"),
        ("compare", "tables", "table.md"),
    ):
        assert named in refused(before, tmp_path, line(command, {"out": tmp_path / out}))


SOURCES = ["folder:{}", "folder:{}:val", "folder:{},hfov_deg=70", "data.train=[{{format: folder, root: '{}'}}]"]


@pytest.mark.parametrize("text", SOURCES)
def test_the_root_of_a_source_is_what_is_read(text: str, tmp_path: Path) -> None:
    root = tmp_path / "day, one"
    root.mkdir()
    (root / "a.png").write_bytes(b"a picture")
    if "," in text and "hfov" not in text:
        given: dict[str, object] = {"config": "demo", "space": "demo", "overrides": text.format(root), "out": root}
        refused(lying_in(tmp_path), tmp_path, line("tune", given))
        return
    for command, name in (("select", "sources"), ("inspect", "sources"), ("evaluate", "data"), ("predict", "source")):
        option = {"inspect": "pictures", "evaluate": "submit"}.get(command, "out")
        text_ = refused(lying_in(tmp_path), tmp_path, line(command, {name: text.format(root), option: root}))
        assert str(root) in text_


@pytest.mark.parametrize(
    "source",
    ["filesrc location={} ! decodebin ! videoconvert ! appsink", 'filesrc location="{}" ! appsink', "file://{}"],
)
def test_a_file_in_a_pipeline_or_a_url_is_what_is_read(source: str, tmp_path: Path) -> None:
    film = tmp_path / "drive.mp4"
    film.write_bytes(b"a drive")
    text = refused(lying_in(tmp_path), tmp_path, ["infer", "m.onnx", source.format(film), "--out", film])
    assert "SOURCE" in text


def test_the_list_the_lens_and_the_classes_of_a_source_are_read(tmp_path: Path) -> None:
    for key in ("list", "camera", "classes"):
        path = tmp_path / f"{key}.json"
        path.write_text(json.dumps({"ok": True, "measured_on": []}))
        given = {"data": f"folder:nowhere,{key}={path}", "out": path}
        assert "is read" in refused(lying_in(tmp_path), tmp_path, line("evaluate", given))


def test_a_file_of_a_run_is_no_place_for_another_s_report(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "plan.json", "config.yaml", "metrics.jsonl"):
        (run / name).write_text('{"config": 1, "kind": 2}\n')
        for command, option, read in (
            ("infer", "report", "model"),
            ("infer", "log", "model"),
            ("evaluate", "out", "model"),
            ("benchmark", "report", "models"),
            ("affinity", "out", "run"),
        ):
            refused(lying_in(tmp_path), tmp_path, line(command, {read: run, option: run / name}))


def test_an_empty_file_may_be_filled_and_an_earlier_result_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advmtl.doctor.examine", lambda folder: Examination([], ["next"], 1.0))
    (tmp_path / "d.json").touch()
    for _ in range(2):
        assert advmtl("doctor", "--json", tmp_path / "d.json").exit_code == 0
    assert json.loads((tmp_path / "d.json").read_text())["next"] == ["next"]
