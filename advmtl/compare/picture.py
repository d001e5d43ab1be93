"""A scatter plot of the trade-off between two tasks: upper right is better."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from advmtl.compare.metrics import Comparison, Metric, Row
from advmtl.drawing import axes_at, new_figure, pixels, points, series_style
from preprocessing.ground import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLOT = (720, 560)  # one panel's width, height [px]
_LEFT, _TOP, _BOTTOM, _GAP = 84, 40, 64, 28
_MEAN = 16  # across [px]
_EXPLAINED = ("single-task mean, band: ± deviation", "small: one run, large: mean of its seeds")

Point = tuple[float, float]


def write_tradeoff(comparison: Comparison, path: Path) -> bool:
    """Write what `draw_tradeoff` draws as PNG. Returns: whether there was something to draw."""
    figure = draw_tradeoff(comparison)
    if figure is not None:
        write_png(path, pixels(figure))
    return figure is not None


def draw_tradeoff(comparison: Comparison) -> "Figure | None":
    """Draw one panel per pair of tasks, in the first Δm metric of each; an error's axis runs backwards.

    Every run is a dot, each configuration's mean larger and numbered; the single-task means are dashed lines. None
    where no run has the metrics of two tasks.
    """
    first = {task: next(m for m in comparison.metrics if m.task == task) for task in comparison.reference.tasks}
    pairs = [(first[a], first[b]) for a, b in combinations(comparison.reference.tasks, 2)]
    rows = [row for row in comparison.rows if any(_runs(row, *pair) for pair in pairs)]
    drawn = [pair for pair in pairs if any(_runs(row, *pair) for row in rows)]
    if not drawn:
        return None
    cell = (_LEFT + _PLOT[0] + _GAP, _TOP + _PLOT[1] + _BOTTOM)
    corners = [(cell[0] * (number % 2), cell[1] * (number // 2)) for number in range(len(drawn) + 1)]
    # Panels go two abreast; the legend takes the cell they leave free, or the right side.
    aside = (cell[0] * min(2, len(drawn)), 0) if len(drawn) % 2 == 0 or len(drawn) == 1 else corners[-1]
    names = max(len(text) for text in (*_EXPLAINED, *(f"{row.name}    " for row in rows)))
    width = max(cell[0] * min(2, len(drawn)), aside[0] + 60 + 8 * names)
    figure = new_figure(width, cell[1] * math.ceil(len(drawn) / 2))
    for (left, top), pair in zip(corners, drawn, strict=False):
        _panel(axes_at(figure, left + _LEFT, top + _TOP, *_PLOT), comparison, rows, pair)
    _legend(figure, rows, (aside[0], aside[1] + _TOP))
    return figure


def _runs(row: Row, x: Metric, y: Metric) -> list[Point]:
    """The runs of a configuration that have both metrics, in the unit of the tables."""
    values = [(one.values.get(x.key), one.values.get(y.key)) for one in row.outcomes]
    return [(a * x.scale, b * y.scale) for a, b in values if a is not None and b is not None]


def _panel(axes: "Axes", comparison: Comparison, rows: Sequence[Row], metrics: tuple[Metric, Metric]) -> None:
    every = [one.values for row in comparison.everything for one in row.outcomes]
    sides = (
        (metrics[0], axes.set_xlim, axes.set_xlabel, axes.axvspan, axes.axvline),
        (metrics[1], axes.set_ylim, axes.set_ylabel, axes.axhspan, axes.axhline),
    )
    for metric, limit, label, span, line in sides:
        values = [one[metric.key] * metric.scale for one in every if metric.key in one]
        margin = 0.08 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 0.05
        ends = (min(values) - margin, max(values) + margin)
        limit(*(ends if metric.higher else ends[::-1]))
        label(axis_title(metric), size=points(15))
        single = comparison.reference.figure(metric)
        if single is not None:
            middle, deviation = single.mean * metric.scale, (single.deviation or 0) * metric.scale
            span(middle - deviation, middle + deviation, color="#EDEDED", lw=0, zorder=0)
            line(middle, color="#777777", lw=points(1.5), ls="--", zorder=0.5)
    axes.set_title("upper right is better", loc="right", size=points(13), color="#444444")
    means: dict[int, Point] = {}
    dots: list[Point] = []
    for number, row in enumerate(rows):
        runs, (colour, marker) = _runs(row, *metrics), series_style(number)
        if len(runs) > 1:
            axes.plot(*zip(*runs, strict=True), marker, color=colour, ms=points(8), mew=0, zorder=2)
            dots += runs
        if runs:
            means[number] = fmean(x for x, _ in runs), fmean(y for _, y in runs)
            axes.plot(*means[number], marker, color=colour, ms=points(_MEAN), mec="black", mew=points(1.5), zorder=3)
    _number(axes, means, dots)


def axis_title(metric: Metric) -> str:
    """The label of an axis, with the unit."""
    way = "" if metric.higher else ", axis reversed"
    return f"{metric.task}: {metric.title} [{metric.unit}]{way}"


def _number(axes: "Axes", means: dict[int, Point], dots: Sequence[Point]) -> None:
    """Each mean's number beside it, where it hides neither a sign nor another number."""
    signs = [*((mean, 11.0) for mean in means.values()), *((dot, 6.0) for dot in dots)]
    taken = [(*axes.transData.transform(at), half) for at, half in signs]
    frame = axes.bbox.extents
    for number, at in means.items():
        x, y = axes.transData.transform(at)
        dx, dy = free_offset((x, y), taken, frame)
        taken.append((x + dx, y + dy, 10))
        # A short line would read as a minus sign.
        arrow = (
            {"arrowstyle": "-", "color": "#999999", "shrinkB": points(_MEAN / 2)}
            if math.hypot(dx, dy) > 3 * _MEAN
            else None
        )
        axes.annotate(
            str(number + 1), at, (points(dx), points(dy)), textcoords="offset points", ha="center", va="center",
            size=points(15), arrowprops=arrow, bbox={"fc": "white", "ec": "none", "pad": 0.5}, zorder=4,
        )  # fmt: skip


