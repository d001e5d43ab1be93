"""The page about runs: complete, self-contained, escaped, by keyboard; and the metrics beside it."""

import base64
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner
from web_outline import Outline
from written_runs import write_run

from advmtl.cli.app import app
from advmtl.report.page import write_report

STRANGE = "a<b>&'\"run"
SECTIONS = (
    *("overview", "configurations", "losses", "figures", "confusion", "distance", "panels", "frames"),
    *("discriminators", "balancing", "timing", "left-out"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: a new one with a strange name, an old one, one of other settings."""
    root = tmp_path_factory.mktemp("runs")
    runs = [
        write_run(root / STRANGE),
        write_run(root / "old", old=True),
        write_run(root / "pcgrad", balance={"method": "pcgrad"}),
    ]
    write_report(runs, root / "report.html", frames=2)
    return root / "report.html"


@pytest.fixture(scope="module")
def html(page: Path) -> str:
    return page.read_text()


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    return Outline(html)


def section(html: str, key: str) -> str:
    return html.split(f'<section id="{key}"')[1].split("</section>")[0]


def test_nothing_is_loaded_from_elsewhere(html: str, outline: Outline) -> None:
    assert not any(outline.all(tag) for tag in ("script", "link", "iframe", "object", "embed"))
    for _, attributes in outline.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(key, "#").startswith(("#", "data:image/"))
        assert not any(key.startswith("on") for key in attributes)
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert "url(" not in html and "@import" not in html and len(html) < 1_000_000


def test_sections_links_ids_and_headings(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [attributes["id"] for attributes in outline.all("section")] == list(SECTIONS)
    assert {attributes["href"][1:] for attributes in outline.all("a")} == set(SECTIONS)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_names_are_text_and_never_markup(html: str, outline: Outline) -> None:
    assert "<b>" not in html and "<ld>" not in html and "<9>" not in html
    assert STRANGE in outline.text["h1"][0] and STRANGE in " ".join(outline.text["th"])
    assert "bui<ld>ing" in outline.text["th"] and "town_<9>" in outline.text["td"]


def test_losses_are_those_of_figure_4_for_training_and_validation(html: str) -> None:
    charts = section(html, "losses").split("<details><summary>Each loss term")[0].split("<figure")[1:]
    titles = [re.search(r"<strong>(.*?)</strong>", chart)[1] for chart in charts]  # type: ignore[index]
    assert titles == ["Combined loss", "Segmentation loss", "Adversarial loss", "Depth loss"]
    for chart in charts:
        drawn = chart.split("</svg>")[0]
        # Solid for three runs, dashed for the two that recorded validation losses.
        assert drawn.count('solid"><polyline') == 3 and drawn.count('dashed"><polyline') == 2
        assert "old, training: from" in drawn and "old, validation" not in drawn and "pcgrad, validation" in drawn
        assert 'class="logarithmic"' in chart and "<details><summary>Values" in chart
    # The discriminator's term 2 / step times its weight 0.5: the epoch of steps 2 and 4 has the mean 0.375.
    assert "old, training: from 0.375 to" in charts[2]


def test_every_chart_can_be_read_without_seeing_it(outline: Outline) -> None:
    charts = outline.all("svg")
    assert len(charts) > 20 and all(one["role"] == "img" and len(one["aria-label"]) > 30 for one in charts)
    assert all("nan" not in one.get("points", "") for one in outline.all("polyline"))


def test_tables_scroll_inside_and_by_keyboard(html: str, outline: Outline) -> None:
    regions = [one for one in outline.all("div") if one.get("class") == "scroll"]
    assert len(regions) > 20
    assert all(one["tabindex"] == "0" and one["role"] == "region" and one["aria-label"] for one in regions)
    assert len(outline.all("caption")) == len(outline.all("table")) < len(regions)
    assert ":focus-visible" in html and "prefers-color-scheme: dark" in html
    assert outline.all("a")[0] == {"class": "skip", "href": "#overview"}


def test_differences_of_the_configurations(html: str) -> None:
    text = section(html, "configurations")
    assert "balance.<wbr>method" in text and "<td>pcgrad</td>" in text
    first = text.split("<details>")[0]
    assert "discriminators" not in first and "train.<wbr>epochs" not in first
    assert "cityscapes:nowhere:val" in text and "<td>60</td><td>3</td>" in text


def test_figures_stand_with_their_units_and_the_best_is_told(html: str) -> None:
    text = section(html, "figures")
    assert '<th scope="row">RMSE ↓</th><td>m</td>' in text and '<th scope="row">mIoU ↑</th><td>1</td>' in text
    assert "<strong>0.5000</strong>" in text and "Bold: the best run" in text
    assert "[m]</text>" in text


def test_confusion_is_row_normalised_with_the_classes_names(html: str, outline: Outline) -> None:
    text = section(html, "confusion")
    assert text.count('class="confusion"') == 2  # the old run has none
    rows = text.split("<tbody>")[1].split("</tbody>")[0].split("</tr>")
    assert [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows[:3]] == [
        ["75", "25", "", "40"],
        ["–", "–", "–", "0"],
        ["", "", "100", "400"],
    ]
    assert 'class="hot" style="--share:75%"' in rows[0] and 'style="--share:25%"' in rows[0]


def test_distance_bands(html: str) -> None:
    text = section(html, "distance")
    assert text.count("<svg") == 2 and text.count("<rect") == 4
    assert "0–10 m</th><td>12,000</td><td>0.100</td><td>1.00</td><td>-0.25</td>" in text
    assert "10–20 m</th><td>0</td><td>–</td>" in text


def test_pictures_can_be_decoded_and_have_the_size_they_claim(html: str, outline: Outline) -> None:
    pictures = outline.all("img")
    assert len(pictures) == 6  # a panel and an animation of each
    for one in pictures:
        kind, content = re.fullmatch(r"data:image/(\w+);base64,(.*)", one["src"]).groups()  # type: ignore[union-attr]
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert picture.size == (int(one["width"]), int(one["height"])) and picture.format.lower() == kind
        assert len(one["alt"]) > 20
    # What moves is shown on request only.
    shown = re.sub(r"<details>.*?</details>", "", section(html, "panels"), flags=re.S)
    assert "data:image/gif" not in shown and "data:image/webp" in shown


def test_best_and_worst_frames_are_named_though_their_data_is_gone(html: str) -> None:
    text = section(html, "frames")
    worst = text.split("Worst frames of")[2].split("</table>")[0]  # the caption follows the region's label
    assert re.findall(r'<th scope="row">(\w+)</th>', worst) == ["town_0", "town_1"]
    depth = text.split("<h4>Depth</h4>")[1].split("Worst frames of")[2].split("</table>")[0]
    assert re.findall(r'<th scope="row">(\w+)</th>', depth) == ["town_5", "town_4"]
    missing = section(html, "left-out")
    assert missing.count("best and worst frames are not drawn: ") == 2 and "no such checkpoint" in missing


def test_discriminators_balancing_and_timing(html: str) -> None:
    assert "Discriminator both/accuracy" in section(html, "discriminators")
    text = section(html, "balancing")
    assert "Weight of depth" in text and "Cosine of segmentation and depth" in text
    # 6 rows of 10 s, of which 1 s waited and 2 s measured.
    assert "<td>5.0</td><td>1.0</td><td>70.0 %</td><td>10.0 %</td><td>20.0 %</td><td>0.0 %</td>" in section(
        html, "timing"
    )


def test_what_is_missing_is_said_with_the_remedy(html: str) -> None:
    text = section(html, "left-out")
    for what in ("losses on validation frames", "confusion matrix", "error by distance", "timing"):
        assert f'<th scope="row" class="text">old</th><td class="text">{what}: not recorded' in text
    assert "advmtl evaluate RUN" in text and "town_9.png: truncated" in text


def test_the_figures_lie_beside_the_page(page: Path) -> None:
    figures = json.loads(page.with_suffix(".json").read_text())
    assert [run["name"] for run in figures["runs"]] == [STRANGE, "old", "pcgrad"]
    assert figures["runs"][0]["figures"]["depth"]["rmse_m"] == 4.5
    assert figures["charts"]["losses"][0]["title"] == "Combined loss" and figures["charts"]["speed"]


def test_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    out = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(run), "--out", str(out), "--title", "A <title>", "--frames", "0"])
    assert result.exit_code == 0, result.output
    assert f"written: {out} (" in result.output and "MB)" in result.output
    outline = Outline(out.read_text())
    assert outline.text["title"][0] == outline.text["h1"][0] == "A <title>"
    assert out.with_suffix(".json").is_file() and not list(tmp_path.glob(".*"))
