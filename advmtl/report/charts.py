"""Charts as values, and their layout in the picture; `charts.html.j2` draws them.

Not matplotlib's SVG: these take their colours from the page's theme, light or dark, hide the runs that are not wanted,
switch to logarithmic axes and name values without a script, as text for a screen reader.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from preprocessing.ground import Table

WIDTH, HEIGHT = 400, 260
LEFT, RIGHT, TOP, BOTTOM = 52, WIDTH - 10, 10, HEIGHT - 38  # of the plot
COLOURS = 8
_COLUMNS = 10


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        run, number: The run's name, and its number, which gives the colour.
        style: "solid", "dashed" with a dot at each point, or "faint" (drawn, not in the text).
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
class Shape:
    """What is drawn of one run: a curve through points [px], or dots and bars that name their values."""

    number: int
    style: str = ""
    points: Sequence[tuple[float, float]] = ()
    dots: Sequence[tuple[float, float, str]] = ()  # x, y, what it says
    bars: Sequence[tuple[float, float, float, float, str]] = ()  # x, y, width, height, what it says


@dataclass(frozen=True)
class Plot:
    """A drawing of a chart: `label` says it in words; ticks are places [px] and their texts."""

    kind: str
    label: str
    unit: str
    x_name: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    shapes: Sequence[Shape]


@dataclass(frozen=True)
class Chart:
    """Curves over one axis. `unit` is that of the values; `log`: also offer a logarithmic scale."""

    title: str
    caption: str
    x_name: str
    unit: str
    lines: Sequence[Line]
    log: bool = False

    @property
    def runs(self) -> Mapping[int, str]:
        """Names of its runs by number."""
        return {line.number: line.run for line in self.lines}

    def plots(self) -> list[Plot]:
        """The linear drawing and, where it is wanted and all values are positive, the logarithmic one."""
        described = " ".join(_spoken(line) for line in self.lines if line.style != "faint")
        label = f"{self.title}, over {self.x_name}. {described}"
        plots = [self._plot("linear", label)]
        if self.log and min((value for line in self.lines for value in line.y), default=0.0) > 0:
            plots.append(self._plot("logarithmic", f"Logarithmic scale. {label}"))
        return plots

    def _plot(self, kind: str, label: str) -> Plot:
        ys = [value for line in self.lines for value in line.y]
        across = Scale.over(0, max(value for line in self.lines for value in line.x), (LEFT, RIGHT))
        up = Scale.over(min(ys), max(ys), (BOTTOM, TOP), logarithmic=kind == "logarithmic", room=0.04)
        shapes = []
        for line in sorted(self.lines, key=lambda line: line.style != "faint"):  # faint ones below the others
            places = [(across(x), up(y)) for x, y in zip(line.x, line.y, strict=True)]
            words = [f"{line.label}: {y:.4g} at {x:g}" for x, y in zip(line.x, line.y, strict=True)]
            dotted = line.style == "dashed" or len(places) == 1
            dots = [(x, y, text) for (x, y), text in zip(places, words, strict=True)] if dotted else []
            shapes.append(Shape(line.number, line.style, points=places, dots=dots))
        return Plot(kind, label, self.unit, self.x_name, across.ticks(), up.ticks(), shapes)

    def values(self) -> Table:
        """The last value of each curve that is in the text, up to ten places of the axis."""
        lines = [line for line in self.lines if line.style != "faint"]
        low, high = min(min(line.x) for line in lines), max(max(line.x) for line in lines)
        places = sorted({round(low + (high - low) * share / _COLUMNS, 1) for share in range(_COLUMNS + 1)} | {high})
        rows = []
        for line in lines:
            before = [[y for x, y in zip(line.x, line.y, strict=True) if x <= place + 1e-9] for place in places]
            rows.append([line.label, *(f"{one[-1]:.4g}" if one else "–" for one in before)])
        caption = f"{self.title}: last value up to each {self.x_name}"
        return Table(caption, [self.x_name, *(f"{place:g}" for place in places)], rows)


def _spoken(line: Line) -> str:
    ends, limits = f"from {line.y[0]:.3g} to {line.y[-1]:.3g}", f"between {min(line.y):.3g} and {max(line.y):.3g}"
    return f"{line.label}: {ends}, {limits}."


@dataclass(frozen=True)
class Bars:
    """Groups of bars: one value a group and run, None where there is none."""

    title: str
    caption: str
    unit: str
    groups: Sequence[str]
    series: Sequence[tuple[str, int, Sequence[float | None]]]  # name and number of the run, values
    log: bool = field(default=False, init=False)

    @property
    def runs(self) -> Mapping[int, str]:
        """Names of its runs by number."""
        return {number: name for name, number, _ in self.series}

    def plots(self) -> list[Plot]:
        """Its drawing; none without a value."""
        shown = [
            [value if value is not None and math.isfinite(value) else None for value in v] for *_, v in self.series
        ]
        known = [value for values in shown for value in values if value is not None]
        if not known:
            return []
        up, space = Scale.over(0, max(known), (BOTTOM, TOP)), (RIGHT - LEFT) / len(self.groups)
        wide, starts = 0.8 * space / len(self.series), [LEFT + space * (n + 0.1) for n in range(len(self.groups))]
        shapes, spoken = [], []
        for order, ((name, number, _), values) in enumerate(zip(self.series, shown, strict=True)):
            places = zip(starts, self.groups, values, strict=True)
            found = [(left, group, value) for left, group, value in places if value is not None]
            bars = [
                (left + order * wide, up(value), wide, BOTTOM - up(value), f"{name}, {group}: {value:.4g}")
                for left, group, value in found
            ]
            shapes.append(Shape(number, bars=bars))
            spoken.append(f"{name}: " + ", ".join(f"{group} {value:.3g}" for _, group, value in found))
        ticks = [(left + 0.4 * space, group) for left, group in zip(starts, self.groups, strict=True)]
        return [Plot("linear", f"{self.title}. {' '.join(spoken)}", self.unit, "", ticks, up.ticks(), shapes)]


@dataclass(frozen=True)
class Scale:
    """Maps `low`..`high` to `start`..`end` [px]."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def over(
        cls, low: float, high: float, places: tuple[float, float], *, logarithmic: bool = False, room: float = 0.0
    ) -> "Scale":
        """A scale over values with `room` (share of the span) at both ends; equal ends are moved apart."""
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        if high - low < 1e-9 * max(1.0, abs(low)):
            low, high = low - 0.5, high + 0.5
        span = (high - low) * room
        low, high = low - span, high + span
        return cls(10**low, 10**high, *places, True) if logarithmic else cls(low, high, *places)

    def __call__(self, value: float) -> float:
        """Place of a value [px]."""
        along: Callable[[float], float] = math.log10 if self.logarithmic else float
        low, high = along(self.low), along(self.high)
        return self.start + (along(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and texts of about five round numbers within it."""
        return [(self(tick), f"{tick:g}") for tick in self.round_values()]

    def round_values(self) -> list[float]:
        """About five round numbers within it."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        spanned = math.log10(self.high / self.low) if self.logarithmic else 0.0
        if spanned < 1:  # of less than a decade 1, 2, 5 would leave one or two
            found = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        else:
            factors = (1.0,) if spanned > 3 else (1.0, 2.0, 5.0)
            found = LogLocator(subs=factors, numticks=8).tick_values(self.low, self.high)
        ends = sorted((self.start, self.end))
        inside = [tick for tick in found if tick > 0 or not self.logarithmic]
        inside = [tick for tick in inside if ends[0] - 1e-6 <= self(tick) <= ends[1] + 1e-6]
        return [float(f"{tick:.10g}") for tick in inside]  # 0.30000000000000004 is no label
