"""A picture of the grown network and of the gradient conflicts. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from advmtl.config import STRIDES, Detection, Place
from advmtl.drawing.charts import COLOURS, axes_at, new_figure, pixels, points, text_at
from preprocessing.ground import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _QUIET = "#222222", "#777777"
_WIDTH, _LEFT, _STAGES, _ROW, _CELL = 1146, 226, 680, 72, 30  # [px]: whole, of the titles, of four columns, of rows
_TOP, _HEAD = 60, 30  # [px] above the network, above a table
_LEAST = 0.1  # the colours' scale, at least: cosines of noise must not look like conflicts


def write_growth(path: Path, detections: Sequence[Detection], best: str = "") -> bool:
    """Draw all detections of a run; `best` as in `draw_growth`. Returns: whether there was any."""
    if detections:
        write_png(path, draw_growth(detections, best))
    return bool(detections)


def held_text(held: Sequence[Detection]) -> str:
    """What best.pt holds, of the detections that had been made when it was saved."""
    numbers = [str(one.number) for one in held if one.grown]
    if not numbers:
        return "best.pt holds no modules"
    several = f"detections {', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"best.pt holds {several if numbers[1:] else f'detection {numbers[0]}'}: {_millions(held[-1].parameters)}"


def draw_growth(detections: Sequence[Detection], best: str = "") -> NDArray[np.uint8]:
    """The grown network over the conflicts of each detection, RGB uint8 [H,W,3].

    Above, stages are columns: the shared blocks, and under them the modules, a row for the tasks they belong to, with
    the number of the detection they came with. Below, a table a detection: Q and the mean cosine of every pair at every
    stage, orange where gradients point apart, framed where Eq. 13 says that they conflict, marked where a module came.

    The network is that after the last detection; `best` stands under the heading, for what best.pt holds (`held_text`).
    """
    owners = list(dict.fromkeys(place.owners for one in detections for place in one.grown))
    pairs = list(dict.fromkeys(place.owners for one in detections for place in one.counts))
    network, table = _ROW * (1 + len(owners)) + 8, _HEAD + _CELL * len(pairs) + 14
    tables = _TOP + network + 40
    figure = new_figure(_WIDTH, tables + table * len(detections) + 14)
    last = detections[-1]
    text_at(figure, 16, 12, f"After detection {last.number}: {_millions(last.parameters)}", 17)
    text_at(figure, 16, 38, best, 13, _QUIET)
    _network(axes_at(figure, 0, _TOP, _WIDTH, network), detections, owners)
    limit = max([_LEAST, *(abs(cosine) for one in detections for cosine in one.cosines.values())])
    words = "Conflicts: Q, mini-batches with a negative cosine, and the mean cosine, from orange"
    words += f", -{limit:.2f}, to blue, +{limit:.2f}. Framed: conflict by Eq. 13."
    text_at(figure, 16, _TOP + network + 8, words, 13, _QUIET)
    for number, one in enumerate(detections):
        top = tables + table * number
        average = "" if one.threshold is None else f", average {one.threshold:.2f}"
        heading = f"detection {one.number} after step {one.step}{average}: {len(one.grown)} new"
        text_at(figure, 16, top + 4, f"{heading}, {_millions(one.parameters)}", 14)
        if pairs:
            _table(axes_at(figure, _LEFT, top + _HEAD, _STAGES, _CELL * len(pairs)), one, pairs, limit)
    return pixels(figure)


def _network(axes: "Axes", detections: Sequence[Detection], owners: Sequence[tuple[str, ...]]) -> None:
    """The shared stages in a row, and a row of modules for every group of tasks that has some; stages are 1 apart."""
    column, stages = _STAGES / len(STRIDES), range(1, len(STRIDES) + 1)
    axes.set_axis_off()
    axes.set(xlim=(0.5 - _LEFT / column, 0.5 + (_WIDTH - _LEFT) / column), ylim=(len(owners) + 0.5, -0.5))
    title, end = 0.5 - (_LEFT - 16) / column, len(STRIDES) + 0.56
    axes.plot((0.45, end), (0, 0), color=_INK, lw=points(2))
    axes.text(end + 0.06, 0, "decoder: z", size=points(15), va="center")
    axes.text(title, 0, "shared by all tasks", size=points(15), va="center")
    for stage in stages:
        _box(axes, stage, 0, f"stage {stage}\nstride {STRIDES[stage - 1]}", _INK, "#E4E4E4")
    came = {place: one.number for one in detections for place in one.grown}
    for row, names in enumerate(owners, 1):
        colour, fused = COLOURS[(row - 1) % len(COLOURS)], row + 0.4
        places = sorted((place for place in came if place.owners == names), key=lambda place: place.stage)
        axes.text(title, row, _broken("~".join(names)), size=points(14), va="center", color=colour)
        axes.plot((places[0].stage, end), (fused, fused), color=colour, lw=points(2))
        axes.text(end + 0.06, fused, _broken(f"fused: {', '.join(names)}"), size=points(14), va="center", color=colour)
        for place in places:
            # From the stage's input, the line between two shared blocks; from the module before; and down to the rail.
            x = place.stage
            axes.plot((x - 0.43, x - 0.43, x), (0, row, row), color=_QUIET, lw=points(1.5), zorder=1)
            if Place(x - 1, names) in came:
                axes.plot((x - 1, x), (row + 0.12,) * 2, color=colour, lw=points(2.5), zorder=1)
            axes.plot((x, x), (row, fused), color=colour, lw=points(2), zorder=1)
            _box(axes, x, row, f"detection {came[place]}", colour, _tint(colour))


def _box(axes: "Axes", stage: float, row: float, text: str, colour: str, fill: str) -> None:
    from matplotlib.patches import Rectangle

    half = (0.33, 0.28)  # of a column and of a row
    axes.add_patch(Rectangle((stage - half[0], row - half[1]), 2 * half[0], 2 * half[1], fc=fill, ec=colour, zorder=2))
    axes.text(stage, row, text, size=points(13), ha="center", va="center", zorder=3)


def _table(axes: "Axes", detection: Detection, pairs: Sequence[tuple[str, ...]], limit: float) -> None:
    """Pairs in rows, stages in columns, cells coloured by the mean cosine."""
    from matplotlib.patches import Rectangle

    axes.set(xlim=(0.5, len(STRIDES) + 0.5), ylim=(len(pairs) - 0.5, -0.5))
    axes.set_yticks(range(len(pairs)), [_broken("~".join(pair)) for pair in pairs], size=points(13))
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    for row, pair in enumerate(pairs):
        for stage in range(1, len(STRIDES) + 1):
            place = Place(stage, pair)
            cosine, conflict = detection.cosines.get(place), place in detection.conflicts
            new = conflict and any(one.stage == stage and set(one.owners) <= set(pair) for one in detection.grown)
            text = f"{detection.counts.get(place, 0)}" + ("" if cosine is None else f"   {cosine:+.2f}")
            axes.text(stage, row, text, size=points(13), ha="center", va="center")
            share = 0.0 if cosine is None else 0.75 * min(1.0, abs(cosine) / limit)
            fill, edge = _tint(COLOURS[1 if (cosine or 0) < 0 else 0], share), _INK if conflict else "none"
            axes.add_patch(Rectangle((stage - 0.48, row - 0.43), 0.96, 0.86, fc=fill, ec=edge, lw=points(2)))
            if new:
                axes.text(stage + 0.44, row, "new", size=points(13), ha="right", va="center")


def _broken(text: str) -> str:
    """Long names on two lines."""
    middle = max(text.rfind(sign, 0, 2 + len(text) // 2) for sign in "~,_ ") + 1
    return text if len(text) <= 24 or not middle else f"{text[:middle]}\n{text[middle:].lstrip()}"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.3f} M parameters"


def _tint(colour: str, share: float = 0.3) -> str:
    """A colour thinned with white, for what carries text."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)
