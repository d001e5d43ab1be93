"""Best and worst frames as part of the page."""

from collections.abc import Sequence
from html import escape

from advmtl.report.extremes import RANKED_BY, RGB, Extremes
from advmtl.report.names import heading_of, name_of
from advmtl.report.pictures import encoded
from advmtl.report.reading import Row, RunRecord
from advmtl.report.results import cell
from preprocessing.ground.web_page import Table, table_of

_FIGURES = {"segmentation": ("miou", "pixel_accuracy"), "depth": ("abs_rel", "rmse_m", "delta1")}
_WIDTH = 512


def frame_parts(run: RunRecord, chosen: Sequence[Extremes]) -> list[str]:
    """Per task: how the frames spread, their figures, their pictures."""
    parts = []
    for one in chosen:
        figure, _ = RANKED_BY[one.task]
        best, median, bad, worst = one.spread
        parts.append(f"<h4>{escape(one.task.capitalize())}</h4>")
        parts.append(
            f"<p>Ranked by the frame's own {name_of(figure)}. Best {cell(best, 3)}, half of the frames at least "
            f"as good as {cell(median, 3)}, nine of ten as {cell(bad, 3)}, worst {cell(worst, 3)}.</p>"
        )
        for title, rows in (("Worst", one.worst), ("Best", one.best)):
            if rows:
                parts.append(table_of(_table(f"{title} frames of {run.name}, {one.task}", one.task, rows)))
                parts.append(_pictures(title, one, rows))
    return parts


def _table(caption: str, task: str, rows: Sequence[Row]) -> Table:
    figures = _FIGURES[task]
    cells = [[str(row["frame"]), *(cell(row.get(figure), 3) for figure in figures)] for row in rows]
    return Table(caption, ["Frame", *(heading_of(one) for one in figures)], cells)


def _pictures(title: str, one: Extremes, rows: Sequence[Row]) -> str:
    figures = []
    for place, row in enumerate(rows, 1):
        found = one.pictures.get((row.get("source", ""), row["frame"]))
        if not found:
            continue
        figure, _ = RANKED_BY[one.task]
        cells = "".join(_cell(f"{row['frame']}: {name}", name, picture) for name, picture in found)
        caption = f"{title} {place}: {row['frame']}"
        figures.append(
            f'<figure><div class="frame">{cells}</div><figcaption><strong>{escape(caption)}</strong> '
            f"{name_of(figure)} {cell(row.get(figure), 3)}</figcaption></figure>"
        )
    return f'<div class="frames">{"".join(figures)}</div>' if figures else ""


def _cell(alt: str, name: str, picture: RGB) -> str:
    return f"<div>{encoded(picture, _WIDTH, exact=name != 'image').html(alt)}{escape(name)}</div>"


def class_legend(names: Sequence[str], colours: Sequence[Sequence[int]]) -> str:
    """The classes and their colours."""
    items = "".join(
        f'<li><i style="background:#{bytes(int(v) for v in colour).hex()}"></i>{escape(name)}</li>'
        for name, colour in zip(names, colours, strict=True)
    )
    return f'<ul class="classes">{items}</ul>'
