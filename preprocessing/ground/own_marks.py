"""How results of earlier calls are known among the files of the user."""

import json
import mmap
from pathlib import Path

from preprocessing.ground.own_files import Kind, is_ours

WRITER = "Software"
"""Key of the text in a PNG that says who drew it."""
DRAWN = {WRITER: "advmtl"}
"""Text of PNG that commands draw into folders."""
_MARK = b"advmtl infer\0"
_HEAD, _TAIL = 4096, 64
_MOST_JSON = 1 << 28  # bytes; longer is no report


def json_kind(name: str, *keys: str, either: tuple[str, ...] = ()) -> Kind:
    """A JSON object with all these keys, or with all of `either`."""

    def ours(path: Path) -> bool:
        if path.stat().st_size > _MOST_JSON:
            return False
        found = json.loads(path.read_bytes())
        return isinstance(found, dict) and (found.keys() >= set(keys) or bool(either and found.keys() >= set(either)))

    return Kind(name, ours)


def lines_kind(name: str, *keys: str) -> Kind:
    """JSON lines whose first is an object with all these keys."""

    def ours(path: Path) -> bool:
        with open(path, "rb") as file:
            found = json.loads(file.readline(1 << 20))
        return isinstance(found, dict) and found.keys() >= set(keys)

    return Kind(name, ours)


def beginning_kind(name: str, *texts: bytes) -> Kind:
    """A file in whose first bytes one of these stands."""

    def ours(path: Path) -> bool:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
        return any(text in head for text in texts)

    return Kind(name, ours)


def with_mark(name: str, mark: str, kind: Kind) -> Kind:
    """A file of a folder in which `mark`, a file or a path below it, is a result: all that goes with it is."""
    return Kind(name, lambda path: kind.ours(path.parent / mark))


# A PNG's text stands in its first bytes; so does the name of the first array of a .npz.
PICTURE = beginning_kind("a picture of advmtl", b"tEXt" + WRITER.encode() + b"\0advmtl")
ARRAYS = Kind("arrays of infer", lambda path: _starts(path, b"PK\x03\x04", 30, b"index.npy"))


def _starts(path: Path, magic: bytes, place: int, text: bytes) -> bool:
    with open(path, "rb") as file:
        head = file.read(place + len(text))
    return head.startswith(magic) and head[place:] == text


def _model(path: Path) -> bool:
    # A property of the model: key (field 1) "advmtl", and a value (field 2). Reading it takes no package onnx.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"\x0a\x06advmtl\x12") >= 0


MODEL_FILE = Kind("a model that advmtl exported", _model)


def page_kind(name: str) -> Kind:
    """A page that `render` made, or one from before it said so, beside which its figures are."""
    figures = json_kind(name, "title", "runs", "charts")

    return Kind(name, lambda path: is_ours(path, _PAGE) or is_ours(path.with_suffix(".json"), figures))


_PAGE = beginning_kind("a page of advmtl", b'<meta name="generator" content="advmtl">')


def mark_film(path: Path, suffix: str) -> None:
    """Add to a finished .mp4 or .mkv what every reader passes over, so that a later call knows it for a result."""
    if suffix.lower() == ".mp4":  # a box "uuid", whose first 16 bytes say whose it is
        content = b"advmtl".ljust(16, b"\0") + _MARK
        content = (8 + len(content)).to_bytes(4, "big") + b"uuid" + content
    elif suffix.lower() == ".mkv":  # an element Void
        content = b"\xec" + bytes([0x80 | len(_MARK)]) + _MARK
    else:
        return
    with open(path, "ab") as file:
        file.write(content)


def _film(path: Path) -> bool:
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        return file.read().endswith(_MARK)


FILM = Kind("a film of infer", _film)
