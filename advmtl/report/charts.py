"""Charts as inline SVG: colours from the page's theme, readable without scripts, with their values as a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from advmtl.report.scales import Scale, ticks_of
from preprocessing.ground.web_page import Table, table_of

WIDTH, HEIGHT = 400, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 38
COLOURS = 8
_COLUMNS = 10


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        run, number: The run's name, and its number, which gives the colour.
        style: "solid", "dashed" with a dot at each point, or "faint" (drawn, not told).
        of: What of the run it shows where that is not all the same, e.g. "validation".
    """

    run: str
    number: int
    x: Sequence[float]
    y: Sequence[float]
    style: str = "solid"
    of: str = ""

    @property
    def label(self) -> str:
        """Its name, for the table and for those who cannot see it."""
        return f"{self.run}, {self.of}" if self.of else self.run


@dataclass(frozen=True)
class Chart:
    """Curves over one axis. `unit` is that of the values; `log`: also offer a logarithmic scale."""

    title: str
    caption: str
    x_name: str
    unit: str
    lines: Sequence[Line]
    log: bool = False


def line_chart(chart: Chart) -> str:
    """A figure with the chart, its legend and its values."""
    told = [line for line in chart.lines if line.style != "faint"]
    label = f"{chart.title}, over {chart.x_name}. " + " ".join(_spoken(line) for line in told)
    parts = [f'<figure class="chart"><figcaption><strong>{escape(chart.title)}</strong> {escape(chart.caption)}']
    lowest = min((value for line in chart.lines for value in line.y), default=0.0)
    log = chart.log and lowest > 0
    if log:
        parts.append('<label class="switch"><input type="checkbox"> logarithmic</label>')
    parts.append("</figcaption>")
    parts.append(_legend({line.number: line.run for line in chart.lines}))
    parts.append(_drawing(chart, "linear", label, logarithmic=False))
    if log:
        parts.append(_drawing(chart, "logarithmic", f"Logarithmic scale. {label}", logarithmic=True))
    parts.append(f"<details><summary>Values</summary>{table_of(_values(chart, told))}</details></figure>")
    return "\n".join(parts)


def _legend(runs: Mapping[int, str]) -> str:
    if not 2 <= len(runs) <= COLOURS:  # of more, the list at the head of the page tells them apart no worse
        return ""
    items = "".join(
        f'<li class="show-{number}"><span class="swatch run-{number % COLOURS}"></span> {escape(name)}</li>'
        for number, name in runs.items()
    )
    return f'<ul class="legend">{items}</ul>'


def _spoken(line: Line) -> str:
    first, last = line.y[0], line.y[-1]
    low, high = min(line.y), max(line.y)
    return f"{line.label}: from {first:.3g} to {last:.3g}, between {low:.3g} and {high:.3g}."


def _drawing(chart: Chart, kind: str, label: str, *, logarithmic: bool) -> str:
    xs = [value for line in chart.lines for value in line.x]
    ys = [value for line in chart.lines for value in line.y]
    across = Scale.over(0, max(xs), (_LEFT, WIDTH - _RIGHT))
    up = Scale.over(min(ys), max(ys), (HEIGHT - _BOTTOM, _TOP), logarithmic=logarithmic, room=0.04)
    shapes = [_y_axis(up, chart.unit), _x_axis(across, chart.x_name)]
    # Faint ones below the others.
    ordered = sorted(chart.lines, key=lambda line: line.style != "faint")
    shapes += [_curve(line, across, up) for line in ordered]
    return (
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        + "".join(shapes)
        + "</svg>"
    )


def _curve(line: Line, across: Scale, up: Scale) -> str:
    points = [(across(x), up(y)) for x, y in zip(line.x, line.y, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = ""
    if line.style == "dashed" or len(points) == 1:
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(line.label)}: {value:.4g} at {where:g}</title>'
            "</circle>"
            for (x, y), value, where in zip(points, line.y, line.x, strict=True)
        )
    return (
        f'<g class="run-{line.number % COLOURS} show-{line.number} {line.style}"><polyline points="{path}"/>{dots}</g>'
    )


def _y_axis(up: Scale, unit: str) -> str:
    parts = []
    for tick in ticks_of(up):
        y = up(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    if unit:
        middle = (_TOP + HEIGHT - _BOTTOM) / 2
        parts.append(
            f'<text transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle">[{escape(unit)}]</text>'
        )
    return "".join(parts)


def _x_axis(across: Scale, name: str) -> str:
    base = HEIGHT - _BOTTOM
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>']
    parts += [
        f'<text x="{across(tick):.1f}" y="{base + 15}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks_of(across)
    ]
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 5}" text-anchor="middle">{escape(name)}</text>')
    return "".join(parts)


def _values(chart: Chart, lines: Sequence[Line]) -> Table:
    """Each curve's last value up to ten places of the axis."""
    low, high = min(min(line.x) for line in lines), max(max(line.x) for line in lines)
    places = sorted({round(low + (high - low) * share / _COLUMNS, 1) for share in range(_COLUMNS + 1)} | {high})
    rows = []
    for line in lines:
        cells = []
        for place in places:
            before = [y for x, y in zip(line.x, line.y, strict=True) if x <= place + 1e-9]
            cells.append(f"{before[-1]:.4g}" if before else "–")
        rows.append([line.label, *cells])
    return Table(
        f"{chart.title}: last value up to each {chart.x_name}", [chart.x_name, *(f"{p:g}" for p in places)], rows
    )


@dataclass(frozen=True)
class Bars:
    """Groups of bars: one value a group and run, None where there is none."""

    title: str
    caption: str
    unit: str
    groups: Sequence[str]
    runs: Sequence[tuple[str, int, Sequence[float | None]]]  # label, number of the run, values


def bar_chart(bars: Bars) -> str:
    """A figure with groups of bars; the values stand in a table elsewhere."""
    values = [value for _, _, row in bars.runs for value in row if value is not None and math.isfinite(value)]
    if not values:
        return ""
    up = Scale.over(0, max(values), (HEIGHT - _BOTTOM, _TOP))
    base, space = HEIGHT - _BOTTOM, (WIDTH - _LEFT - _RIGHT) / len(bars.groups)
    wide = 0.8 * space / len(bars.runs)
    shapes = [
        _y_axis(up, bars.unit),
        f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>',
    ]
    for place, group in enumerate(bars.groups):
        left = _LEFT + space * (place + 0.1)
        shapes.append(f'<text x="{left + 0.4 * space:.1f}" y="{base + 15}" text-anchor="middle">{escape(group)}</text>')
        for order, (label, number, row) in enumerate(bars.runs):
            value = row[place]
            if value is None or not math.isfinite(value):
                continue
            shapes.append(
                f'<rect class="run-{number % COLOURS} show-{number}" x="{left + order * wide:.1f}" y="{up(value):.1f}" '
                f'width="{wide:.1f}" height="{base - up(value):.1f}"><title>{escape(label)}, {escape(group)}: '
                f"{value:.4g}</title></rect>"
            )
    spoken = " ".join(
        f"{label}: " + ", ".join(f"{group} {value:.3g}" for group, value in zip(bars.groups, row, strict=True) if value)
        for label, _, row in bars.runs
    )
    return (
        f'<figure class="chart"><figcaption><strong>{escape(bars.title)}</strong> {escape(bars.caption)}</figcaption>'
        f"{_legend({number: label for label, number, _ in bars.runs})}"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{bars.title}. {spoken}")}">'
        + "".join(shapes)
        + "</svg></figure>"
    )
