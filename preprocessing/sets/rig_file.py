"""`rig.json`: where a rig has its pictures and how they belong together, where folders and names do not say it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocessing.ground import InputError

RIG_FILE = "rig.json"
SIDE_BY_SIDE = "side_by_side"
EXAMPLE = '{"left": "images/left_%", "right": "images/right_%"}'
_KEYS = ("left", "right", "layout", "frames", "pair_tolerance_s", "bits")


@dataclass(frozen=True)
class RigFile:
    """What a `rig.json` says.

    Attributes:
        left, right: Folder of each view below the root, or a pattern in which % stands for what both names have in
            common: "images/left_%".
        side_by_side: One picture has both views, left and right half.
        frames: A list of frames, a file below the root: `left right [labels]` a line, or one name a line.
        pair_tolerance_s: Seconds that the time stamps in two names may be apart.
        bits: So many of 16 bits are used.
    """

    left: str
    right: str
    side_by_side: bool = False
    frames: str | None = None
    pair_tolerance_s: float | None = None
    bits: int | None = None


def read_rig_file(path: Path) -> RigFile:
    """Read and check a `rig.json`. Raises: InputError naming the file and the key."""
    content = _content(path)
    side_by_side = content.get("layout") == SIDE_BY_SIDE
    if "layout" in content and not side_by_side:
        raise InputError(f"{path}: layout is {content['layout']!r}; the only one is {SIDE_BY_SIDE!r}")
    left = _pattern(path, content, "left", "left")
    if side_by_side and "right" in content:
        raise InputError(
            f"{path}: right is given, but the layout is {SIDE_BY_SIDE}: one picture has both; leave it out"
        )
    right = left if side_by_side else _pattern(path, content, "right", "right")
    if not side_by_side and left == right:
        raise InputError(f"{path}: left and right are both {left!r}; write such as {EXAMPLE}")
    frames = content.get("frames")
    if frames is not None and not isinstance(frames, str):
        raise InputError(f"{path}: frames is {frames!r}; it must be the name of a file")
    tolerance = _number(path, content, "pair_tolerance_s", 0.0, 10.0)
    bits = _number(path, content, "bits", 8, 16)
    return RigFile(left, right, side_by_side, frames, tolerance, None if bits is None else round(bits))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({' '.join(str(error).split())}); such as {EXAMPLE}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object such as {EXAMPLE}")
    unknown = sorted(set(content) - set(_KEYS))
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    return content


def _pattern(path: Path, content: dict[str, Any], key: str, default: str) -> str:
    """A pattern with its %, without an ending: files of every kind of picture are looked at."""
    value = content.get(key, default)
    if not isinstance(value, str) or value.count("%") > 1 or value.startswith(("/", "..")) or not value.strip("/%"):
        raise InputError(
            f"{path}: {key} is {value!r}; write a folder below {path.parent}, or a pattern with one %: {EXAMPLE}"
        )
    value = value.strip("/").removesuffix(".*")
    folder, slash, last = value.rpartition("/")
    if "%" not in value:
        return f"{value}/%"
    if not slash or "%" in folder:
        raise InputError(f"{path}: {key} is {value!r}; the % stands in the name of the file, behind a folder")
    return f"{folder}/{last.partition('.')[0]}" if "." in last.partition("%")[2] else value


def _number(path: Path, content: dict[str, Any], key: str, least: float, most: float) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(f"{path}: {key} is {value!r}; it must be a number of {least:g} to {most:g}")
    return float(value)
