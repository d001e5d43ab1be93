"""The command `select`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import Device, device_of
from preprocessing.ground import EXIT_SKIPPED


class _By(StrEnum):
    diversity = "diversity"
    disagreement = "disagreement"
    both = "both"


def select(
    run: Annotated[Path, typer.Argument(help="Run folder or .pt checkpoint: whose features are compared.")],
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Frames to choose from.")],
    count: Annotated[int, typer.Option(min=1, help="Frames to choose.")] = 50,
    by: Annotated[_By | None, typer.Option(help="Default: diversity; with --student both.")] = None,
    student: Annotated[
        Path | None, typer.Option(help="A run trained on less; frames where its depth differs are hard.")
    ] = None,
    labelled: Annotated[
        list[str] | None, typer.Option(help="Source of frames that have labels before; repeatable.")
    ] = None,
    ignore_labels: Annotated[
        bool, typer.Option("--ignore-labels", help="Choose from frames that have labels, too.")
    ] = False,
    pool: Annotated[float, typer.Option(min=1, help="With both: preselection by disagreement, times --count.")] = 3.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed that draws the first frame if no frame has labels.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the list and its pictures.")] = Path("labelling"),
    device: Device = "auto",
) -> None:
    """Select the frames most worth labelling: each far from all selected or labelled ones.

    Frames of SOURCE with a class map count as labelled. Writes selection.csv and selection.json (the list, in the order
    in which to label), selection.jpg (the frames on one sheet) and coverage.png (how much each further frame brings).
    Exit code 3 where frames could not be read; the others are ranked.

    \b
    Examples:
      advmtl select runs/model3 folder:recordings --count 50
      advmtl select runs/model3 folder:recordings --labelled cityscapes:city:train --out next
      advmtl select runs/all_depth folder:recordings --student runs/first_50 --count 50
    """
    from advmtl.config import Source
    from advmtl.select import Rule
    from advmtl.select import select as choose

    rule = Rule((by.value if by else "both" if student else "diversity"), pool, seed)
    chosen = choose(
        run,
        [Source.parse(text) for text in sources],
        count,
        out,
        rule,
        device_of(device),
        student=student,
        labelled=[Source.parse(text) for text in labelled or []],
        ignore_labels=ignore_labels,
    )
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    for one in chosen.skipped:
        console.print(f"skipped {one.name}: {one.reason}")
    all_of_them = f" (all there are, {count} were asked for)" if len(chosen.rows) < count else ""
    known = f", in addition to {chosen.labelled} labelled before" if chosen.labelled else ""
    console.print(f"{len(chosen.rows)} of {chosen.candidates} frames chosen{all_of_them}{known}")
    first, last = chosen.picks[0], chosen.picks[-1]
    console.print(f"farthest frame from a chosen one: {first.radius:.2f} after the first, {last.radius:.2f} after all")
    console.print(f"written: {out}/selection.csv, selection.json, selection.jpg, coverage.png")
    if chosen.skipped:
        raise typer.Exit(EXIT_SKIPPED)
