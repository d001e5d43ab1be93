"""The command `doctor`."""

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from preprocessing.ground import EXIT_FAILED, InputError

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "cyan", "broken": "bold red"}

if TYPE_CHECKING:
    from advmtl.doctor import Finding


def doctor(
    report: Annotated[
        str | None, typer.Option("--json", metavar="PATH", help="Write the findings as JSON; - is standard output.")
    ] = None,
) -> None:
    """Check what this machine can run: packages, devices, providers, video, weights; and print what to do next.

    \b
    Examples:
      advmtl doctor
      advmtl doctor --json doctor.json

    Nothing is downloaded. Every line is ok, warning, missing (optional) or broken (needed), with a remedy. Exit code 0
    where nothing is broken, else 1.
    """
    from advmtl.doctor import examine

    found = examine(Path.cwd())
    text = json.dumps(found.to_dict(), indent=2) + "\n"
    if report == "-":
        typer.echo(text, nl=False)
    else:
        if report is not None:
            _write(Path(report), text)
        _print(found)
    if not found.ok:
        raise typer.Exit(EXIT_FAILED)


def _write(path: Path, text: str) -> None:
    # Not by preprocessing.ground.files, which needs OpenCV: this must work where that is broken.
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json {path}: {error.strerror or error}") from None


def _fewer(lines: "list[Finding]") -> "list[Finding]":
    """One line for all packages that are right; the JSON has each."""
    right = [line for line in lines if line.section == "packages" and line.status == "ok"]
    if not right:
        return lines
    listed = ", ".join(f"{line.name} {line.found}" for line in right)
    from advmtl.doctor import Finding

    return [Finding("packages", "as needed", "ok", listed), *(line for line in lines if line not in right)]


def _print(found: Any) -> None:
    table = Table("", "what", show_edge=False, pad_edge=False)
    for heading in ("found", "remedy"):
        table.add_column(heading, overflow="fold")  # a path that is cut short cannot be copied
    for section, lines in groupby(found.lines, key=lambda line: line.section):
        table.add_row("", f"[bold]{section}[/]", "", "")
        for line in _fewer(list(lines)):
            status = f"[{_COLOURS[line.status]}]{line.status}[/]"
            table.add_row(status, escape(line.name), escape(line.found), escape(line.remedy))
    console = Console(emoji=False)
    console.print(table)
    counts = {status: sum(line.status == status for line in found.lines) for status in _COLOURS}
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    plain = Console(soft_wrap=True, emoji=False)
    plain.print(f"{summary}; {found.seconds:.0f} s", highlight=False)
    for line in found.next:
        plain.print(f"next: {line}", markup=False, highlight=False)
