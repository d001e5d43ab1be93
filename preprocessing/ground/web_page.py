"""One self-contained HTML page: cards, tables, pictures; no script, no network, light and dark, readable on a phone."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
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
th.text { white-space: normal; min-width: 8rem; text-align: left; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: .75rem; }
figure { margin: 0; } figure img { display: block; width: 100%; height: auto; border-radius: .25rem; }
figcaption strong { color: var(--ink); display: block; }
.bar { display: flex; justify-content: space-between; font-size: .8rem; margin-top: .4rem; padding-top: .7rem;
  background-repeat: no-repeat; background-size: 100% .5rem; }
.skip { position: absolute; left: -99rem; } .skip:focus { position: static; }
@media print { .scroll { overflow: visible; } figure { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Headline:
    """A figure with its unit, and a sentence that says what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """Cells as text, ready to print; the first of each row names it."""

    caption: str
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """A part of a page; `key` is its id, `parts` are HTML."""

    key: str
    title: str
    parts: Sequence[str]


def document(title: str, introduction: str, sections: Sequence[Section], style: str = "") -> str:
    """Return the page; `title` is text, `introduction` HTML, `style` more CSS."""
    name = escape(title)
    body = [
        f'<a class="skip" href="#{sections[0].key}">Skip to the content</a>',
        f"<header><h1>{name}</h1>{introduction}",
        _contents(sections),
        "</header>\n<main>",
        *(_section(one) for one in sections),
        "</main>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _contents(sections: Sequence[Section]) -> str:
    links = " · ".join(f'<a href="#{one.key}">{escape(one.title)}</a>' for one in sections)
    return f'<nav aria-label="Contents">{links}</nav>'


def _section(one: Section) -> str:
    head = (
        f'<section id="{one.key}" aria-labelledby="{one.key}-title">\n<h2 id="{one.key}-title">{escape(one.title)}</h2>'
    )
    return "\n".join((head, *one.parts, "</section>"))


def cards(found: Sequence[Headline]) -> str:
    """Figures to read first, each in a box."""
    boxes = [
        f'<div><dt>{escape(one.name)}</dt><dd class="value">{escape(one.value)}</dd>'
        f'<dd class="quiet">{escape(one.meaning)}</dd></div>'
        for one in found
    ]
    return '<dl class="cards">\n' + "\n".join(boxes) + "\n</dl>"


def bullets(texts: Sequence[str]) -> str:
    """A list of sentences, or nothing."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>" if texts else ""


def table_of(table: Table, *, text: bool = False) -> str:
    """A table that scrolls inside itself; `text`: its cells are sentences, not figures."""
    kind = ' class="text"' if text else ""
    head = "".join(f'<th scope="col"{kind}>{escape(one)}</th>' for one in table.head)
    rows = "\n".join(
        f'<tr><th scope="row"{kind}>{escape(first)}</th>'
        + "".join(f"<td{kind}>{escape(one)}</td>" for one in rest)
        + "</tr>"
        for first, *rest in table.rows
    )
    return scrolling(
        table.caption,
        f"<table><caption>{escape(table.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>",
    )


def scrolling(label: str, html: str) -> str:
    """Wide content in a region of its own, focusable, so that the keyboard can scroll it."""
    return f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0">{html}</div>'


def image(content: bytes, kind: str, size: tuple[int, int], alt: str) -> str:
    """A picture inside the page; `kind`: jpeg, webp, gif; `size`: (width, height) [px]."""
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<img src="data:image/{kind};base64,{data}" width="{size[0]}" height="{size[1]}" decoding="async" '
        f'alt="{escape(alt)}">'
    )


def figure(picture: str, title: str, caption: str) -> str:
    """A picture (HTML) with what is said about it."""
    return f"<figure>{picture}<figcaption><strong>{escape(title)}</strong> {escape(caption)}</figcaption></figure>"
