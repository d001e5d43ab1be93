"""Metrics of an evaluation as tables with units."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from advmtl.tasks import TASKS, Task

# Of every metric of `evaluation.json`; "1" is a share or ratio without unit.
UNITS: dict[str, str] = {
    one.name: one.unit for task in TASKS.values() for one in task.learning.figures if not one.per_class
}
# Whether more is better, for the metrics that rank models.
HIGHER_IS_BETTER: dict[str, bool] = {
    one.name: one.higher_is_better
    for task in TASKS.values()
    for one in task.learning.figures
    if one.higher_is_better is not None and not one.per_class
}


def main_metrics(task: Task) -> list[str]:
    """Names of a task's metrics that stand in tables of models, in order."""
    return [one.name for one in task.learning.figures if one.main]


def print_corruptions(
    found: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS, console: Console | None = None
) -> None:
    """Print a table a task of its first main figure by kind and strength, and the mean over all."""
    console = console or Console(emoji=False)
    for task in found["clean"]:
        figure = main_metrics(tasks[task])[0]
        table = Table(title=f"{task}: {figure} [{UNITS.get(figure, '1')}] under corruptions, strengths 1 to 5")
        table.add_column("kind")
        for name in ("1", "2", "3", "4", "5", "mean"):
            table.add_column(name, justify="right")
        for kind, one in found["kinds"].items():
            values = [row[task][figure] for row in one["strengths"]]
            table.add_row(kind, *map(_cell, values), _cell(one["mean"][task][figure]))
        table.add_section()
        mean, relative = found["mean"][task][figure], found["relative"][task][figure]
        table.add_row("mean", *[""] * 5, _cell(mean), style="bold")
        table.add_row("as they are", *[""] * 5, _cell(found["clean"][task][figure]))
        table.add_row("mean / as they are", *[""] * 5, _cell(relative))
        console.print(table)
    for kind, why in found.get("left_out", {}).items():
        console.print(f"{kind}: left out, {why}", style="yellow", highlight=False)
    if found["depth"] == "guessed":
        console.print("no frame has depth: fog and the like take them for flat streets", highlight=False)


def result_table(result: Mapping[str, Any], title: str = "Evaluation", tasks: Mapping[str, Task] = TASKS) -> Table:
    """Metrics with their units, one column for all sources and one for each where there are several."""
    columns = {"all": result, **result["sources"]} if "sources" in result else {"value": result}
    table = Table(title=title)
    table.add_column("metric", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for name in columns:
        table.add_column(_short(name), justify="right", overflow="fold")
    for name, task in tasks.items():
        parts = [column.get(name, {}) for column in columns.values()]
        figures = [
            figure
            for figure in task.learning.figures
            if not figure.per_class and any(figure.name in part for part in parts)
        ]
        if figures:
            table.add_row(name, style="bold")
        for figure in figures:
            table.add_row(f"  {figure.name}", figure.unit, *(_cell(part.get(figure.name)) for part in parts))
        table.add_section()
    return table


def _short(source: str) -> str:
    """`format:root[:split]` with only the root's last part; the whole name stands in evaluation.json."""
    return ":".join(part.rstrip("/").rpartition("/")[2] for part in source.split(":"))


def _cell(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.4f}"


def class_table(result: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> Table | None:
    """IoU of every class, PQ of those with instances; – where a class is in neither truth nor prediction.

    None where no metric is given per class.
    """
    found = {
        figure.title: result[name][figure.name]
        for name, task in tasks.items()
        for figure in task.learning.figures
        if figure.per_class and result.get(name, {}).get(figure.name)
    }
    if not found:
        return None
    first = next(iter(found))
    table = Table(title=f"{'Per class' if len(found) > 1 else f'{first} per class'} (1 = perfect)")
    table.add_column("class")
    for title in found:
        table.add_column(title, justify="right")
    for name in found[first]:
        table.add_row(name, *(_cell(values[name]) if name in values else "" for values in found.values()))
    return table


def print_table(
    result: Mapping[str, Any],
    title: str = "Evaluation",
    console: Console | None = None,
    tasks: Mapping[str, Task] = TASKS,
) -> None:
    """Print the metrics of `evaluate` with their units, and the frames that could not be read."""
    console = console or Console(emoji=False)
    console.print(result_table(result, title, tasks))
    if (classes := class_table(result, tasks)) is not None:
        console.print(classes)
    for frame in result.get("skipped", []):
        console.print(f"skipped {frame['name']}: {frame['reason']}", style="yellow", highlight=False)
