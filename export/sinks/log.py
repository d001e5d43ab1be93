"""The record of each frame, one line of JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.sinks.inferred import Record
from preprocessing.ground import InputError


@contextmanager
def open_frame_log(path: Path | None) -> Iterator[Record | None]:
    """Write one JSON object a line, each complete when it is written, so that a reader can follow; None for nowhere.

    Raises: InputError where the file cannot be made; OSError with its name where a line cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", buffering=1)  # noqa: SIM115 closed below
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None

    def write(values: dict[str, Any]) -> None:
        with _named(path):
            print(json.dumps(values, allow_nan=False), file=file)

    try:
        yield write
    finally:
        with _named(path):
            file.close()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk does not say whose file it had no room for."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
