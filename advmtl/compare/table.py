"""The tables of a comparison: in the terminal, as Markdown, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from advmtl.compare.metrics import REFERENCE, Comparison, Metric, Row, Spread, spread
from advmtl.compare.timing import STEPS
from preprocessing.ground import atomic_write, write_json

SIGN = "+ is better than single-task"
_NONE = "–"
_NAMED = 20  # frames in the table
_GROWN = (
    " Of a network that grows: parameters of each run's best state, step time of the first run's last state between "
    "detections."
)


@dataclass(frozen=True)
class Grid:
    """A table before it is drawn: text only, names in the first column."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False  # the other columns hold text, which reads from the left

    def within(self, width: int) -> "Grid":
        """The same with rows for columns, where it is wider than so many characters and narrower so."""
        turned = Grid(self.title, *_turned((self.heads, *self.rows)), self.words)
        return turned if self._width > width and turned._width < self._width else self

    @property
    def _width(self) -> int:
        return sum(max(map(len, column)) + 3 for column in zip(self.heads, *self.rows, strict=True)) + 1

    def rich(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left")
        for number, head in enumerate(self.heads):
            left = self.words or not number
            table.add_column(escape(head), justify="left" if left else "right", overflow="fold", no_wrap=not number)
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def markdown(self) -> str:
        """For a page."""
        lines = [self.heads, ("---", *("---" if self.words else "---:" for _ in self.heads[1:])), *self.rows]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(_escaped(line))} |" for line in lines)


