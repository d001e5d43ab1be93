"""One calibration file: its text, and what it is as YAML, JSON or OpenCV's storage, each parsed once."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import InputError, silence_opencv

Matrix = npt.NDArray[np.float64]
LARGEST_BYTES = 4_000_000
"""A calibration is a page of numbers; what is larger is something else."""


@dataclass(frozen=True)
class Document:
    """A file of a calibration, read whole."""

    path: Path
    text: str

    @cached_property
    def is_storage(self) -> bool:
        """Whether OpenCV's FileStorage wrote it, as YAML, XML or JSON."""
        return re.search(r"<opencv_storage>|opencv-(nd-)?matrix", self.text) is not None

    @cached_property
    def is_json(self) -> bool:
        """Whether it is JSON, by its ending or as it begins."""
        return self.path.suffix.lower() == ".json" or self.text.lstrip()[:1] in ("{", "[")

    @cached_property
    def tree(self) -> Any:
        """Its content as JSON, OpenCV's storage or YAML; None where it is none of them."""
        if self.is_storage:
            return _storage(self.text)
        try:
            return json.loads(self.text) if self.is_json else _yaml(self.text)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def keys(self) -> Mapping[str, Any]:
        """The content where it is a mapping, else nothing."""
        return self.tree if isinstance(self.tree, dict) else {}


def read_document(path: Path) -> Document:
    """Read a file. Raises: InputError naming it where it cannot be a calibration."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{path}: not a readable calibration (larger than {LARGEST_BYTES / 1e6:.0f} MB)")
        # Editors of Windows put a byte-order mark before JSON.
        return Document(path, path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable calibration ({error})") from None


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _storage(text: str) -> dict[str, Any] | None:
    silence_opencv()  # its complaints name no file
    flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY
    try:
        storage = cv2.FileStorage(text, flags)
        root = storage.root()
        return {key: _node(root.getNode(key)) for key in root.keys()}  # noqa: SIM118  # a node is no dict
    except (cv2.error, SystemError):  # 5.0 raises SystemError from its constructor
        return None


def _node(node: Any) -> Any:
    if node.isMap():
        if "data" in node.keys():  # noqa: SIM118
            found = node.mat()
            return None if found is None else np.asarray(found, np.float64)
        return {key: _node(node.getNode(key)) for key in node.keys()}  # noqa: SIM118
    if node.isSeq():
        return [_node(node.at(index)) for index in range(node.size())]
    return node.string() if node.isString() else node.real()


def number(path: Path, key: str, value: object) -> float:
    """A finite number, also as text: YAML takes 1e-05 for a word. Raises: InputError naming file and key."""
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) < 1e9:
        raise InputError(f"{path}: {key} is {str(value)[:60]!r}; it must be a plain number")
    return found


def numbers(path: Path, key: str, value: object, *counts: int) -> Matrix:
    """A list of numbers, however nested, as float64 [N]: OpenCV's and ROS's {rows, cols, data} too.

    Raises: InputError naming file and key where there are not as many as one of `counts` (none given: any).
    """
    if isinstance(value, Mapping) and "data" in value:
        value = value["data"]
    flat = _flat(value)
    if flat is None or (counts and len(flat) not in counts):
        wanted = " or ".join(map(str, counts)) or "some"
        said = "missing" if value is None else f"{len(flat)} values" if flat is not None else repr(value)[:60]
        raise InputError(f"{path}: {key} is {said}; expected {wanted} numbers")
    return np.array([number(path, key, one) for one in flat])


def matrix(path: Path, key: str, value: object, rows: int, columns: int) -> Matrix:
    """A matrix of that shape, float64. Raises: InputError naming file and key."""
    return numbers(path, key, value, rows * columns).reshape(rows, columns)


def _flat(value: object) -> list[Any] | None:
    if isinstance(value, np.ndarray):
        return list(value.ravel().tolist())
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    found: list[Any] = []
    for one in value:
        inner = _flat(one)
        found += [one] if inner is None else inner
    return found


def size_of(path: Path, key: str, value: object) -> tuple[int, int] | None:
    """(width, height) of a pair of numbers; None where there is none or both are 0. Raises: InputError."""
    if value is None:
        return None
    width, height = numbers(path, key, value, 2)
    if not (width and height):
        return None
    if not (width >= 1 and height >= 1 and width == round(width) and height == round(height)):
        raise InputError(f"{path}: {key} is {width:g} x {height:g}; a size is two whole numbers of pixels")
    return round(width), round(height)