def free_offset(
    at: Point, taken: Sequence[tuple[float, float, float]], frame: Sequence[float], half: float = 10
) -> Point:
    """Where a square label of `2 * half` goes, seen from `at` [px]: the nearest free place within `frame`.

    Args: squares that are taken (x, y, half of the side); frame (left, bottom, right, top). Returns: the nearest within
        the frame, free or not, where none is free.
    """
    turns = [math.radians(22.5 * turn + 45) for turn in range(16)]  # the first to the upper right
    offsets = [(reach * math.cos(a), reach * math.sin(a)) for reach in (22, 30, 40, 52, 66, 82, 100) for a in turns]
    inside = [
        (dx, dy)
        for dx, dy in offsets
        if frame[0] <= at[0] + dx - half and at[0] + dx + half <= frame[2]
        if frame[1] <= at[1] + dy - half and at[1] + dy + half <= frame[3]
    ]

    def free(offset: Point) -> bool:
        x, y = at[0] + offset[0], at[1] + offset[1]
        return all(max(abs(x - a), abs(y - b)) >= half + other for a, b, other in taken)

    return next(filter(free, inside), (inside or offsets)[0])


def _legend(figure: "Figure", rows: Sequence[Row], corner: Point) -> None:
    """The legend: sign, number and name of each configuration, and the other symbols."""
    from matplotlib.lines import Line2D

    signs = []
    for number, row in enumerate(rows):
        colour, marker = series_style(number)
        text = f"{number + 1}  {row.name}"
        signs.append(Line2D([], [], ls="", marker=marker, color=colour, mec="black", ms=points(12), label=text))
    signs.append(Line2D([], [], color="#777777", ls="--", lw=points(1.5), label=_EXPLAINED[0]))
    signs.append(Line2D([], [], ls="", label=_EXPLAINED[1]))
    across, down = (side * figure.dpi for side in figure.get_size_inches())
    room = min(15.0, 0.64 * _PLOT[1] / len(signs))
    figure.legend(
        handles=signs, loc="upper left", bbox_to_anchor=(corner[0] / across, 1 - corner[1] / down), frameon=False,
        fontsize=points(room), borderaxespad=0,
    )  # fmt: skip