def _turned(lines: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    heads, *rows = zip(*lines, strict=True)
    return heads, tuple(rows)


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", r"\|") for cell in cells]


def grids(comparison: Comparison) -> list[Grid]:
    """The overview, notes on its rows, one table per task, the failed runs; notes and failures where there are some."""
    heads = ("configuration", "seeds", "Δm [%], + is better", "win rate [%]", "params [M]", "step time [× sum]")
    noted = {note: number for number, note in enumerate(_noted(comparison), 1)}
    rows = tuple(
        (*_overview(row, comparison), *([", ".join(map(str, sorted(noted[n] for n in row.notes)))] if noted else []))
        for row in comparison.everything
    )
    tables = [Grid("Against single-task learning", (*heads, "note") if noted else heads, rows)]
    if noted:
        said = tuple((str(number), note) for note, number in noted.items())
        tables.append(Grid("Notes on these rows", ("note", "what"), said, words=True))
    for task in comparison.reference.tasks:
        metrics = [metric for metric in comparison.shown if metric.task == task]
        titles = tuple(f"{m.title} [{m.unit}] {'↑' if m.higher else '↓'}" for m in metrics)
        cells = tuple(
            (row.name, *(_spread(row.figure(metric), metric) for metric in metrics))
            for row in comparison.everything
            if task in row.tasks
        )
        tables.append(Grid(f"{task} (↑ more is better, ↓ less is better)", ("configuration", *titles), cells))
    if comparison.failed:
        short = tuple((run, reason.partition("; ")[0]) for run, reason in comparison.failed.items())
        tables.append(Grid("Failed runs (in full in comparison.json)", ("run", "reason"), short, words=True))
    if comparison.left_out:
        tables.append(Grid(*_left_out(comparison.left_out), words=True))
    return tables


def _left_out(frames: Sequence[tuple[str, str]]) -> tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Title, heads and rows of the table of frames that were not learnt from or not measured."""
    rows = tuple(frames[:_NAMED])
    more = f", {len(rows)} of them (all in comparison.json)" if len(frames) > len(rows) else ""
    return f"{frames_left_out(len(frames))}{more}", ("frame", "reason"), rows


def frames_left_out(count: int) -> str:
    """How many, in words."""
    return f"{count} frame{'s' if count != 1 else ''} left out"


def _noted(comparison: Comparison) -> list[str]:
    """All notes, each once, in the order of the rows."""
    return list(dict.fromkeys(note for row in comparison.everything for note in row.notes))


def _overview(row: Row, comparison: Comparison) -> tuple[str, ...]:
    gain, wins = spread(row.delta_m), spread([None if rate is None else 100 * rate for rate in row.win_rate])
    partial = len(row.metrics) < len(comparison.metrics)
    return (
        row.name,
        _seeds(row),
        _signed(gain) + (f" (of {len(row.metrics)}/{len(comparison.metrics)})" if partial and gain else ""),
        _NONE if wins is None or row.name == REFERENCE else _number(wins, 0),
        _parameters(row),
        _NONE if row.step_time is None else f"{row.step_time.relative:.2f}",
    )


def _parameters(row: Row) -> str:
    grown = spread([None if one.parameters is None else one.parameters / 1e6 for one in row.outcomes])
    if row.grows:
        return _NONE if grown is None else _number(grown, 3)
    return f"{row.parameters / 1e6:.3f}"


def _seeds(row: Row) -> str:
    done, failed, missing = (sum(one.status == s for one in row.outcomes) for s in ("done", "failed", "missing"))
    parts = [f"{done} of {len(row.outcomes)}" if missing else f"{done}", f"{failed} failed" if failed else ""]
    parts += [frames_left_out(row.left_out)] if row.left_out else []
    return ", ".join(part for part in parts if part)


def _signed(value: Spread | None) -> str:
    return _NONE if value is None else ("+" if round(value.mean, 2) > 0 else "") + _number(value, 2)


def _spread(value: Spread | None, metric: Metric) -> str:
    if value is None:
        return _NONE
    deviation = None if value.deviation is None else value.deviation * metric.scale
    return _number(Spread(value.mean * metric.scale, deviation, value.count), metric.digits)


def _number(value: Spread, digits: int) -> str:
    mean = round(value.mean, digits) + 0.0  # no "-0.00"
    return f"{mean:.{digits}f}" + ("" if value.deviation is None else f" ± {value.deviation:.{digits}f}")


def notes(comparison: Comparison) -> str:
    """What the columns mean, in a few sentences."""
    names = ", ".join(f"{metric.title} ({metric.task})" for metric in comparison.metrics)
    pixels = any(metric.unit == "px" for metric in comparison.shown)
    return (
        f"Mean ± sample standard deviation over seeds. Δm: mean relative change of {names} against the mean of the "
        f"single-task networks, {SIGN} (Tan et al. 2024, Eq. 15); per seed, then mean ± deviation. Win rate: share of "
        "these metrics better than single-task, likewise; (of 2/4) = over the metrics of its own tasks. The row "
        f"{REFERENCE} is one network per task, parameters and step times added up; its ± is how much the reference "
        "itself varies. Parameters: what is deployed, without discriminators. Step time: median of "
        f"{STEPS} steps on one batch, each in turn with one of the plain sum (the first configuration without "
        "discriminators and balancer); reading frames is left out."
        + _without_change(comparison)
        + (_GROWN if any(row.grows for row in comparison.rows) else "")
        + (f" px: of the network's input, {comparison.width_px} px wide." if pixels else "")
    )


def _without_change(comparison: Comparison) -> str:
    """Why there is no Δm: nothing is a relative change of 0."""
    figures = {metric: comparison.reference.figure(metric) for metric in comparison.metrics}
    none = [f"{metric.title} ({metric.task})" for metric, value in figures.items() if value and value.mean == 0]
    return f" No Δm, since the single-task networks' {', '.join(none)} is 0: train for longer." if none else ""


def markdown(comparison: Comparison) -> str:
    """All tables and what they mean."""
    return "\n\n".join([*(grid.markdown() for grid in grids(comparison)), notes(comparison)]) + "\n"


def print_tables(comparison: Comparison, console: Console) -> None:
    """Print all tables and what they mean."""
    for grid in grids(comparison):
        console.print(grid.rich())
    console.print(notes(comparison), highlight=False)


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """For comparison.json: values as in evaluation.json, by `task.metric`; None where unknown."""
    return {
        "complete": all(one.status != "missing" for row in comparison.everything for one in row.outcomes),
        "delta_m": {"metrics": [metric.key for metric in comparison.metrics], "unit": "%", "sign": SIGN},
        "width_px": comparison.width_px,
        "units": {metric.key: metric.declared.unit for metric in comparison.shown},
        "higher_is_better": {metric.key: metric.higher for metric in comparison.shown},
        "single_task": _row_dict(comparison.reference, comparison),
        "configurations": [_row_dict(row, comparison) for row in comparison.rows],
    }


def _row_dict(row: Row, comparison: Comparison) -> dict[str, Any]:
    return {
        "name": row.name,
        "hash": row.hash,
        "tasks": list(row.tasks),
        "parameters": row.parameters,
        "frames_left_out": row.left_out,
        "step_time": None if row.step_time is None else asdict(row.step_time),
        "figures": {
            metric.key: _spread_dict(row.figure(metric)) for metric in comparison.shown if metric.task in row.tasks
        },
        "doubts": list(row.doubts),
        "differs_from_reference": [asdict(one) for one in row.differences],
        "delta_m_metrics": [metric.key for metric in row.metrics],
        "delta_m_percent": _spread_dict(spread(row.delta_m)),
        "win_rate": _spread_dict(spread(row.win_rate)),
        "runs": [
            {
                "run": one.run,
                "seed": one.seed,
                "status": one.status,
                "reason": one.reason,
                **({} if one.parameters is None else {"parameters": one.parameters}),
                **({"left_out": [{"name": n, "reason": r} for n, r in one.left_out]} if one.left_out else {}),
                "figures": dict(one.values),
                "delta_m_percent": gain,
                "win_rate": rate,
            }
            for one, gain, rate in zip(row.outcomes, row.delta_m, row.win_rate, strict=True)
        ],
    }


def _spread_dict(value: Spread | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def write_tables(comparison: Comparison, out: Path) -> None:
    """Write `table.md` and `comparison.json` into `out`."""
    write_json(out / "comparison.json", to_dict(comparison))  # first: by it a later call knows all for results
    with atomic_write(out / "table.md") as temporary:
        temporary.write_text(markdown(comparison))
