"""The quality page: complete, self-contained, readable without pictures, by keyboard and on a phone."""

import base64
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from random_dots import true_disparity, write_set
from web_outline import Outline
from written_set import write_exact, write_outputs

from preprocessing.ground.frame import Camera
from preprocessing.quality.check import QualitySettings, check_quality
from preprocessing.quality.frame import Maps, Truth
from preprocessing.quality.page import MOST_SKIPPED, Subject, page
from preprocessing.quality.pictures import WIDTH_PX, draw_panels


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three frames of a city called R&B, the first two drawn, one more skipped."""
    root = write_set(tmp_path_factory.mktemp("set"), ("dots_0_1", "dots_0_2", "dots_0_3", "dots_0_4"), city="R&B")
    frames = write_exact(root)
    write_outputs(root, frames[1], true_disparity() + 30, matched=true_disparity() < 5)
    frames[3].left.write_bytes(b"")
    report = check_quality(root, QualitySettings(worst=2))
    assert len(report.rows) == 3
    return report.page.read_text()


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    outline = Outline(html)
    assert not outline.all("script") and not outline.all("link") and not outline.all("iframe")
    for _, attributes in outline.elements:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(key, "#").startswith(("#", "data:image/jpeg;base64,"))
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert "url(" not in html and "@import" not in html


def test_links_lead_to_sections(html: str) -> None:
    outline = Outline(html)
    targets = {attributes["id"] for _, attributes in outline.elements if "id" in attributes}
    links = [attributes["href"][1:] for attributes in outline.all("a")]
    assert links and set(links) <= targets
    labels = [attributes["aria-labelledby"] for attributes in outline.all("section")]
    assert labels and set(labels) <= targets


def test_every_worst_frame_has_its_pictures_and_figures(html: str) -> None:
    outline = Outline(html)
    assert outline.text["h3"] == ["1. train/R&B/dots_0_2", "2. train/R&B/dots_0_1"]
    assert outline.text["h1"] == ["Depth quality of matcher census"]
    # Image, disparity, confidence, error, for each of the two.
    images = outline.all("img")
    assert len(images) == 8
    assert all(len(image["alt"]) > 20 for image in images)
    assert sum(image["alt"].startswith("train/R&B/dots_0_2: ") for image in images) == 4
    assert "100% of the compared pixels are off by more than 3 px, 0% of those" in images[3]["alt"]
    assert "0% of the compared" in images[7]["alt"]
    captions = [text for text in outline.text["figcaption"] if text]
    assert [caption.split()[0] for caption in captions] == ["Left", "Disparity", "Confidence", "Error"] * 2
    assert "Metrics of train/R&B/dots_0_2" in outline.text["caption"]


def test_pictures_can_be_decoded_and_have_the_size_they_claim(html: str) -> None:
    for image in Outline(html).all("img"):
        content = base64.b64decode(image["src"].split(",")[1])
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[:2] == (int(image["height"]), int(image["width"]))


def test_the_skipped_frame_is_listed_with_its_file(html: str) -> None:
    skipped = html.split('id="skipped"')[1]
    assert "train/R&amp;B/dots_0_4" in skipped
    assert "dots_0_4_leftImg8bit.png" in skipped
    assert "Skipped frames (1)" in skipped
    assert "R&B" not in html


def test_figures_stand_with_unit_and_meaning(html: str) -> None:
    text = " ".join(Outline(html).text["body"])
    for expected in (" px", " %", "grey levels", "more than 3 px and more than 5 %", "0 to 10 m", "RMSE [m]", "AbsRel"):
        assert expected in text
    assert "nan" not in text.lower().split() and "None" not in Outline(html).text["td"]


def test_tables_scroll_inside_and_by_keyboard(html: str) -> None:
    outline = Outline(html)
    regions = [a for a in outline.all("div") if a.get("role") == "region"]
    assert len(regions) == len(outline.all("table"))
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)
    assert all(a.get("scope") in ("col", "row") for a in outline.all("th"))
    assert "overflow-x: auto" in html and "prefers-color-scheme: dark" in html
    assert any(a.get("name") == "viewport" and "device-width" in a["content"] for a in outline.all("meta"))


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_text_has_contrast_in_light_and_dark(html: str) -> None:
    """WCAG 2 asks for 4.5 : 1."""
    palettes = re.findall(r"--ink: (#\w+); --paper: (#\w+); --quiet: (#\w+);[^}]*?--card: (#\w+); --link: (#\w+)", html)
    assert len(palettes) == 2
    for ink, paper, quiet, card, link in palettes:
        for front in (ink, quiet, link):
            for back in (paper, card):
                bright, dim = sorted((luminance(front), luminance(back)), reverse=True)
                assert (bright + 0.05) / (dim + 0.05) >= 4.5


def subject(**changes: object) -> Subject:
    metrics = {"frames": 1, "depth_share": 0.5, "matched_share": None, "filled_share": 0.1, "truth": {}}
    fields = {"matcher": "<b>", "split": None, "metrics": metrics, "rows": [], "skipped": [], "notes": [], "panels": {}}
    return Subject(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_long_list_of_skipped_frames_is_cut_and_says_so() -> None:
    text = page(subject(skipped=[(f"f{i}", "<i>why</i>") for i in range(MOST_SKIPPED + 30)]))
    assert "And 30 more" in text and f"f{MOST_SKIPPED - 1}<" in text and f">f{MOST_SKIPPED}<" not in text
    assert "<i>" not in text and "<b>" not in text
    Outline(text)


def maps(width: int, truths: dict[str, Truth]) -> Maps:
    height = width // 3
    left = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    valid = np.ones((height, width), dtype=bool)
    disparity = np.full(valid.shape, 5, dtype=np.float32)
    camera = Camera(0.5, 160, 160, 0, 0)
    return Maps(left, left, camera, disparity, valid, valid, None, disparity * 3, 80.0, False, truths)


def test_pictures_are_shrunk_and_single_lidar_points_are_seen() -> None:
    """Nine points in 1200 x 400 pixels would vanish: each is drawn as a blot, the rest stays black."""
    truth = np.zeros((400, 1200), dtype=np.float32)
    truth[100:400:100, 200:1001:400] = 45
    one = Truth(truth, truth, truth > 0)
    panels = draw_panels(maps(1200, {"lidar": one}))
    assert [panel.title for panel in panels] == ["Left image", "Disparity as written", "Error against lidar"]
    assert all(panel.picture.size == (WIDTH_PX, 267) for panel in panels)
    picture = cv2.imdecode(np.frombuffer(panels[-1].picture.content, np.uint8), cv2.IMREAD_COLOR)
    lit = (picture.max(axis=2) > 90).mean()
    assert 9 * 4 / (WIDTH_PX * 267) < lit < 9 * 60 / (WIDTH_PX * 267)


def test_without_truth_the_photometric_error_is_drawn() -> None:
    assert draw_panels(maps(240, {}))[-1].title == "Photometric error"


def test_the_image_keeps_its_colours() -> None:
    one = maps(240, {})
    one.left[...] = (200, 100, 30)
    picture = cv2.imdecode(np.frombuffer(draw_panels(one)[0].picture.content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(picture[..., ::-1].mean(axis=(0, 1)), (200, 100, 30), atol=3)


def test_truth_without_a_disparity_is_grey_and_no_truth_is_black() -> None:
    """Columns 0..79 have no truth, 80..159 no disparity, 160..239 an error of 45 px, which is red."""
    truth = np.full((80, 240), 50, dtype=np.float32)
    known, one = np.ones(truth.shape, dtype=bool), maps(240, {})
    known[:, :80], one.valid[:, 80:160] = False, False
    panel = draw_panels(replace(one, truths={"disparity": Truth(truth, truth, known)}))[-1]
    picture = cv2.imdecode(np.frombuffer(panel.picture.content, np.uint8), cv2.IMREAD_COLOR)
    none, missing, wrong = (picture[:, start + 10 : start + 70].mean(axis=(0, 1)) for start in (0, 80, 160))
    np.testing.assert_allclose(none, 0, atol=3)
    np.testing.assert_allclose(missing, 112, atol=3)
    assert wrong[2] > 100 > 60 > wrong[0]
    assert (
        "100% of the compared" in panel.picture.alt and "50% of those with truth have no disparity" in panel.picture.alt
    )
