"""Points out of sensor_msgs/PointCloud2: x, y and z wherever they lie, in either byte order, with padded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.ground import InputError
from preprocessing.sets.bags.decoding import decode, plain_frame
from preprocessing.sets.bags.message import Message

_FLOATS = {7: "f4", 8: "f8"}
"""`datatype` of a PointField -> its dtype; only these can be metres."""
_NAMES = {1: "int8", 2: "uint8", 3: "int16", 4: "uint16", 5: "int32", 6: "uint32", 7: "float32", 8: "float64"}


def points_of(message: Message) -> tuple[str, npt.NDArray[np.float64]]:
    """The frame of a cloud and its points: float64 [N, 3] m, as they are in it, NaN included.

    Raises: InputError naming the topic and the field that is missing or cannot be read.
    """
    fields = decode(message)
    records = _records(message.topic, fields)
    points = np.empty((records.size, 3), np.float64)
    for index, name in enumerate("xyz"):
        points[:, index] = records[name].ravel()
    return plain_frame(fields.header.frame_id), points


def _records(topic: str, fields: Any) -> npt.NDArray[Any]:
    """The points as records of x, y, z: [height, width]."""
    width, height, step = int(fields.width), int(fields.height), int(fields.point_step)
    dtype = _dtype(topic, fields, step)
    used = width * step
    row = int(fields.row_step) if height > 1 else used  # of a single row some drivers leave it 0
    data = np.frombuffer(memoryview(fields.data).cast("B"), np.uint8)
    if row < used or len(data) < (height - 1) * row + used:
        raise InputError(
            f"{topic}: a cloud of {width}x{height} points of {step} bytes has rows of {row} bytes and {len(data)} "
            f"bytes in all; {used} a row are needed"
        )
    if not used or not height:
        return np.zeros((0, 0), dtype)
    return np.ndarray((height, width), dtype, data, strides=(row, step))


def _dtype(topic: str, fields: Any, step: int) -> np.dtype[Any]:
    known = {str(one.name): one for one in fields.fields}
    order, formats, offsets = ">" if fields.is_bigendian else "<", [], []
    for name in "xyz":
        if name not in known:
            raise InputError(
                f"{topic}: its clouds have no field {name!r}, but {', '.join(known) or 'none'}; x, y and z are read"
            )
        kind, offset = int(known[name].datatype), int(known[name].offset)
        if kind not in _FLOATS:
            said = _NAMES.get(kind, f"of datatype {kind}")
            raise InputError(f"{topic}: its field {name!r} is {said}; x, y and z are read as float32 or float64 [m]")
        formats.append(order + _FLOATS[kind])
        offsets.append(offset)
        if offset + np.dtype(formats[-1]).itemsize > step:
            raise InputError(f"{topic}: its field {name!r} at byte {offset} lies outside a point of {step} bytes")
    return np.dtype({"names": list("xyz"), "formats": formats, "offsets": offsets, "itemsize": step})
