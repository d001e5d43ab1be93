"""The quality report as one self-contained HTML page: no script, no network, light and dark, readable on a phone."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from preprocessing.figure import colour_values
from preprocessing.quality.pictures import Panel
from preprocessing.quality.words import (
    Headline,
    Table,
    band_table,
    count,
    error_table,
    frame_table,
    headlines,
    image_table,
    percent,
)

MOST_SKIPPED = 200

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --quiet: #57606a; --line: #d0d7de;
  --card: #f6f8fa; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --quiet: #9aa4af;
  --line: #3d444d; --card: #161b22; --link: #79c0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.25; } h2 { margin-top: 2.5rem; } h3 { margin-top: 2rem; }
a { color: var(--link); } :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); gap: .75rem;
  margin: 0; padding: 0; }
.cards > div, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; }
.cards dt { font-weight: 600; } .cards dd { margin: 0; } .cards .value { font-size: 1.5rem; line-height: 1.3; }
.quiet, figcaption, caption { color: var(--quiet); font-size: .875rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .75rem .3rem 0; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; } td.text { white-space: normal; min-width: 14rem; text-align: left; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: .75rem; }
figure { margin: 0; } figure img { display: block; width: 100%; height: auto; border-radius: .25rem; }
figcaption strong { color: var(--ink); display: block; }
.bar { display: flex; justify-content: space-between; font-size: .8rem; margin-top: .4rem; padding-top: .7rem;
  background-repeat: no-repeat; background-size: 100% .5rem; }
@media print { .scroll { overflow: visible; } figure { break-inside: avoid; } }
"""


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
    title = f"Depth quality of matcher {escape(subject.matcher)}"
    of_split = "all splits" if subject.split is None else f"split {escape(subject.split)}"
    frames = f"{count(subject.figures['frames'], 'frame')} of {of_split} measured, {len(subject.skipped)} skipped."
    body = [
        f"<header><h1>{title}</h1><p>{frames} All figures are over the pixels of the set, not means of images.</p>",
        _contents(),
        "</header>\n<main>",
        _section("figures", "Figures", [_cards(headlines(subject.figures)), _notes(subject.notes)]),
        _section("tables", "Tables", [_table(table) for table in _tables(subject.figures)]),
        _section("worst", f"Worst {count(len(subject.panels), 'frame')}", _worst(subject)),
        _section("skipped", f"Skipped frames ({len(subject.skipped)})", _skipped(subject.skipped)),
        "</main>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}{_gradient()}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _gradient() -> str:
    """The colour bar of the pictures as CSS, from the very function that colours them."""
    steps = np.linspace(0, 1, 17, dtype=np.float32)[None]
    colours = colour_values(steps, np.ones(steps.shape, dtype=bool), 0, 1)[0]
    stops = ", ".join("#" + bytes(colour).hex() for colour in colours)
    return f".bar {{ background-image: linear-gradient(to right, {stops}); }}\n"


def _contents() -> str:
    sections = (("figures", "Figures"), ("tables", "Tables"), ("worst", "Worst frames"), ("skipped", "Skipped frames"))
    links = " · ".join(f'<a href="#{key}">{text}</a>' for key, text in sections)
    return f'<nav aria-label="Contents">{links}</nav>'


def _section(key: str, title: str, parts: list[str]) -> str:
    return f'<section id="{key}" aria-labelledby="{key}-title">\n<h2 id="{key}-title">{title}</h2>\n' + (
        "\n".join(parts) + "\n</section>"
    )


def _cards(found: list[Headline]) -> str:
    cards = [
        f'<div><dt>{escape(one.name)}</dt><dd class="value">{escape(one.value)}</dd>'
        f'<dd class="quiet">{escape(one.meaning)}</dd></div>'
        for one in found
    ]
    return '<dl class="cards">\n' + "\n".join(cards) + "\n</dl>"


def _notes(notes: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _tables(figures: dict[str, Any]) -> list[Table]:
    tables = [
        table
        for source, truth in figures["truth"].items()
        for table in (error_table(source, truth), band_table(source, truth))
    ]
    return tables + image_table(figures)


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in table.rows
    )
    # Focusable, so that the keyboard can scroll it.
    return (
        f'<div class="scroll" role="region" aria-label="{escape(table.caption)}" tabindex="0"><table>'
        f"<caption>{escape(table.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>"
        "</table></div>"
    )


def _worst(subject: Subject) -> list[str]:
    if not subject.panels:
        return ["<p>None drawn.</p>"]
    rows = [row for row in subject.rows if row["frame"] in subject.panels]
    parts = [
        "<p>Ranked by the share of wrong pixels: D1 of valid pixels where there is truth, else textured pixels that "
        f"the disparity does not explain. {_spread(subject.rows)}</p>",
        _table(frame_table("The worst frames", rows)),
    ]
    for place, row in enumerate(rows, 1):
        figures = "\n".join(_figure(row["frame"], panel) for panel in subject.panels[row["frame"]])
        parts.append(f'<h3>{place}. {escape(row["frame"])}</h3>\n<div class="pictures">\n{figures}\n</div>')
        parts.append(_table(frame_table(f"Figures of {row['frame']}", [row])))
    return parts


def _spread(rows: list[dict[str, Any]]) -> str:
    """Say how far the worst frames stand out, where all are ranked by the same figure."""
    if len({row["ranked_by"] for row in rows}) != 1:
        return "Not all frames are ranked by the same figure: <code>ranked_by</code> in <code>quality.json</code>."
    half, most, worst = (float(value) for value in np.percentile([row["rank"] for row in rows], (50, 90, 100)))
    return f"Half of the frames have at most {percent(half)}, nine of ten {percent(most)}, the worst {percent(worst)}."


def _figure(frame: str, panel: Panel) -> str:
    width, height = panel.size
    data = base64.b64encode(panel.jpeg).decode("ascii")
    bar = f'<div class="bar">{"".join(f"<span>{escape(t)}</span>" for t in panel.ticks)}</div>' if panel.ticks else ""
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{escape(f"{frame}: {panel.alt}")}">{bar}'
        f"<figcaption><strong>{escape(panel.title)}</strong> {escape(panel.caption)}</figcaption></figure>"
    )


def _skipped(skipped: list[tuple[str, str]]) -> list[str]:
    if not skipped:
        return ["<p>None.</p>"]
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="text">{escape(reason)}</td></tr>'
        for name, reason in skipped[:MOST_SKIPPED]
    )
    more = len(skipped) - MOST_SKIPPED
    rest = [f"<p>And {more} more, all listed in <code>quality.json</code>.</p>"] if more > 0 else []
    return [
        '<div class="scroll" role="region" aria-label="Skipped frames" tabindex="0"><table>'
        "<caption>Left out of every figure</caption>\n"
        '<thead><tr><th scope="col">Frame</th><th scope="col">Reason</th></tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>",
        *rest,
    ]
