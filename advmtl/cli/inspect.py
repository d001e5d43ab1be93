"""The command `inspect`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from preprocessing.ground import InputError


def inspect(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="format:root[:split], a folder, a bag, a configuration or a run."),
    ],
    classes: Annotated[
        str | None, typer.Option(help="Classes of the network: a label set's name or file; default: the labels' own.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Everything as JSON, faults by name.")] = (
        None
    ),
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Contact sheets: picture, labels, depth of some frames.")
    ] = None,
) -> None:
    """Say what a set, a bag or the sources of a configuration hold, and what will be read as what; changes nothing.

    Doubtful things come first, each with its remedy. The splits of a set are looked at as one training would, so frames
    that both have, and classes or scales that only one has, are said too. Exit code 3: frames have faults; 2: nothing
    can be read.

    \b
    Examples:
      advmtl inspect data/synth --pictures sheets
      advmtl inspect folder:yard:train,classes=yard.yaml folder:yard:val,classes=yard.yaml
      advmtl inspect folder:sensor,depth.unit=mm --json sensor.json
      advmtl inspect drive.mcap
      advmtl inspect my_configuration.yaml
    """
    from advmtl.inspection import facts_of, inspect_sources, report_lines, write_sheets
    from preprocessing.ground import told_label_set, write_json

    if json is not None:
        _check_own(json)
    if pictures is not None and pictures.exists() and not pictures.is_dir():
        raise InputError(f"--pictures {pictures}: is a file; give a folder")
    report = inspect_sources(sources, None if classes is None else told_label_set(classes, "--classes"))
    console = Console(soft_wrap=True, emoji=False)
    for kind, text in report_lines(report):
        if kind:
            console.print(f"[{'red' if kind == 'problem' else 'yellow'}]{kind}[/]: ", end="")
        # A file name need not be UTF-8.
        console.print(text.encode("utf-8", "backslashreplace").decode(), markup=False, highlight=False)
    if pictures is not None:
        for path in write_sheets(report, pictures):
            console.print(f"written: {path}", markup=False, highlight=False)
    if json is not None:
        write_json(json, facts_of(report))
        console.print(f"written: {json}", markup=False, highlight=False)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _check_own(path: Path) -> None:
    """Raises: InputError where a file is there that `inspect` has not written."""
    from advmtl.inspection import KIND

    if path.is_dir():
        raise InputError(f"--json {path}: is a folder; give a file")
    if path.exists() and f'"kind": "{KIND}"'.encode() not in path.read_bytes()[:100]:
        raise InputError(f"--json {path}: is there and no report of inspect; give another name")
