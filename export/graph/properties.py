"""The properties of an `.onnx` file, read past its weights: a vehicle has no onnx, and a runtime loads all of it."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from preprocessing.ground import InputError

# Of ONNX's ModelProto and StringStringEntryProto (onnx.proto); wire types of protobuf: 0 number, 1 and 5 of eight and
# four bytes, 2 with a length.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_FIXED = {1: 8, 5: 4}


def read_properties(path: Path) -> dict[str, str]:
    """An `.onnx` file's metadata_props. Raises: InputError where it is no such file."""
    try:
        with path.open("rb") as file:
            entries = [file.read(length) for length in _seek(file, _METADATA_PROPS)]
        found = {}
        for entry in entries:
            texts = {}
            for name in (_KEY, _VALUE):
                stream = io.BytesIO(entry)
                texts[name] = "".join(stream.read(length).decode() for length in _seek(stream, name))
            found[texts[_KEY]] = texts[_VALUE]
    except (ValueError, OSError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(f"{path}: not an .onnx file that can be read ({error})") from None
    return found


def _seek(file: BinaryIO, wanted: int) -> Iterator[int]:
    """Stop where a field of this number begins that has a length, which is given; the caller reads it."""
    while (head := _number(file)) is not None:
        field, kind = head >> 3, head & 7
        if kind == 0:
            _number(file)
        elif kind in _FIXED:
            file.seek(_FIXED[kind], 1)
        elif kind == 2:
            length = _number(file)
            if length is None:
                raise ValueError("it ends early")
            if field == wanted:
                yield length
            else:
                file.seek(length, 1)
        else:
            raise ValueError("no protobuf")


def _number(file: BinaryIO) -> int | None:
    """A number of protobuf, seven bits a byte, the lowest first; None at the end of the file."""
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            if place:
                raise ValueError("it ends early")
            return None
        value |= (byte[0] & 127) << 7 * place
        if byte[0] < 128:
            return value
    raise ValueError("no protobuf")
