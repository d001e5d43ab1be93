"""A picture of what has grown and where the conflicts were. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advmtl.config.growth import STRIDES, Detection, Place
from advmtl.drawing.canvas import Box, Canvas, Point, text_size
from preprocessing.ground import write_png

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's
_GREY, _INK, _QUIET = "#E4E4E4", "#222222", "#777777"
_LEFT, _COLUMN, _BLOCK = 226, 170, (112, 40)  # pixels: of the row titles, of a stage, of a module
_ROW, _CELL, _TOP, _GAP = 72, 30, 78, 28
_RIGHT = 240
_RED, _BLUE = (213, 94, 0), (0, 114, 178)
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
    network = _TOP + _ROW * (1 + len(owners)) + 10
    table = _GAP + _CELL * len(pairs) + 16
    canvas = Canvas(_LEFT + _COLUMN * len(STRIDES) + _RIGHT, network + 40 + table * len(detections) + 14)
    _network(canvas, detections, owners)
    canvas.text((16, 36), best, size=13, colour=_QUIET)
    limit = max([_LEAST, *(abs(cosine) for one in detections for cosine in one.cosines.values())])
    canvas.text(
        (16, network + 8),
        f"Conflicts: Q, mini-batches with a negative cosine, and the mean cosine, from orange, -{limit:.2f}, "
        f"to blue, +{limit:.2f}. Framed: conflict by Eq. 13.",
        size=13,
        colour=_QUIET,
    )
    for number, detection in enumerate(detections):
        _table(canvas, detection, pairs, limit, network + 40 + table * number)
    return canvas.pixels()


def _network(canvas: Canvas, detections: Sequence[Detection], owners: Sequence[tuple[str, ...]]) -> None:
    came = {place: one.number for one in detections for place in one.grown}
    canvas.text((16, 14), f"After detection {detections[-1].number}: {_millions(detections[-1].parameters)}", size=17)
    blocks = [_block(stage, 0) for stage in range(1, len(STRIDES) + 1)]
    canvas.text((16, _middle(blocks[0])[1]), "shared by all tasks", anchor="lm")
    # The stem's map, which the first stage's modules read.
    start = (blocks[0][0] - 34, _middle(blocks[0])[1])
    for before, block in zip([(0.0, 0.0, start[0], 2 * start[1]), *blocks], blocks, strict=False):
        canvas.line((before[2], start[1]), (block[0], start[1]), _INK, 2)
    for stage, (block, stride) in enumerate(zip(blocks, STRIDES, strict=True), 1):
        canvas.box(block, fill=_GREY, outline=_INK)
        canvas.text(_middle(block), f"stage {stage}, stride {stride}", size=13, anchor="mm")
    canvas.line((blocks[-1][2], start[1]), (blocks[-1][2] + 36, start[1]), _INK, 2)
    canvas.text((blocks[-1][2] + 44, start[1]), "decoder: z", anchor="lm")
    for row, names in enumerate(owners, 1):
        colour, y = _COLOURS[(row - 1) % len(_COLOURS)], _middle(_block(1, row))[1]
        canvas.text((16, y), "~".join(names), size=_fitting("~".join(names), _LEFT - 60), anchor="lm", colour=colour)
        places = [place for place in came if place.owners == names]
        for place in places:
            _module(canvas, place, came, colour, row)
        rail = y + _BLOCK[1] / 2 + 8
        first = min(_middle(_block(place.stage, row))[0] for place in places)
        end = _block(len(STRIDES), 0)[2] + 36
        canvas.line((first, rail), (end, rail), colour, 2)
        text = f"fused: {', '.join(names)}"
        canvas.text((end + 8, rail), text, size=_fitting(text, _RIGHT - 60), anchor="lm", colour=colour)


def _module(canvas: Canvas, place: Place, came: dict[Place, int], colour: str, row: int) -> None:
    block, shared = _block(place.stage, row), _block(place.stage, 0)
    x, y = _middle(block)
    # From the stage's input: the line between two shared blocks.
    entry = shared[0] - 12
    canvas.line((entry, _middle(shared)[1]), (entry, y - 8), _QUIET, 1.5)
    canvas.line((entry, y - 8), (block[0], y - 8), _QUIET, 1.5)
    if Place(place.stage - 1, place.owners) in came:
        canvas.line((_block(place.stage - 1, row)[2], y + 6), (block[0], y + 6), colour, 2.5)
    canvas.line((x, block[3]), (x, y + _BLOCK[1] / 2 + 8), colour, 2)
    canvas.box(block, fill=_tint(colour), outline=colour)
    canvas.text((x, y), f"detection {came[place]}", size=13, anchor="mm")


def _table(canvas: Canvas, detection: Detection, pairs: Sequence[tuple[str, ...]], limit: float, top: float) -> None:
    average = "" if detection.threshold is None else f", average {detection.threshold:.2f}"
    canvas.text(
        (16, top + 4),
        f"detection {detection.number} after step {detection.step}{average}: "
        f"{len(detection.grown)} new, {_millions(detection.parameters)}",
        size=14,
    )
    for row, pair in enumerate(pairs):
        y = top + _GAP + _CELL * row
        canvas.text((16, y + _CELL / 2), "~".join(pair), size=_fitting("~".join(pair), _LEFT - 30), anchor="lm")
        for stage in range(1, len(STRIDES) + 1):
            place = Place(stage, pair)
            x = _LEFT + _COLUMN * (stage - 1)
            box = (x, y, x + _COLUMN - 6, y + _CELL - 4)
            cosine = detection.cosines.get(place)
            canvas.box(box, fill=_shade(cosine, limit))
            if place in detection.conflicts:
                for inset in (0, 1):
                    canvas.box((box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset), outline=_INK)
            text = f"{detection.counts.get(place, 0)}" + ("" if cosine is None else f"   {cosine:+.2f}")
            canvas.text((x + (_COLUMN - 6) / 2, y + _CELL / 2 - 2), text, size=14, anchor="mm")
            new = any(one.stage == stage and set(one.owners) <= set(pair) for one in detection.grown)
            if new and place in detection.conflicts:
                canvas.text((box[2] - 10, y + _CELL / 2 - 2), "new", size=14, anchor="rm")


def _block(stage: int, row: int) -> Box:
    x = _LEFT + _COLUMN * (stage - 1) + (_COLUMN - _BLOCK[0]) / 2
    y = _TOP - 18 + _ROW * row
    return x, y, x + _BLOCK[0], y + _BLOCK[1]


def _middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _fitting(text: str, width: float) -> int:
    """The largest of the sizes in which a text is not wider."""
    return next((size for size in (15, 14, 13, 12, 11, 10) if text_size(text, size)[0] <= width), 9)


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.3f} M parameters"


def _tint(colour: str) -> str:
    """A colour thinned with white, for what carries text."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - 0.3 * (255 - part)):02x}" for part in parts)


def _shade(cosine: float | None, limit: float) -> str:
    if cosine is None:
        return "#ffffff"
    share = 0.75 * min(1.0, abs(cosine) / limit)
    full = _RED if cosine < 0 else _BLUE
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in full)
