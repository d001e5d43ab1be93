"""The page in a real browser: no complaint, every picture there, both themes, wide and narrow, by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import NAMES, Browser, find_chromium
from written_runs import write_run

from advmtl.report.page import write_report

PICTURES = """
document.querySelectorAll('details').forEach(one => one.open = true);
Promise.all([...document.images].map(one =>
  one.decode().then(() => one.naturalWidth > 0 ? null : one.alt, () => one.alt)))
  .then(found => [found.length, found.filter(one => one)])
"""
SHOWN = """
[...document.querySelectorAll('#losses .chart svg')].filter(one => one.checkVisibility())
  .map(one => one.className.baseVal)
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    runs = [write_run(root / "a_run_whose_name_is_rather_long"), write_run(root / "<b>", old=True)]
    write_report(runs, root / "report.html")
    return root / "report.html"


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_opens_without_a_complaint(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark=dark)
    count, missing = browser.run(PICTURES)
    assert count == 4 and missing == []
    assert browser.complaints() == [] and browser.requests() == [page.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width  # wide things scroll inside themselves
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    # The ink of the charts follows the theme.
    assert browser.run("getComputedStyle(document.querySelector('.chart text')).fill") == browser.run(
        "getComputedStyle(document.body).color"
    )


def test_a_chart_changes_its_scale_by_keyboard_and_alone(browser: Browser, page: Path) -> None:
    browser.open(page, 1400)
    assert set(browser.run(SHOWN)) == {"linear"} and len(browser.run(SHOWN)) == 4
    browser.run("document.querySelector('#losses .switch input').focus()")
    browser.press(" ", 32)
    assert browser.run(SHOWN) == ["logarithmic", "linear", "linear", "linear"]


def test_a_run_can_be_hidden_in_every_chart(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    seen = "[...document.querySelectorAll('svg .show-1')].some(one => getComputedStyle(one).display != 'none')"
    assert browser.run(seen)
    browser.run("document.querySelector('#shown-1').click()")
    assert not browser.run(seen) and browser.run(seen.replace("show-1", "show-0"))


def test_the_keyboard_comes_everywhere(browser: Browser, page: Path) -> None:
    browser.open(page, 1400)
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    focused = [browser.run("document.activeElement.tagName")]
    for _ in range(60):
        browser.press("Tab", 9)
        focused.append(browser.run("document.activeElement.tagName"))
    assert {"A", "INPUT", "SUMMARY", "DIV"} <= set(focused)
    browser.run("document.querySelector('#losses summary').focus()")
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_what_moves_stands_still_until_asked(browser: Browser, page: Path) -> None:
    browser.open(page, 1400)
    moving = "[...document.images].filter(one => one.alt.startsWith('Animation')).map(one => one.checkVisibility())"
    assert browser.run(moving) == [False, False]
    browser.run("document.querySelector('#panels summary').focus()")
    browser.press(" ", 32)
    assert browser.run(moving) == [True, False]
    browser.press(" ", 32)
    assert browser.run(moving) == [False, False]
