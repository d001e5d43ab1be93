"""Pictures of frames and results, of a run during training, and of growth; each task draws its own maps.

`Evolution`, `sample_panel` and `batch_picture` need torch and are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from advmtl.drawing.charts import COLOURS, MARKERS, axes_at, new_figure, pixels, points, series_style, text_at
from advmtl.drawing.growth import draw_growth, held_text, write_growth
from advmtl.drawing.visualize import evolution_gif, result_panel

if TYPE_CHECKING:
    from advmtl.drawing.batch import batch_picture
    from advmtl.drawing.panels import Evolution, sample_panel


_TORCH = {"Evolution": "panels", "sample_panel": "panels", "batch_picture": "batch"}


def __getattr__(name: str) -> object:
    if name not in _TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_TORCH[name]}"), name)
