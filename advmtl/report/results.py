"""Figures of runs side by side: metrics with units, classes, confusion, distance."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from advmtl.evaluation.metrics import HIGHER_IS_BETTER, UNITS
from advmtl.report.charts import Bars, bar_chart
from advmtl.report.names import name_of, unit_of
from advmtl.report.reading import RunRecord, is_number
from advmtl.tasks.table import TASKS
from preprocessing.ground.web_page import Headline, Table, scrolling, table_of

NONE = "–"
_HOT = 72  # from this share [%] on, light figures on the dark cell read better
_ARROWS = {True: " ↑", False: " ↓"}


def cell(value: Any, digits: int = 4) -> str:
    """A figure as text; counts with thin groups, – for what is not there."""
    if not is_number(value):
        return NONE
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:.{digits}f}"


def headlines(runs: Sequence[RunRecord]) -> list[Headline]:
    """The first main figure of every task, a card a run."""
    found = []
    for run in runs:
        parts = []
        for task in TASKS.values():
            figure = next((one for one in task.metrics if is_number(run.task(task.name).get(one))), None)
            if figure is not None:
                value = f"{run.task(task.name)[figure]:.3f} {unit_of(figure)}".strip()
                parts.append(f"{name_of(figure)} {value}")
        found.append(Headline(run.name, " · ".join(parts) or "no figures", f"From {run.measured}. {extent(run)}"))
    return found


def extent(run: RunRecord) -> str:
    """How far a run has come."""
    rows = [*run.train, *run.validation]
    wanted = run.config.get("train")
    epochs = wanted.get("epochs") if isinstance(wanted, Mapping) else None
    reached = max((row["epoch"] for row in run.validation), default=None)
    done = f"{max(row['step'] for row in rows):,} steps" if rows else "no steps logged"
    if reached is None:
        return f"{done}."
    return f"{done}, {reached:g}" + (f" of {epochs}" if epochs else "") + " epochs measured."


def metric_tables(runs: Sequence[RunRecord]) -> list[str]:
    """A table a task: figure, unit, a column a run; the best of several in bold."""
    parts = []
    for task in TASKS:
        columns = [run.task(task) for run in runs]
        figures = [figure for figure in UNITS if any(is_number(column.get(figure)) for column in columns)]
        if figures:
            parts.append(_compared(f"{task.capitalize()}, validation frames", runs, figures, columns))
    return parts


def _compared(
    caption: str, runs: Sequence[RunRecord], figures: Sequence[str], columns: Sequence[Mapping[str, Any]]
) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Figure", "unit", *(run.name for run in runs)))
    rows, ranked = [], comparable(runs)
    for figure in figures:
        values = [column.get(figure) for column in columns]
        better = HIGHER_IS_BETTER.get(figure)
        name = escape(name_of(figure) + ("" if better is None else _ARROWS[better]))
        cells = "".join(f"<td>{_marked(value, _best(values, better) if ranked else None)}</td>" for value in values)
        rows.append(f'<tr><th scope="row">{name}</th><td>{escape(UNITS[figure])}</td>{cells}</tr>')
    return scrolling(
        caption,
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    )


def comparable(runs: Sequence[RunRecord]) -> bool:
    """Whether all runs were measured on the same sources and classes, as far as the folders tell."""
    sources = {str(run.evaluation.get("measured_on")) for run in runs if run.evaluation}
    frames = {str([run.task(task).get("frames") for task in TASKS if run.task(task)]) for run in runs if run.evaluation}
    classes = {tuple(run.task("segmentation").get("iou_per_class") or ()) for run in runs if run.task("segmentation")}
    return len(classes) <= 1 and (len(sources - {"None"}) <= 1 or len(frames) <= 1)


def _best(values: Sequence[Any], better: bool | None) -> float | None:
    numbers = [value for value in values if is_number(value)]
    if better is None or len(numbers) < 2:
        return None
    return max(numbers) if better else min(numbers)


def _marked(value: Any, best: float | None) -> str:
    text = cell(value)
    return f"<strong>{text}</strong>" if best is not None and value == best else text


def source_tables(runs: Sequence[RunRecord]) -> list[str]:
    """Main figures of each source, for runs that were measured on several."""
    rows = []
    for run in runs:
        sources = run.evaluation.get("sources")
        for source, tasks in sources.items() if isinstance(sources, Mapping) else ():
            for task, figures in tasks.items() if isinstance(tasks, Mapping) else ():
                wanted = TASKS[task].metrics if task in TASKS and isinstance(figures, Mapping) else ()
                shown = [
                    f"{name_of(one)} {cell(figures[one])} {unit_of(one)}".strip()
                    for one in wanted
                    if is_number(figures.get(one))
                ]
                if shown:
                    rows.append([f"{run.name}: {source}", task, ", ".join(shown)])
    if not rows:
        return []
    return [table_of(Table("By source of the validation frames", ["Run: source", "task", "figures"], rows), text=True)]


def class_table(runs: Sequence[RunRecord]) -> list[str]:
    """IoU of every class."""
    columns = [run.task("segmentation").get("iou_per_class") or {} for run in runs]
    names = list(dict.fromkeys(name for column in columns for name in column))
    if not names:
        return []
    rows = [[name, *(cell(column.get(name), 3) for column in columns)] for name in names]
    return [table_of(Table("IoU of each class (1 = perfect)", ["Class", *(run.name for run in runs)], rows))]


def band_name(row: Mapping[str, Any]) -> str:
    """`10–20 m`."""
    return f"{row['from_m']:g}–{row['to_m']:g} m"


def band_parts(runs: Sequence[RunRecord]) -> list[str]:
    """Depth error by distance: two charts and a table a run; nothing where no run has it."""
    bands = {number: _bands(run) for number, run in enumerate(runs)}
    bands = {number: rows for number, rows in bands.items() if rows}
    if not bands:
        return []
    groups = list(dict.fromkeys(band_name(row) for rows in bands.values() for row in rows))
    figures = {
        "abs_rel": ("AbsRel by true depth", "Mean of |error| / true depth."),
        "rmse_m": ("RMSE by true depth", ""),
    }
    charts = []
    for figure, (title, caption) in figures.items():
        found = [{band_name(row): row.get(figure) for row in rows} for rows in bands.values()]
        of_runs = [
            (runs[number].name, number, [one.get(g) for g in groups]) for number, one in zip(bands, found, strict=True)
        ]
        charts.append(bar_chart(Bars(title, caption, unit_of(figure), groups, of_runs)))
    tables = []
    for number, rows in bands.items():
        cells = [
            [
                band_name(row),
                cell(row.get("pixels")),
                cell(row.get("abs_rel"), 3),
                cell(row.get("rmse_m"), 2),
                cell(row.get("bias_m"), 2),
            ]
            for row in rows
        ]
        head = ["True depth", "pixels", "AbsRel", "RMSE [m]", "mean error [m], + = too far"]
        tables.append(table_of(Table(f"Depth error by distance: {runs[number].name}", head, cells)))
    return [f'<div class="charts">{"".join(charts)}</div>', *tables]


def _bands(run: RunRecord) -> list[Mapping[str, Any]]:
    bands = run.task("depth").get("bands")
    rows = bands if isinstance(bands, list) else []
    return [r for r in rows if isinstance(r, Mapping) and is_number(r.get("from_m")) and is_number(r.get("to_m"))]


def confusion_table(run: RunRecord) -> str:
    """The confusion matrix as a heat map with its numbers, each row 100 %; empty where it was not recorded."""
    figures = run.task("segmentation")
    counts, names = figures.get("confusion"), list(figures.get("iou_per_class") or {})
    if not isinstance(counts, list) or len(counts) != len(names) or any(len(row) != len(names) for row in counts):
        return ""
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        cells = "".join(_share(value / total if total else None) for value in row)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}<td class="quiet">{total:,}</td></tr>')
    caption = f"Confusion of {run.name}: of each true class (row), how many percent are predicted as which (column)"
    return scrolling(
        caption,
        f'<table class="confusion"><caption><span>{escape(caption)}. Below 0.5 % is left empty; – = class not in the '
        f'truth.</span></caption><thead><tr><th scope="col">true \\ predicted</th>{head}'
        f'<th scope="col"><span>pixels</span></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>",
    )


def _share(share: float | None) -> str:
    if share is None:
        return '<td class="quiet">–</td>'
    percent = round(100 * share)
    kind = ' class="hot"' if percent >= _HOT else ""
    return f'<td{kind} style="--share:{percent}%">{percent if percent else ""}</td>'
