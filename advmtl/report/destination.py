"""Where a page about runs may go, and what it must not overwrite."""

from pathlib import Path

from preprocessing.ground import InputError, read_json

SUFFIXES = (".html", ".htm")
# What the figures of a page hold; by it they are told from another file.
KEYS = {"title", "runs", "charts"}


def check_destination(out: Path) -> Path:
    """The .json beside the page `out` that takes its figures.

    Raises: InputError where `out` is no .html file, or where the .json is there and holds something else.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {out}: give a name ending in .html; the figures go into a .json beside it")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; give another name for the page")
    beside = out.with_suffix(".json")
    if beside.exists() and not _holds_figures(beside):
        raise InputError(
            f"--out {out}: its figures would overwrite {beside.name}, which no report wrote; give another name"
        )
    return beside


def _holds_figures(path: Path) -> bool:
    try:
        content = read_json(path)
    except InputError:
        return False
    return isinstance(content, dict) and content.keys() >= KEYS
