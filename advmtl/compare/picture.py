"""The trade-off between two tasks as a picture, as Figures 20 and 24 of seed 001: upper right is better."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from advmtl.compare.metrics import Comparison, Metric, Row
from advmtl.drawing.canvas import Box, Canvas, Point, around, place_label, text_size
from preprocessing.ground import write_png

_PLOT = (720, 560)  # one panel's width, height [px]
_LEFT, _TOP, _BOTTOM, _GAP = 84, 40, 64, 28
_DOT, _MEAN = 4, 8  # radii [px]
_GREY, _BAND = "#777777", "#EDEDED"
_EXPLAINED = ("single-task mean, band: ± deviation", "small: one run, large: mean of its seeds")


@dataclass(frozen=True)
class Axis:
    """One metric over a stretch of pixels; an error runs backwards, so that further on is always better."""

    metric: Metric
    low: float
    high: float
    start_px: float
    end_px: float

    def place(self, value: float) -> float:
        """Pixel of a value as it stands in evaluation.json."""
        share = (value - self.low) / (self.high - self.low)
        return self.start_px + (share if self.metric.higher else 1 - share) * (self.end_px - self.start_px)

    @property
    def title(self) -> str:
        """What runs along it, with the unit."""
        way = "" if self.metric.higher else ", axis reversed"
        return f"{self.metric.task}: {self.metric.title} [{self.metric.unit}]{way}"

    def ticks(self) -> list[tuple[float, str]]:
        """Four to nine round values within the axis, and their texts in the unit of the tables."""
        scale = self.metric.scale
        step = round_step((self.high - self.low) * scale / 9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low * scale / step), math.floor(self.high * scale / step)
        return [(n * step / scale, f"{n * step:.{digits}f}") for n in range(first, last + 1)]


def round_step(raw: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `raw`."""
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def write_tradeoff(comparison: Comparison, path: Path) -> bool:
    """Draw one panel per pair of tasks, in the first Δm metric of each.

    Every run is a dot, each configuration's mean larger and numbered; the single-task means are dashed lines.

    Returns: whether there was something to draw: a run that has the figures of two tasks.
    """
    first = {task: next(m for m in comparison.metrics if m.task == task) for task in comparison.reference.tasks}
    pairs = [(first[a], first[b]) for a, b in combinations(comparison.reference.tasks, 2)]
    rows = [row for row in comparison.rows if any(_points(row, *pair) for pair in pairs)]
    drawn = [pair for pair in pairs if any(_points(row, *pair) for row in rows)]
    if not drawn:
        return False
    cell = (_LEFT + _PLOT[0] + _GAP, _TOP + _PLOT[1] + _BOTTOM)
    corners = [(cell[0] * (number % 2), cell[1] * (number // 2)) for number in range(len(drawn) + 1)]
    # Panels go two abreast; the legend takes the cell they leave free, or the right side.
    aside = (cell[0] * min(2, len(drawn)), 0) if len(drawn) % 2 == 0 or len(drawn) == 1 else corners[-1]
    width = max(cell[0] * min(2, len(drawn)), aside[0] + _legend_width(rows))
    canvas = Canvas(width, cell[1] * math.ceil(len(drawn) / 2))
    for corner, pair in zip(corners, drawn, strict=False):
        _panel(canvas, comparison, rows, pair, corner)
    _legend(canvas, rows, aside)
    write_png(path, canvas.pixels())
    return True


def _points(row: Row, x: Metric, y: Metric) -> list[Point]:
    """The runs of a configuration that have both figures."""
    values = [(one.values.get(x.key), one.values.get(y.key)) for one in row.outcomes]
    return [(a, b) for a, b in values if a is not None and b is not None]


def _axis(metric: Metric, comparison: Comparison, start_px: float, end_px: float) -> Axis:
    """An axis wide enough for every run, the single-task ones included."""
    outcomes = [one for row in comparison.everything for one in row.outcomes]
    values = [one.values[metric.key] for one in outcomes if metric.key in one.values]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
    return Axis(metric, low - margin, high + margin, start_px, end_px)


def _panel(
    canvas: Canvas, comparison: Comparison, rows: Sequence[Row], metrics: tuple[Metric, Metric], corner: Point
) -> None:
    left, top = corner[0] + _LEFT, corner[1] + _TOP
    right, bottom = left + _PLOT[0], top + _PLOT[1]
    frame = (left, top, right, bottom)
    x, y = _axis(metrics[0], comparison, left, right), _axis(metrics[1], comparison, bottom, top)
    _reference(canvas, comparison.reference, x, y, frame)
    for value, text in x.ticks():
        canvas.line((x.place(value), bottom), (x.place(value), bottom + 5), "black")
        canvas.text((x.place(value), bottom + 8), text, 13, "ma")
    for value, text in y.ticks():
        canvas.line((left - 5, y.place(value)), (left, y.place(value)), "black")
        canvas.text((left - 8, y.place(value)), text, 13, "rm")
    canvas.box(frame, outline="black")
    canvas.text(((left + right) / 2, bottom + 34), x.title, anchor="ma")
    canvas.sideways((left - 66, (top + bottom) / 2), y.title)
    canvas.text((right, top - 8), "upper right is better", 13, "rd", "#444444")
    _runs(canvas, rows, x, y, frame)


def _reference(canvas: Canvas, reference: Row, x: Axis, y: Axis, frame: Box) -> None:
    """The single-task means as dashed lines, one deviation to each side as a grey band."""
    left, top, right, bottom = frame
    for axis in (x, y):
        found = reference.figure(axis.metric)
        if found is not None and found.deviation:
            first, last = sorted(axis.place(found.mean + sign * found.deviation) for sign in (-1, 1))
            band = (max(first, left), top, min(last, right), bottom)
            canvas.box(band if axis is x else (left, max(first, top), right, min(last, bottom)), fill=_BAND)
    for axis in (x, y):
        found = reference.figure(axis.metric)
        if found is not None:
            at = axis.place(found.mean)
            ends = ((at, top), (at, bottom)) if axis is x else ((left, at), (right, at))
            canvas.line(*ends, _GREY, 1.5, dash=7)


def _runs(canvas: Canvas, rows: Sequence[Row], x: Axis, y: Axis, frame: Box) -> None:
    """Dots, means over them, and a number beside each mean that hides none of them."""
    means: dict[int, Point] = {}
    taken: list[Box] = []
    for number, row in enumerate(rows):
        dots = [(x.place(a), y.place(b)) for a, b in _points(row, x.metric, y.metric)]
        if dots:
            means[number] = (sum(a for a, _ in dots) / len(dots), sum(b for _, b in dots) / len(dots))
        for dot in dots if len(dots) > 1 else ():
            canvas.mark(dot, number, _DOT, outlined=False)
            taken.append(around(dot, _DOT + 1, _DOT + 1))
    taken += [around(mean, _MEAN + 2, _MEAN + 2) for mean in means.values()]
    labels: dict[int, Box] = {}
    for number, mean in means.items():
        labels[number] = place_label(mean, text_size(str(number + 1)), _MEAN, taken, frame)
        taken.append(labels[number])
    # Lines first: none may cross a sign or a number.
    for number, (left, top, right, bottom) in labels.items():
        centre = ((left + right) / 2, (top + bottom) / 2)
        if math.dist(centre, means[number]) > 3 * _MEAN + (right - left) / 2:  # a short one reads as a minus sign
            canvas.line(means[number], centre, "#999999")
    for number, mean in means.items():
        canvas.mark(mean, number, _MEAN, outlined=True)
    for number, box in labels.items():
        canvas.box(box, fill="white")
        canvas.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), str(number + 1), anchor="mm")


def _entries(rows: Sequence[Row]) -> list[str]:
    return [f"{number + 1}  {row.name}" for number, row in enumerate(rows)]


def _legend_width(rows: Sequence[Row]) -> int:
    widths = [text_size(text)[0] for text in _entries(rows)] + [text_size(text, 13)[0] for text in _EXPLAINED]
    return math.ceil(max(widths) + _GAP / 2) + 24 + 12


def _legend(canvas: Canvas, rows: Sequence[Row], corner: Point) -> None:
    """Sign, number and name of each configuration, and what the rest means."""
    left, top = corner[0] + _GAP / 2, corner[1] + _TOP
    step = min(24.0, (_PLOT[1] - 60) / len(rows))
    for number, text in enumerate(_entries(rows)):
        at = top + 10 + number * step
        canvas.mark((left + 8, at), number, 6, outlined=True)
        canvas.text((left + 24, at), text, anchor="lm")
    at = top + 10 + len(rows) * step + 10
    canvas.line((left - 2, at), (left + 18, at), _GREY, 1.5, dash=4)
    for line, text in enumerate(_EXPLAINED):
        canvas.text((left + 24, at + 20 * line), text, 13, "lm", "#444444")
