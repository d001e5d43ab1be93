"""One self-contained HTML page: cards, tables, pictures; no script, no network, light and dark, readable on a phone."""

from preprocessing.ground.page.page import Headline as Headline
from preprocessing.ground.page.page import Picture as Picture
from preprocessing.ground.page.page import Section as Section
from preprocessing.ground.page.page import Table as Table
from preprocessing.ground.page.page import render as render

__all__ = ["Headline", "Picture", "Section", "Table", "render"]
