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
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

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


POINT_KINDS = {"u1": 2, "i2": 3, "u2": 4, "i4": 5, "f4": 7, "f8": 8}
"""dtype -> `datatype` of a PointField."""


def cloud(topic: str, stamp_ns: int, records: Array, frame_id: str, *, row_pad: int = 0) -> Said:
    """A sensor_msgs/PointCloud2 of records [H, W] or [W], whose dtype says fields, offsets, step and byte order."""
    rows = np.ascontiguousarray(np.atleast_2d(records))
    (height, width), dtype = rows.shape, records.dtype
    used = width * dtype.itemsize
    padded = np.full((height, used + row_pad), 77, np.uint8)
    padded[:, :used] = rows.view(np.uint8).reshape(height, used)
    known: Any = dtype.fields or {}
    fields: dict[str, Any] = {"height": height, "width": width, "point_step": dtype.itemsize, "is_dense": False}
    fields["fields"] = [(name, offset, POINT_KINDS[kind.str[1:]], 1) for name, (kind, offset, *_) in known.items()]
    fields["is_bigendian"] = any(kind.str[0] == ">" for kind, *_ in known.values())
    fields |= {"row_step": used + row_pad, "data": padded.ravel()}
    return Said(topic, "sensor_msgs/msg/PointCloud2", stamp_ns, fields, frame_id)


def transforms(topic: str, stamp_ns: int, *edges: tuple[str, str, Sequence[float], Sequence[float]]) -> Said:
    """A tf2_msgs/TFMessage of (parent, child, translation [m], quaternion x y z w)."""
    return Said(topic, "tf2_msgs/msg/TFMessage", stamp_ns, {"edges": edges})


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
    if kind == "ros1":  # rosbags has it of ROS 2 alone
        for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
            store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", name))
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
    if said.type.lower().endswith("tfmessage"):
        made = [_transform(store, said, kind, *edge) for edge in said.fields["edges"]]
        return store.types[said.type](transforms=made)
    fields = dict(said.fields)
    if said.type.endswith("CameraInfo"):
        fields["roi"] = store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        for name in "dkrp":
            fields[name.upper() if kind == "ros1" else name] = np.ravel(fields.pop(name))
    if said.type.endswith("PointCloud2"):
        fields["fields"] = [store.types["sensor_msgs/msg/PointField"](*one) for one in fields["fields"]]
    return store.types[said.type](header=_header(store, said, kind, said.frame_id), **fields)


def _header(store: Any, said: Said, kind: Kind, frame_id: str) -> Any:
    stamp = store.types["builtin_interfaces/msg/Time"](said.stamp_ns // 10**9, said.stamp_ns % 10**9)
    head = {"seq": 0} if kind == "ros1" else {}
    return store.types["std_msgs/msg/Header"](**head, stamp=stamp, frame_id=frame_id)


def _transform(
    store: Any, said: Said, kind: Kind, parent: str, child: str, shift: Sequence[float], turn: Sequence[float]
) -> Any:
    vector = store.types["geometry_msgs/msg/Vector3"](*map(float, shift))
    quaternion = store.types["geometry_msgs/msg/Quaternion"](*map(float, turn))
    made = store.types["geometry_msgs/msg/Transform"](translation=vector, rotation=quaternion)
    header = _header(store, said, kind, parent)
    return store.types["geometry_msgs/msg/TransformStamped"](header=header, child_frame_id=child, transform=made)


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
