"""The command `report`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[Path, typer.Option(help="The page; its metrics go into a .json beside it.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page; default: the runs' names.")] = None,
    frames: Annotated[int, typer.Option(min=0, help="Best and worst frames shown per task and run.")] = 4,
) -> None:
    """Write one self-contained HTML page about runs: settings, curves, metrics, worst frames, speed.

    Example: advmtl report runs/baseline runs/model3 --out report.html
    """
    from advmtl.report import write_report

    size = write_report(runs, out, title=title, frames=frames)
    Console(soft_wrap=True, emoji=False).print(f"written: {out} ({size / 1e6:.1f} MB)", highlight=False)
