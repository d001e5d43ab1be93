"""The quality report as one self-contained HTML page: no script, no network, light and dark, readable on a phone."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from preprocessing.ground.web_page import Section, Table, bullets, cards, document, figure, image, table_of
from preprocessing.job.preview import colour_values
from preprocessing.quality.pictures import Panel
from preprocessing.quality.summary import (
    band_table,
    count,
    error_table,
    frame_table,
    headlines,
    image_table,
    percent,
)

MOST_SKIPPED = 200


@dataclass(frozen=True)
class Subject:
    """What a page is about; `figures`, `rows` and `skipped` as in `quality.QualityReport`.

    Attributes:
        matcher, split: Whose disparity; of which split, or None for all.
        panels: Pictures by frame, worst first.
    """

    matcher: str
    split: str | None
    figures: dict[str, Any]
    rows: list[dict[str, Any]]
    skipped: list[tuple[str, str]]
    notes: list[str]
    panels: dict[str, list[Panel]]


def page(subject: Subject) -> str:
    """Return the page as HTML."""
    of_split = "all splits" if subject.split is None else f"split {escape(subject.split)}"
    frames = f"{count(subject.figures['frames'], 'frame')} of {of_split} measured, {len(subject.skipped)} skipped."
    return document(
        f"Depth quality of matcher {subject.matcher}",
        f"<p>{frames} All figures are over the pixels of the set, not means of images.</p>",
        [
            Section("figures", "Figures", [cards(headlines(subject.figures)), bullets(subject.notes)]),
            Section("tables", "Tables", [table_of(table) for table in _tables(subject.figures)]),
            Section("worst", f"Worst {count(len(subject.panels), 'frame')}", _worst(subject)),
            Section("skipped", f"Skipped frames ({len(subject.skipped)})", _skipped(subject.skipped)),
        ],
        _gradient(),
    )


def _gradient() -> str:
    """The colour bar of the pictures as CSS, from the very function that colours them."""
    steps = np.linspace(0, 1, 17, dtype=np.float32)[None]
    colours = colour_values(steps, np.ones(steps.shape, dtype=bool), 0, 1)[0]
    stops = ", ".join("#" + bytes(colour).hex() for colour in colours)
    return f".bar {{ background-image: linear-gradient(to right, {stops}); }}\n"


def _tables(figures: dict[str, Any]) -> list[Table]:
    tables = [
        table
        for source, truth in figures["truth"].items()
        for table in (error_table(source, truth), band_table(source, truth))
    ]
    return tables + image_table(figures)


def _worst(subject: Subject) -> list[str]:
    if not subject.panels:
        return ["<p>None drawn.</p>"]
    rows = [row for row in subject.rows if row["frame"] in subject.panels]
    parts = [
        "<p>Ranked by the share of wrong pixels: D1 of valid pixels where there is truth, else textured pixels that "
        f"the disparity does not explain. {_spread(subject.rows)}</p>",
        table_of(frame_table("The worst frames", rows)),
    ]
    for place, row in enumerate(rows, 1):
        figures = "\n".join(_figure(row["frame"], panel) for panel in subject.panels[row["frame"]])
        parts.append(f'<h3>{place}. {escape(row["frame"])}</h3>\n<div class="pictures">\n{figures}\n</div>')
        parts.append(table_of(frame_table(f"Figures of {row['frame']}", [row])))
    return parts


def _spread(rows: list[dict[str, Any]]) -> str:
    """Say how far the worst frames stand out, where all are ranked by the same figure."""
    if len({row["ranked_by"] for row in rows}) != 1:
        return "Not all frames are ranked by the same figure: <code>ranked_by</code> in <code>quality.json</code>."
    half, most, worst = (float(value) for value in np.percentile([row["rank"] for row in rows], (50, 90, 100)))
    return f"Half of the frames have at most {percent(half)}, nine of ten {percent(most)}, the worst {percent(worst)}."


def _figure(frame: str, panel: Panel) -> str:
    bar = f'<div class="bar">{"".join(f"<span>{escape(t)}</span>" for t in panel.ticks)}</div>' if panel.ticks else ""
    picture = image(panel.jpeg, "jpeg", panel.size, f"{frame}: {panel.alt}")
    return figure(picture + bar, panel.title, panel.caption)


def _skipped(skipped: list[tuple[str, str]]) -> list[str]:
    if not skipped:
        return ["<p>None.</p>"]
    rows = [[name, reason] for name, reason in skipped[:MOST_SKIPPED]]
    more = len(skipped) - MOST_SKIPPED
    rest = [f"<p>And {more} more, all listed in <code>quality.json</code>.</p>"] if more > 0 else []
    return [table_of(Table("Left out of every figure", ["Frame", "Reason"], rows), text=True), *rest]
