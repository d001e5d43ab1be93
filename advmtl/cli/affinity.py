"""The command `affinity`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from preprocessing.ground import InputError

if TYPE_CHECKING:
    from advmtl.affinity import Affinities, Grouping


def affinity(
    run: Annotated[Path, typer.Argument(help="Run folder that was trained with a section affinity.")],
    networks: Annotated[
        int | None, typer.Option(min=1, help="At most so many networks; default: each number up to that of the tasks.")
    ] = None,
    out: Annotated[
        str | None, typer.Option("--json", metavar="PATH", help="Write the figures as JSON; - is standard output.")
    ] = None,
) -> None:
    """Show what each task's step did to the others' losses in a run, and which tasks to train together.

    Z is the share of a task's loss that a step on one objective alone takes away (Fifty et al. 2021): + it helps, − it
    hurts. Measured during training where the configuration has a section affinity, at no more than its share of the
    time; nothing that is computed changes. The groups are those with the highest mean Z, for so many networks.

    \b
    Examples:
      advmtl train three_tasks --data cityscapes:data/synth 'affinity={share: 0.05}'
      advmtl affinity runs/three_tasks --networks 2 --json affinity.json
    """
    from advmtl.affinity import MOST_TASKS, proposals, propose
    from advmtl.report import measured_in, read_run

    found = measured_in(read_run(run, run.name))
    if found is None:
        raise InputError(
            f"{run}: no affinity was measured; train with affinity={{share: 0.05}} (a run may be resumed with it), and "
            "for longer than the steps between two measurements"
        )
    means = {pair: mean.value for pair, mean in found.whole.items()}
    if networks is None:
        proposed = proposals(found.tasks, means)
    elif not 2 <= len(found.tasks) <= MOST_TASKS:
        raise InputError(f"--networks: {len(found.tasks)} tasks were measured; 2 to {MOST_TASKS} can be grouped")
    else:
        proposed = [propose(found.tasks, means, networks)]
    figures = found.to_dict() | {"proposed": [one.to_dict() for one in proposed]}
    if out == "-":
        typer.echo(json.dumps(figures, indent=2))
        return
    if out is not None:
        from preprocessing.ground import write_json

        write_json(Path(out), figures)
    _print(run, found, proposed, networks)


def _print(run: Path, found: "Affinities", proposed: "list[Grouping]", networks: int | None) -> None:
    from advmtl.affinity import group_table, pair_table

    console = Console(soft_wrap=True, emoji=False)
    console.print(f"{run}: {found.count} of {found.steps} steps measured", markup=False, highlight=False)
    _table(pair_table(found))
    if proposed:
        head, rows = group_table(proposed)
        if networks is not None:
            rows[0][0] = str(networks)
        _table((head, rows))


def _table(content: tuple[list[str], list[list[str]]]) -> None:
    head, rows = content
    table = Table(show_edge=False, pad_edge=False)
    for number, name in enumerate(head):
        text: Any = "left" if number < 2 else "right"
        table.add_column(name, justify=text, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(emoji=False).print(table, markup=False)
