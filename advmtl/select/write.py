"""The list a labelling team takes (selection.csv for people, selection.json for programs and the trainer), its frames
on one sheet, and how well they cover the set as a chart.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from advmtl.data import source_name
from advmtl.drawing import COLOURS, axes_at, new_figure, pixels, points
from advmtl.select.choice import Pick, Rule
from advmtl.select.features import Frames
from advmtl.tasks import RGB, FrameRecord, caption, row_of, stack
from preprocessing.ground import InputError, atomic_write, write_bytes, write_json, write_png

COLUMNS = ("rank", "frame", "source", "image", "distance", "disagreement", "reason")
UNITS = {
    "distance": "to the nearest frame chosen before or labelled; feature L2, any two frames are about 1.4 apart",
    "disagreement": "mean |log(1 + m) - log(1 + m')| of teacher's and student's depth in metres; 0.1 is about 10 %",
    "radius": "largest distance of a candidate to its nearest chosen or labelled frame; feature L2",
    "image": "path below the source's root",
}

SHEET_FRAMES = 60
"""Frames on the sheet at most: ten rows of six."""
_COLUMNS, _THUMBNAIL_PX = 6, 256  # width of one


def list_rows(picks: Sequence[Pick], frames: Frames, disagreement: Sequence[float] | None) -> list[dict[str, Any]]:
    """One row per chosen frame, by `COLUMNS`; None where a frame has no such metric."""
    return [
        {
            "rank": rank,
            "frame": frames.records[pick.place].name,
            "source": frames.source_of(pick.place),
            "image": frames.image_of(pick.place),
            "distance": None if pick.distance is None else round(pick.distance, 6),
            "disagreement": None if disagreement is None else round(disagreement[pick.place], 6),
            "reason": pick.reason,
        }
        for rank, pick in enumerate(picks, start=1)
    ]


def write_list(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    picks: Sequence[Pick],
    frames: Frames,
    rule: Rule,
    runs: dict[str, str | None],
) -> None:
    """Write selection.csv and selection.json; a label budget keeps `frames` and `labelled_frames` of the latter."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = {
        "format": 1,
        **runs,
        "by": rule.by,
        **({"pool": rule.pool} if rule.by == "both" else {}),
        "seed": rule.seed,
        "sources": list(dict.fromkeys(source_name(source) for source in frames.sources)),
        "candidates": frames.labelled.count(False),
        "labelled": frames.labelled.count(True),
        "labelled_frames": frames.labelled_before,
        "units": UNITS,
        "frames": [row["frame"] for row in rows],
        "chosen": list(rows),
        "radius": [round(pick.radius, 6) for pick in picks],
        "mean_distance": [round(pick.mean, 6) for pick in picks],
        "skipped": [{"frame": one.name, "reason": one.reason} for one in frames.skipped],
    }
    write_json(folder / "selection.json", content)  # first: by it a later call knows all for results
    write_bytes(folder / "selection.csv", text.getvalue().encode())


def write_sheet(path: Path, picks: Sequence[Pick], rows: Sequence[dict[str, Any]], frames: Frames) -> None:
    """Draw the first `SHEET_FRAMES` chosen frames as JPEG: rank and name, distance and disagreement, picture."""
    tiles = []
    for pick, row in zip(picks[:SHEET_FRAMES], rows, strict=False):
        figures = [f"{row['distance']:.2f} away"] if row["distance"] is not None else ["first"]
        figures += [f"disagreement {row['disagreement']:.3f}"] if row["disagreement"] is not None else []
        tiles.append((_thumbnail(frames.records[pick.place]), f"{row['rank']}  {row['frame']}", figures))
    height = max(tile.shape[0] for tile, _, _ in tiles)
    drawn = [caption(caption(_padded(tile, height), ", ".join(figures)), title) for tile, title, figures in tiles]
    lines = [row_of(drawn[start : start + _COLUMNS]) for start in range(0, len(drawn), _COLUMNS)]
    with atomic_write(path) as temporary:
        Image.fromarray(stack(lines)).save(temporary, quality=88)


def _thumbnail(record: FrameRecord) -> RGB:
    try:
        image = record.picture()
    except InputError:  # it was there a minute ago; the list is worth more than its picture
        return np.full((_THUMBNAIL_PX // 2, _THUMBNAIL_PX, 3), 60, np.uint8)
    height = round(_THUMBNAIL_PX * min(image.shape[0] / image.shape[1], 1.5))
    return cv2.resize(image, (_THUMBNAIL_PX, height), interpolation=cv2.INTER_AREA)


def _padded(tile: RGB, height: int) -> RGB:
    return np.pad(tile, ((0, height - tile.shape[0]), (0, 0), (0, 0)), constant_values=24)


def write_coverage(path: Path, picks: Sequence[Pick], labelled: int) -> None:
    """Draw the largest and the mean distance of the frames to their nearest chosen one, against the number chosen."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(734, 464)
    axes = axes_at(figure, 70, 44, 640, 360)
    numbers, marker = range(1, len(picks) + 1), "s" if len(picks) <= 60 else ""
    for values, colour, text in (
        ([pick.radius for pick in picks], COLOURS[0], "farthest frame"),
        ([pick.mean for pick in picks], COLOURS[1], "mean over all frames"),
    ):
        axes.plot(numbers, values, color=colour, marker=marker, ms=points(5), lw=points(2), label=text)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#E4E4E4")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_title("Distance to the nearest chosen frame", loc="left", size=points(15))
    axes.set_xlabel("frames chosen" + (f" (and {labelled} labelled before)" if labelled else ""), size=points(15))
    axes.set_ylabel("feature L2", size=points(15))
    axes.legend(loc="upper right", frameon=False, fontsize=points(13))
    write_png(path, pixels(figure))
