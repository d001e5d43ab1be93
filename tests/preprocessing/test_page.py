"""Pages of templates: what stands where, nothing unescaped, nothing missing in silence."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from web_outline import Outline

from preprocessing.ground.page import Headline, Picture, Section, Table, render

TEMPLATE = """\
{% extends "base.html.j2" %}
{% from "parts.html.j2" import bullets, cards, figure, table %}
{% block style %}.one { color: red; }{% endblock %}
{% block introduction %}<p>{{ note }}</p>{% endblock %}
{% block left_out %}{{ bullets(left_out) }}{{ table(sentences) }}{% endblock %}
{% block overview %}{{ cards(found) }}{{ figure(picture, "A & B", "why", ("0 m", "9 m"), of="f1") }}{% endblock %}
{% block unused %}never{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "page.html.j2"
    path.write_text(TEMPLATE)
    return path


def values() -> dict[str, object]:
    return {
        "title": "<b>",
        "note": "a < b",
        "sections": [Section("overview", "Over & view"), Section("left-out", "Left out")],
        "found": [Headline("D1", "3.0 %", "<i>wrong</i>")],
        "picture": Picture(b"\xff\xd8", "jpeg", (3, 2), 'a "car"'),
        "left_out": ["x & y"],
        "sentences": Table('Said "so"', ["Frame", "Reason"], [["f<1>", "none"]], text=True),
    }


def test_sections_come_in_the_order_of_the_list_with_their_blocks(template: Path) -> None:
    html = render(template, **values())
    outline = Outline(html)
    assert [one["id"] for one in outline.all("section")] == ["overview", "left-out"]
    assert outline.text["nav"] == ["Over & view · Left out"]
    assert "D1" in html.split('id="left-out"')[0] and "x &amp; y" in html.split('id="left-out"')[1]
    assert "never" not in html and ".one { color: red; }" in html


def test_all_text_is_escaped(template: Path) -> None:
    html = render(template, **values())
    outline = Outline(html)
    assert outline.text["title"] == outline.text["h1"] == ["<b>"]
    assert not outline.all("b") and not outline.all("i")
    assert outline.text["td"] == ["none"] and outline.text["th"][-1] == "f<1>"
    assert outline.all("td") == [{"class": "text"}]
    assert outline.all("div")[-1]["aria-label"] == 'Said "so"'
    assert outline.all("img") == [
        {
            "src": "data:image/jpeg;base64,/9g=",
            "width": "3",
            "height": "2",
            "decoding": "async",
            "alt": 'f1: a "car"',
        }
    ]


@pytest.mark.parametrize("missing", ["note", "title", "found"])
def test_a_missing_value_is_an_error(template: Path, missing: str) -> None:
    given = values()
    del given[missing]
    with pytest.raises(UndefinedError, match=missing):
        render(template, **given)
