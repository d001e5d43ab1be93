"""The picture of a study: the Pareto front of its objectives, or how the best value has risen."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from advmtl.compare import free_offset
from advmtl.drawing import COLOURS, axes_at, new_figure, pixels, points
from advmtl.tune.front import Front
from advmtl.tune.objective import Objective
from advmtl.tune.plan import Plan
from advmtl.tune.records import TrialRecord
from preprocessing.ground import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLOT = (720, 540)  # of one panel [px]
_LEFT, _TOP, _BOTTOM, _GAP = 92, 44, 96, 28
_LINE, _DOT, _OWN, _BALANCED = COLOURS[0], "#9A9A9A", COLOURS[1], COLOURS[2]
_MARK = 13  # across [px]


def write_picture(plan: Plan, trials: Sequence[TrialRecord], front: Front | None) -> bool:
    """Write front.png, or history.png where there is one objective. Returns: whether there was something to draw."""
    complete = [one for one in trials if one.metrics]
    if not complete:
        return False
    if front is None:
        write_png(plan.folder / "history.png", pixels(draw_history(complete, plan.objectives[0])))
    else:
        write_png(plan.folder / "front.png", pixels(draw_front(complete, plan.objectives, front)))
    return True


def draw_front(complete: Sequence[TrialRecord], objectives: Sequence[Objective], front: Front) -> "Figure":
    """One panel per pair of objectives, the better the further up and to the right; the front's trials are numbered."""
    pairs = list(combinations(objectives, 2))
    cell = (_LEFT + _PLOT[0] + _GAP, _TOP + _PLOT[1] + _BOTTOM)
    across = min(2, len(pairs))
    figure = new_figure(cell[0] * across, cell[1] * math.ceil(len(pairs) / 2))
    for number, pair in enumerate(pairs):
        left, top = cell[0] * (number % 2), cell[1] * (number // 2)
        _panel(axes_at(figure, left + _LEFT, top + _TOP, *_PLOT), complete, pair, front)
    return figure


def _panel(axes: "Axes", complete: Sequence[TrialRecord], pair: tuple[Objective, Objective], front: Front) -> None:
    x, y = pair
    places = {one.number: (one.metrics[x.key], one.metrics[y.key]) for one in complete}
    corner = (front.reference[x.key], front.reference[y.key])
    everywhere = [*places.values(), corner]
    for objective, values, limit, label in (
        (x, [place[0] for place in everywhere], axes.set_xlim, axes.set_xlabel),
        (y, [place[1] for place in everywhere], axes.set_ylim, axes.set_ylabel),
    ):
        margin = 0.08 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 0.05
        ends = (min(values) - margin, max(values) + margin)
        limit(*(ends if objective.higher else ends[::-1]))
        reverse = "" if objective.higher else ", axis reversed"
        label(f"{objective.key} [{objective.unit}]{reverse}", size=points(15))
    on_front = [places[one.number] for one in front.trials]
    inside = [
        place for place in on_front if all(o.loss(v) < o.loss(c) for o, v, c in zip(pair, place, corner, strict=True))
    ]
    if len(front.reference) == 2 and inside:
        _stairs(axes, inside, corner)
    style: dict[str, Any] = {"ls": "", "mec": "black", "mew": points(1.2), "zorder": 3}
    others = [place for number, place in places.items() if number not in {one.number for one in front.trials}]
    if others:
        axes.plot(*zip(*others, strict=True), "o", color=_DOT, ms=points(8), mew=0, zorder=2, label="trial")
    own = [places[one.number] for one in complete if one.own]
    axes.plot(*zip(*on_front, strict=True), marker="o", color=_LINE, ms=points(_MARK), label="on the front", **style)
    if own:
        axes.plot(*zip(*own, strict=True), marker="s", color=_OWN, ms=points(10), label="own values", **style)
    middle = places[front.balanced.number]
    axes.plot(*middle, "o", mfc="none", mec=_BALANCED, mew=points(3), ms=points(24), zorder=4, label="balanced")
    axes.plot(*corner, "x", color="black", ms=points(_MARK), mew=points(2), zorder=4, label="reference point")
    axes.set_title(
        f"upper right is better · hypervolume {100 * front.share:.1f} % of the box", loc="right", size=points(13)
    )
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=5, frameon=False, fontsize=points(13), markerscale=0.8
    )
    _numbers(axes, {one.number: places[one.number] for one in front.trials}, [*others, *own, corner])


def _stairs(axes: "Axes", on_front: Sequence[tuple[float, float]], corner: tuple[float, float]) -> None:
    """The border of what the front dominates, down to the reference point, and the area within."""
    ordered = sorted(on_front, key=lambda place: abs(place[0] - corner[0]))
    xs, ys = [corner[0]], [ordered[0][1]]
    for place in ordered:
        if len(xs) > 1:
            xs.append(xs[-1])
            ys.append(place[1])
        xs.append(place[0])
        ys.append(place[1])
    xs.append(xs[-1])
    ys.append(corner[1])
    axes.fill([*xs, corner[0]], [*ys, corner[1]], color=_LINE, alpha=0.08, lw=0, zorder=0)
    axes.plot(xs, ys, color=_LINE, lw=points(1.5), zorder=1)


def _numbers(axes: "Axes", places: dict[int, tuple[float, float]], others: Sequence[tuple[float, float]]) -> None:
    """Each trial's number beside it, where it hides neither a sign nor another number."""
    signs = [*((place, 9.0) for place in places.values()), *((place, 6.0) for place in others)]
    taken = [(*axes.transData.transform(place), half) for place, half in signs]
    for number, place in places.items():
        x, y = axes.transData.transform(place)
        dx, dy = free_offset((x, y), taken, axes.bbox.extents)
        taken.append((x + dx, y + dy, 10.0))
        axes.annotate(
            str(number), place, (points(dx), points(dy)), textcoords="offset points", ha="center", va="center",
            size=points(14), zorder=5,
        )  # fmt: skip


def draw_history(complete: Sequence[TrialRecord], objective: Objective) -> "Figure":
    """Every complete trial's value, and the best one so far."""
    figure = new_figure(_LEFT + _PLOT[0] + _GAP, _TOP + _PLOT[1] + _BOTTOM)
    axes = axes_at(figure, _LEFT, _TOP, *_PLOT)
    ordered = sorted(complete, key=lambda one: one.number)
    numbers, values = [one.number for one in ordered], [one.metrics[objective.key] for one in ordered]
    best: list[float] = []
    for value in values:
        best.append(value if not best or objective.loss(value) < objective.loss(best[-1]) else best[-1])
    axes.step(numbers, best, where="post", color=_LINE, lw=points(2), label="best so far")
    axes.plot(numbers, values, "o", color=_DOT, ms=points(8), mew=0, label="trial")
    own = [(one.number, one.metrics[objective.key]) for one in ordered if one.own]
    if own:
        axes.plot(*zip(*own, strict=True), "s", color=_OWN, ms=points(10), label="own values")
    if not objective.higher:
        axes.invert_yaxis()
    axes.set_xlabel("trial", size=points(15))
    axes.set_ylabel(
        f"{objective.key} [{objective.unit}]{'' if objective.higher else ', axis reversed'}", size=points(15)
    )
    axes.locator_params("x", integer=True)
    axes.set_title("up is better", loc="right", size=points(13))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=3, frameon=False, fontsize=points(13))
    return figure
