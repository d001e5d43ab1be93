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
CLOUD = "sensor_msgs/msg/PointCloud2"
_TRANSFORMS = "tf2_msgs/msg/TFMessage"
TRANSFORMS = (_TRANSFORMS, "tf/msg/tfMessage")
"""What /tf and /tf_static hold; the latter name is of ROS 1 before tf2, with the same fields."""
_READ = (IMAGE, COMPRESSED, CAMERA_INFO, CLOUD, *TRANSFORMS)


def stamp_of(message: Message) -> int:
    """The header's stamp of a picture, a camera or a cloud [ns]; its header comes first, so nothing else is read.

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


def frame_id_of(message: Message) -> str:
    """`header.frame_id` as it was sent, which follows the stamp; "" where the message is too short for one."""
    try:
        order = ">" if message.encoding == "cdr" and bytes(message.data[1:2]) == b"\x00" else "<"
        (length,) = struct.unpack_from(order + "I", message.data, 12)
    except struct.error:
        return ""
    return bytes(message.data[16 : 16 + length]).rstrip(b"\0").decode("utf-8", "replace")


@cache
def _store(encoding: Encoding) -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    # All that is read here is the same in all distributions of ROS 2.
    store = get_typestore(Stores.ROS1_NOETIC if encoding == "ros1" else Stores.ROS2_HUMBLE)
    if _TRANSFORMS not in store.types:  # rosbags 0.10 has it of ROS 2 alone
        store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", _TRANSFORMS))
    return store


def decode(message: Message) -> Any:
    """The message with its fields. Raises: InputError naming the topic where it is garbled."""
    assert message.type in _READ
    store, kind = _store(message.encoding), _TRANSFORMS if message.type in TRANSFORMS else message.type
    try:
        if message.encoding == "ros1":
            return store.deserialize_ros1(message.data, kind)
        return store.deserialize_cdr(message.data, kind)
    except Exception as error:  # rosbags raises whatever the bytes lead to
        raise InputError(f"{message.topic}: a message is garbled ({first_line(error)})") from None


@dataclass(frozen=True)
class Header:
    """What a topic of pictures or points has, by its first message: size, how they are written, and in which frame."""

    size: tuple[int, int] | None
    encoding: str
    frame_id: str


def header_of(message: Message) -> Header:
    """Read it. Raises: InputError naming the topic."""
    fields = decode(message)
    frame = plain_frame(fields.header.frame_id)
    if message.type == COMPRESSED:
        return Header(None, str(fields.format), frame)
    if message.type == CLOUD:
        names = " ".join(str(one.name) for one in fields.fields)
        return Header(None, f"{int(fields.width) * int(fields.height)} points of {names} in {frame}", frame)
    if message.type == CAMERA_INFO:
        return Header((int(fields.width), int(fields.height)), "", frame)
    return Header((int(fields.width), int(fields.height)), str(fields.encoding), frame)


def plain_frame(frame_id: object) -> str:
    """A frame's name: before tf2 some had a slash in front."""
    return str(frame_id).lstrip("/")


def info_of(path: Path, message: Message) -> dict[str, Any]:
    """The four matrices of a CameraInfo, as `calibration.ros.camera_info` gives them.

    ROS 2 writes k, d, r, p, ROS 1 K, D, R, P. Raises: InputError naming the topic where it was never calibrated.
    """
    fields = decode(message)
    values = camera_fields(fields)
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


def camera_fields(fields: Any) -> dict[str, Any]:
    """k, d, r, p of a decoded CameraInfo, flat; ROS 1 writes K, D, R, P."""
    return {name: _field(fields, name) for name in "kdrp"}


def _field(fields: Any, name: str) -> Any:
    found = getattr(fields, name, None)
    return np.asarray(getattr(fields, name.upper()) if found is None else found, np.float64)
