"""The record of each frame, one line of JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.sinks.inferred import Record
from preprocessing.ground import InputError


@contextmanager
def open_frame_log(path: Path | None) -> Iterator[Record | None]:
    """Write one JSON object a line, each complete when it is written, so that a reader can follow; None for nowhere.

    Raises: InputError where the file cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", buffering=1)  # noqa: SIM115 closed below
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    with file:
        yield lambda values: print(json.dumps(values, allow_nan=False), file=file)
