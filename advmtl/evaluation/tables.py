"""Figures of an evaluation as tables with their units."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from advmtl.evaluation.metrics import UNITS
from advmtl.tasks.table import TASKS


def result_table(result: Mapping[str, Any], title: str = "Evaluation") -> Table:
    """Figures with their units, one column for all sources and one for each where there are several."""
    columns = {"all": result, **result["sources"]} if "sources" in result else {"value": result}
    table = Table(title=title)
    table.add_column("figure", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for name in columns:
        table.add_column(_short(name), justify="right", overflow="fold")
    for task in TASKS:
        parts = [column.get(task, {}) for column in columns.values()]
        figures = [figure for figure in UNITS if any(figure in part for part in parts)]
        if figures:
            table.add_row(task, style="bold")
        for figure in figures:
            table.add_row(f"  {figure}", UNITS[figure], *(_cell(part.get(figure)) for part in parts))
        table.add_section()
    return table


def _short(source: str) -> str:
    """`format:root[:split]` with only the root's last part; the whole name stands in evaluation.json."""
    return ":".join(part.rstrip("/").rpartition("/")[2] for part in source.split(":"))


def _cell(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.4f}"


def class_table(result: Mapping[str, Any]) -> Table:
    """IoU of every class, PQ of those with instances; – where a class is in neither truth nor prediction."""
    quality = result.get("instance", {}).get("pq_per_class", {})
    table = Table(title="Per class (1 = perfect)" if quality else "IoU per class (1 = perfect)")
    for column in ("class", "IoU", "PQ")[: 3 if quality else 2]:
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, value in result.get("segmentation", {}).get("iou_per_class", {}).items():
        table.add_row(name, _cell(value), *([_cell(quality[name])] if name in quality else []))
    return table


def print_table(result: Mapping[str, Any], title: str = "Evaluation", console: Console | None = None) -> None:
    """Print the figures of `evaluate` with their units, and the frames that could not be read."""
    console = console or Console()
    console.print(result_table(result, title))
    if result.get("segmentation", {}).get("iou_per_class"):
        console.print(class_table(result))
    for frame in result.get("skipped", []):
        console.print(f"skipped {frame['name']}: {frame['reason']}", style="yellow", highlight=False)
