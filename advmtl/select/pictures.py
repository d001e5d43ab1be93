"""The chosen frames on one sheet, and how well they cover the set as a chart."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from advmtl.compare.picture import round_step
from advmtl.drawing.canvas import Canvas
from advmtl.drawing.visualize import RGB, caption, row_of, stack
from advmtl.select.candidates import Frames
from advmtl.select.choice import Pick
from preprocessing.ground import InputError, atomic_write, read_image, write_png

SHEET_FRAMES = 60
"""Frames on the sheet at most: ten rows of six."""
_COLUMNS, _THUMBNAIL_PX = 6, 256  # width of one
_PLOT, _LEFT, _TOP, _BOTTOM, _RIGHT = (640, 360), 70, 44, 60, 24
_LINES = (("radius", "#0072B2", "farthest frame"), ("mean", "#D55E00", "mean over all frames"))


def write_sheet(path: Path, picks: Sequence[Pick], rows: Sequence[dict[str, Any]], frames: Frames) -> None:
    """Draw the first `SHEET_FRAMES` chosen frames as JPEG: rank and name, distance and disagreement, picture."""
    tiles = []
    for pick, row in zip(picks[:SHEET_FRAMES], rows, strict=False):
        figures = [f"{row['distance']:.2f} away"] if row["distance"] is not None else ["first"]
        figures += [f"disagreement {row['disagreement']:.3f}"] if row["disagreement"] is not None else []
        tiles.append((_thumbnail(frames.records[pick.place].image), f"{row['rank']}  {row['frame']}", figures))
    height = max(tile.shape[0] for tile, _, _ in tiles)
    drawn = [caption(caption(_padded(tile, height), ", ".join(figures)), title) for tile, title, figures in tiles]
    lines = [row_of(drawn[start : start + _COLUMNS]) for start in range(0, len(drawn), _COLUMNS)]
    with atomic_write(path) as temporary:
        Image.fromarray(stack(lines)).save(temporary, quality=88)


def _thumbnail(path: Path) -> RGB:
    try:
        image = read_image(path)
    except InputError:  # it was there a minute ago; the list is worth more than its picture
        return np.full((_THUMBNAIL_PX // 2, _THUMBNAIL_PX, 3), 60, np.uint8)
    height = round(_THUMBNAIL_PX * min(image.shape[0] / image.shape[1], 1.5))
    return cv2.resize(image, (_THUMBNAIL_PX, height), interpolation=cv2.INTER_AREA)


def _padded(tile: RGB, height: int) -> RGB:
    return np.pad(tile, ((0, height - tile.shape[0]), (0, 0), (0, 0)), constant_values=24)


def write_coverage(path: Path, picks: Sequence[Pick], labelled: int) -> None:
    """Draw the largest and the mean distance of the frames to their nearest chosen one, against the number chosen."""
    canvas = Canvas(_LEFT + _PLOT[0] + _RIGHT, _TOP + _PLOT[1] + _BOTTOM)
    left, top, right, bottom = _LEFT, _TOP, _LEFT + _PLOT[0], _TOP + _PLOT[1]
    highest = max(1e-6, *(pick.radius for pick in picks))
    tick_step = round_step(highest / 8)
    upper = tick_step * math.ceil(highest / tick_step)
    across, up = _PLOT[0] / max(1, len(picks) - 1), _PLOT[1] / upper
    for tick in np.arange(0, upper + tick_step / 2, tick_step):
        y = bottom - tick * up
        canvas.line((left, y), (right, y), "#E4E4E4")
        canvas.text((left - 8, y), f"{tick:.3g}", 13, "rm")
    step = max(1, round(round_step(len(picks) / 10)))
    for number in sorted({1, *range(step, len(picks) + 1, step)}):
        canvas.text((left + (number - 1) * across, bottom + 8), str(number), 13, "ma")
    for index, (name, colour, text) in enumerate(_LINES):
        points = [(left + n * across, bottom - getattr(pick, name) * up) for n, pick in enumerate(picks)]
        for start, end in pairwise(points):
            canvas.line(start, end, colour, 2)
        for point in points if len(points) <= 60 else []:
            canvas.box((point[0] - 2, point[1] - 2, point[0] + 2, point[1] + 2), fill=colour, outline=colour)
        at = left + _PLOT[0] / 2 + 130 * index
        canvas.line((at, top - 18), (at + 22, top - 18), colour, 2)
        canvas.text((at + 28, top - 18), text, 13, "lm")
    canvas.box((left, top, right, bottom), outline="black")
    canvas.text((left, top - 18), "Distance to the nearest chosen frame", 15, "lm")
    known = f" (and {labelled} labelled before)" if labelled else ""
    canvas.text(((left + right) / 2, bottom + 32), f"frames chosen{known}", anchor="ma")
    canvas.sideways((18, (top + bottom) / 2), "feature L2")
    write_png(path, canvas.pixels())
