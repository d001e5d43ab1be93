"""Bags with a stereo pair, written by `rosbags`: ROS 2 as MCAP and SQLite, ROS 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

Kind = Literal["mcap", "sqlite", "ros1"]
KINDS: tuple[Kind, ...] = ("mcap", "sqlite", "ros1")
START_NS = 1_700_000_000_123_456_789
STEP_NS = 100_000_000
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Said:
    """One message to write: its topic, type, stamp [ns], and fields without the header."""

    topic: str
    type: str
    stamp_ns: int
    fields: dict[str, Any]
    frame_id: str = "camera"


def raw(topic: str, stamp_ns: int, data: Array, encoding: str, *, pad: int = 0, width: int | None = None) -> Said:
    """A sensor_msgs/Image of rows [H, ...], each followed by `pad` bytes that are no pixels."""
    rows = np.ascontiguousarray(data).reshape(len(data), -1).view(np.uint8)
    height, used = rows.shape
    padded = np.full((height, used + pad), 77, np.uint8)
    padded[:, :used] = rows
    fields = {"height": height, "width": data.shape[1] if width is None else width, "encoding": encoding}
    fields |= {"is_bigendian": 0, "step": used + pad, "data": padded.ravel()}
    return Said(topic, "sensor_msgs/msg/Image", stamp_ns, fields)


def compressed(topic: str, stamp_ns: int, rgb: Array, ending: str) -> Said:
    """A sensor_msgs/CompressedImage."""
    content = cv2.imencode(ending, rgb[..., ::-1])[1].ravel()
    fields = {"format": f"rgb8; {ending[1:]} compressed bgr8", "data": content}
    return Said(topic, "sensor_msgs/msg/CompressedImage", stamp_ns, fields)


def info(topic: str, stamp_ns: int, size: tuple[int, int], k: Array, d: Array, r: Array, p: Array) -> Said:
    """A sensor_msgs/CameraInfo."""
    fields = {"height": size[1], "width": size[0], "distortion_model": "plumb_bob", "d": d, "k": k, "r": r, "p": p}
    return Said(topic, "sensor_msgs/msg/CameraInfo", stamp_ns, {**fields, "binning_x": 0, "binning_y": 0})


def rectified_infos(size: tuple[int, int], fx: float, cx: float, cy: float, baseline_m: float) -> list[Said]:
    """CameraInfo of /stereo/left and /stereo/right of a rectified pair."""
    k = np.array([[fx, 0, cx], [0, fx, cy], [0, 0, 1.0]])
    found = []
    for side, tx in (("left", 0.0), ("right", -fx * baseline_m)):
        p = np.column_stack([k, [tx, 0.0, 0.0]])
        found.append(info(f"/stereo/{side}/camera_info", START_NS, size, k, np.zeros(5), np.eye(3), p))
    return found


def write_bag(path: Path, kind: Kind, messages: Sequence[Said], late_ns: int = 7_000_000) -> Path:
    """Write messages in their order, each recorded `late_ns` after its stamp; returns what a user would give."""
    store = get_typestore(Stores.ROS1_NOETIC if kind == "ros1" else Stores.ROS2_HUMBLE)
    if kind == "ros1":
        path = path.with_suffix(".bag")
        writer: Any = Writer1(path)
    else:
        writer = Writer2(
            path, version=9, storage_plugin=StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
        )
    connections: dict[str, Any] = {}
    with writer:
        for said in messages:
            if said.topic not in connections:
                connections[said.topic] = writer.add_connection(said.topic, said.type, typestore=store)
            message = _message(store, said, kind)
            if kind == "ros1":
                data = store.serialize_ros1(message, said.type)
            else:
                data = store.serialize_cdr(message, said.type)
            writer.write(connections[said.topic], said.stamp_ns + late_ns, data)
    return path


def _message(store: Any, said: Said, kind: Kind) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](said.stamp_ns // 10**9, said.stamp_ns % 10**9)
    head = {"seq": 0} if kind == "ros1" else {}
    header = store.types["std_msgs/msg/Header"](**head, stamp=stamp, frame_id=said.frame_id)
    fields = dict(said.fields)
    if said.type.endswith("CameraInfo"):
        fields["roi"] = store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        for name in "dkrp":
            fields[name.upper() if kind == "ros1" else name] = np.ravel(fields.pop(name))
    return store.types[said.type](header=header, **fields)


def with_checksums(path: Path) -> Path:
    """The same MCAP file in chunks with checksums, which rosbags leaves out; beside the first."""
    from mcap.reader import make_reader
    from mcap.writer import CompressionType, Writer

    out = path.with_name("checked.mcap")
    with open(path, "rb") as file, open(out, "wb") as target:
        writer = Writer(target, chunk_size=1 << 18, compression=CompressionType.NONE)
        writer.start()
        channels: dict[int, int] = {}
        for schema, channel, message in make_reader(file).iter_messages():
            if channel.id not in channels:
                kind = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, kind)
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time)
        writer.finish()
    return out
