"""matplotlib figures of a given pixel size without a window system, as arrays.

matplotlib is imported where something is drawn, not before.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
# Okabe and Ito's colours, which stay apart for the colour-blind, and two more; then the same again in another shape.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#6B6B00")
MARKERS = ("o", "s", "^", "D")


def points(pixels: float) -> float:
    """Matplotlib's unit of sizes and line widths."""
    return pixels * 72 / DPI


def series_style(number: int) -> tuple[str, str]:
    """Colour and marker of series `number`, counted from 0."""
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]


def new_figure(width: int, height: int) -> "Figure":
    """A white figure of `width` x `height` [px]."""
    from matplotlib.figure import Figure

    return Figure((width / DPI, height / DPI), dpi=DPI, facecolor="white")


def axes_at(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes at a place of the figure [px], from its upper left corner."""
    across, down = (side * DPI for side in figure.get_size_inches())
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.tick_params(labelsize=points(13))
    return axes


def text_at(figure: "Figure", left: float, top: float, text: str, size: float = 15, colour: str = "black") -> None:
    """A line of text whose upper left corner is at a place of the figure; `size` [px]."""
    across, down = (side * DPI for side in figure.get_size_inches())
    figure.text(left / across, 1 - top / down, text, size=points(size), color=colour, va="top")


def pixels(figure: "Figure") -> NDArray[np.uint8]:
    """The picture, RGB uint8 `[H, W, 3]`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
