"""What a newcomer meets: examples in every help, a README whose commands parse, links, plain refusals."""

import errno
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from command_line import advmtl
from street_set import write_cityscapes, write_folder

import advmtl.cli.options as cli_options
from advmtl.cli.app import app
from advmtl.config.data import Source
from advmtl.config.files import load_config
from preprocessing.ground.errors import InputError
from preprocessing.sets.cityscapes import frame_path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
FENCED = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def refusal(*arguments: object) -> str:
    """The one line with which a command refuses."""
    result = advmtl(*arguments)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and len(lines) == 1 and lines[0].startswith("error: "), result.output
    return lines[0]


def command_lines(text: str) -> list[list[str]]:
    """The arguments of every `advmtl …` or `… -m advmtl …` in fenced blocks, continued lines joined."""
    found = []
    for block in FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            match = re.search(r"(?:^|&& |-m )advmtl (.*)", line.strip().removeprefix("$ "))
            if match:
                found.append(shlex.split(re.split(r" &&| \|", match[1])[0], comments=True))
    return found


def check_line(arguments: list[str]) -> None:
    """Parse as the command line would, without running. Raises what it would raise."""
    command = GROUP.commands[arguments[0]]
    command.make_context(arguments[0], arguments[1:])


LINES = [(page.name, line) for page in PAGES for line in command_lines(page.read_text())]


@pytest.mark.parametrize(
    ("page", "line"), LINES, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_documented_commands_parse(page: str, line: list[str]) -> None:
    check_line(line)


def test_the_check_of_commands_can_fail() -> None:
    text = "```bash\nadvmtl train model3 \\\n  --date x  # no\ntorchrun -m advmtl evaluate runs/a\n```\nadvmtl prose\n"
    wrong, right = command_lines(text)
    assert wrong == ["train", "model3", "--date", "x"] and right == ["evaluate", "runs/a"]
    check_line(right)
    with pytest.raises(Exception, match="No such option: --date"):
        check_line(wrong)
    assert sum(page == "README.md" for page, _ in LINES) >= 8


def test_relative_links_lead_somewhere() -> None:
    links = [
        (page, link) for page in PAGES for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    ]
    assert len(links) > 10
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_parses_and_is_in_the_readme(command: str) -> None:
    help_text = advmtl(command, "--help").stdout
    assert re.search(r"\bExamples?:", help_text)
    examples = re.findall(rf"advmtl ({command} .*|{command})$", GROUP.commands[command].help, re.MULTILINE)
    assert examples
    for example in examples:
        check_line(shlex.split(example))
    assert re.search(rf"advmtl {command}\b", PAGES[0].read_text())


def test_the_first_page_lists_every_command_whole_and_the_exit_codes() -> None:
    text = advmtl("--help").stdout
    listed = text[text.index("Commands:") :].splitlines()[1:]
    assert sorted(line.split()[0] for line in listed) == COMMANDS
    assert not any("..." in line for line in listed)
    for code in (0, 1, 2, 3, 130):
        assert re.search(rf"\b{code} \w", text)
    assert "First steps" in advmtl().output


def test_configurations_of_the_readme_are_those_there_are() -> None:
    table = re.findall(r"^\| (`.*?) \|", PAGES[0].read_text(), re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    there = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    assert there - {"model2", "model3"} <= named  # "model1 … model4" stands for all four


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a Cityscapes set, a folder pair and a CamVid set in data/."""
    monkeypatch.chdir(tmp_path)
    write_cityscapes(tmp_path / "data" / "city", "train", 1)
    for name in ("left", "right"):
        (tmp_path / "data" / "rig" / name).mkdir(parents=True)
    write_folder(tmp_path / "data" / "cam", 1, labels=True)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("cityscapes:data/ctiy", "did you mean data/city?"),
        ("cityscapes:nothing", "no such folder"),
        ("cityscapes:data/city/leftImg8bit", "found Cityscapes' layout: write cityscapes:data/city"),
        ("cityscapes:data", "write cityscapes:data/city"),
        ("cityscapes:data/rig", "found a folder pair: write rig:data/rig"),
        ("cityscapes:data/cam", "write camvid:data/cam"),
        ("camvid:data/city", "no images/ in it, as camvid has; found Cityscapes' layout: write cityscapes:data/city"),
        (r"cityscapes:C:\data\city", "under WSL write /mnt/c/data/city"),
        (r"cityscapes:C:/data/city:train", "under WSL write /mnt/c/data/city"),
        ("data/city", "write format:root"),
    ],
)
def test_a_wrong_source_says_what_is_there(near: Path, given: str, answer: str) -> None:
    assert answer in refusal("train", "demo", "--data", given)


def test_a_drive_letter_is_part_of_the_root() -> None:
    assert Source.parse(r"cityscapes:C:\data\city:val").root == r"C:\data\city"
    assert Source.parse("cityscapes:D:/city").split is None
    assert Source.parse("cityscapes:x:val").root == "x"  # one letter, but a split behind it


def test_preprocess_says_where_a_set_lies(near: Path) -> None:
    assert "Cityscapes' layout in data/city" in refusal("preprocess", "data")
    assert "did you mean data/city?" in refusal("preprocess", "data/cit")
    (near / "empty").mkdir()
    assert "looked for leftImg8bit/" in refusal("preprocess", "empty")


def test_a_label_that_no_frame_has_names_the_command(near: Path) -> None:
    names = write_cityscapes(near / "data" / "city", "val", 1)
    assert frame_path(Path("data/city"), "disparity", "val", "town", names[0]).is_file()
    for path in (near / "data" / "city" / "disparity").rglob("*.png"):
        path.unlink()
    data = ("--data", "cityscapes:data/city", "data.workers=0")
    assert "run: advmtl preprocess data/city" in refusal("train", "demo", *data)
    for path in (near / "data" / "city" / "gtFine").rglob("*.png"):
        path.unlink()
    line = refusal("train", "demo", *data)
    assert "gtFine_labelIds.png under data/city" in line and "single_depth" in line


def test_the_nearest_configuration_is_named() -> None:
    with pytest.raises(InputError, match="did you mean single_depth"):
        load_config("single_dept")
    with pytest.raises(InputError, match=r"no such file or name; there are baseline"):
        load_config("xyzzy")


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cli_options.device_of("cuda:1").index == 1
    with pytest.raises(InputError, match=r"this machine has 2, cuda:0 to cuda:1"):
        cli_options.device_of("cuda:2")
    with pytest.raises(InputError, match="write auto, cpu or cuda"):
        cli_options.device_of("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="advmtl doctor says why"):
        cli_options.device_of("cuda")


def test_a_full_disk_is_one_line_and_no_bad_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b.png")

    monkeypatch.setattr("preprocessing.job.preprocess", full)
    result = advmtl("preprocess", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: /a/b.png: No space left on device; free some space")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_place_without_rights_is_one_line_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/a/b.png")

    monkeypatch.setattr("preprocessing.job.preprocess", refused)
    result = advmtl("preprocess", tmp_path)
    assert result.exit_code == 1 and len(result.stderr.strip().splitlines()) == 1
    assert "/a/b.png" in result.stderr and "name a place that you may read and write" in result.stderr
