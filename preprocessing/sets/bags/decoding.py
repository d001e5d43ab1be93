"""Messages of ROS 1 and 2 as values: their stamp, their picture, their camera; `rosbags` knows their layout."""

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import InputError, first_line
from preprocessing.sets.bags.message import Encoding, Message
from preprocessing.sets.calibration.ros import MODELS

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_WITH_HEADER = (IMAGE, COMPRESSED, CAMERA_INFO)


def stamp_of(message: Message) -> int:
    """The header's stamp of a message of pictures or cameras [ns]; its header comes first, so nothing else is read.

    Raises: InputError where the message is too short for one.
    """
    try:
        if message.encoding == "ros1":
            _, seconds, nanoseconds = struct.unpack_from("<III", message.data)
        else:
            order = "<" if bytes(message.data[1:2]) == b"\x01" else ">"
            seconds, nanoseconds = struct.unpack_from(order + "iI", message.data, 4)
    except struct.error:
        raise InputError(f"{message.topic}: a message is too short for its header") from None
    return int(seconds) * 10**9 + int(nanoseconds)


@cache
def _store(encoding: Encoding) -> Any:
    from rosbags.typesys import Stores, get_typestore

    # Image, CompressedImage and CameraInfo are the same in all distributions of ROS 2.
    return get_typestore(Stores.ROS1_NOETIC if encoding == "ros1" else Stores.ROS2_HUMBLE)


def decode(message: Message) -> Any:
    """The message with its fields. Raises: InputError naming the topic where it is garbled."""
    assert message.type in _WITH_HEADER
    store = _store(message.encoding)
    try:
        if message.encoding == "ros1":
            return store.deserialize_ros1(message.data, message.type)
        return store.deserialize_cdr(message.data, message.type)
    except Exception as error:  # rosbags raises whatever the bytes lead to
        raise InputError(f"{message.topic}: a message is garbled ({first_line(error)})") from None


@dataclass(frozen=True)
class Header:
    """What a topic of pictures has, by its first message: size, and how its pictures are written."""

    size: tuple[int, int] | None
    encoding: str
    frame_id: str


def header_of(message: Message) -> Header:
    """Read it. Raises: InputError naming the topic."""
    fields = decode(message)
    if message.type == COMPRESSED:
        return Header(None, str(fields.format), str(fields.header.frame_id))
    return Header((int(fields.width), int(fields.height)), str(fields.encoding), str(fields.header.frame_id))


def info_of(path: Path, message: Message) -> dict[str, Any]:
    """The four matrices of a CameraInfo, as `calibration.ros.camera_info` gives them.

    ROS 2 writes k, d, r, p, ROS 1 K, D, R, P. Raises: InputError naming the topic where it was never calibrated.
    """
    fields = decode(message)
    values = {name: _field(fields, name) for name in "kdrp"}
    model = str(fields.distortion_model).strip().lower()
    if model not in MODELS:
        raise InputError(f"{path}: {message.topic} has the distortion_model {model!r}; known: {', '.join(MODELS)}")
    if not values["p"][0] > 0:
        raise InputError(
            f"{path}: {message.topic} holds no projection (P is 0): the cameras were not calibrated; give --calibration"
        )
    turn = values["r"].reshape(3, 3)
    width, height = int(fields.width), int(fields.height)
    return {
        "k": values["k"].reshape(3, 3),
        "d": values["d"],
        "r": turn if np.abs(turn).max() > 0 else np.eye(3),
        "p": values["p"].reshape(3, 4),
        "model": MODELS[model],
        "size": (width, height) if width and height else None,
    }


def _field(fields: Any, name: str) -> Any:
    found = getattr(fields, name, None)
    return np.asarray(getattr(fields, name.upper()) if found is None else found, np.float64)
