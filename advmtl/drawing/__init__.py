"""Pictures of frames and results, of a run during training, and of growth; each task draws its own maps.

`Evolution` and `sample_panel` need torch and are imported when they are first asked for.
"""

from typing import TYPE_CHECKING

from advmtl.drawing.charts import COLOURS, MARKERS, axes_at, new_figure, pixels, points, series_style, text_at
from advmtl.drawing.growth import draw_growth, held_text, write_growth
from advmtl.drawing.visualize import evolution_gif, result_panel

if TYPE_CHECKING:
    from advmtl.drawing.panels import Evolution, sample_panel


def __getattr__(name: str) -> object:
    if name not in ("Evolution", "sample_panel"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from advmtl.drawing import panels

    return getattr(panels, name)
