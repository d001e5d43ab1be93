"""Results as a ROS 2 bag: one MCAP file, which Foxglove opens and `ros2 bag` plays."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from export.graph import Metadata
from export.sinks.inferred import Delivery, Sink
from export.sinks.ros_messages import Messages
from export.sinks.setting import Setting
from preprocessing.ground import InputError, atomic_write


@contextmanager
def open_bag_sink(path: Path, setting: Setting) -> Iterator[Sink]:
    """Write every frame's maps, camera, overlay and record under its own stamp; a frame without one gets its number
    over the rate. It gets its name when it is whole, with index and checksums.

    Raises: InputError where the name is a folder's or the packages are missing; OSError as writing does.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give another name for the bag")
    missing = [name for name in ("rosbags", "mcap") if find_spec(name) is None]
    if missing:
        raise InputError(f"{path}: writing bags needs {' and '.join(missing)}: pip install 'advmtl[bags]'")
    from mcap.writer import CompressionType, Writer

    messages = Messages(setting)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        # zstd: half of the classes' and metres' bytes at little time; the overlay is compressed already.
        writer = Writer(file, compression=CompressionType.ZSTD, chunk_size=1 << 20)
        writer.start(profile="ros2", library=f"advmtl {setting.metadata.advmtl_version}")
        writer.add_metadata("advmtl", _of_model(setting.metadata))
        channels: dict[str, tuple[int, int]] = {}
        schemas: dict[str, int] = {}

        def write(delivery: Delivery) -> None:
            frame = delivery.frame
            stamp = frame.timestamp_ns
            if stamp is None:
                stamp = round(1e9 * frame.index / setting.fps)
            for topic, kind, message in messages.of(frame, stamp):
                if topic not in channels:
                    channels[topic] = _channel(writer, messages.store, topic, kind, schemas), 0
                channel, sequence = channels[topic]
                channels[topic] = channel, sequence + 1
                data = bytes(messages.store.serialize_cdr(message, kind))
                # As bags are sorted and played by the time of recording, that is the stamp too.
                writer.add_message(channel, log_time=stamp, publish_time=stamp, sequence=sequence, data=data)

        yield write
        writer.finish()
        if not channels:
            raise InputError(f"{path}: no frame to write")


def _channel(writer: Any, store: Any, topic: str, kind: str, schemas: dict[str, int]) -> int:
    if kind not in schemas:
        text, _ = store.generate_msgdef(kind, ros_version=2)
        schemas[kind] = writer.register_schema(name=kind, encoding="ros2msg", data=text.encode())
    found: int = writer.register_channel(
        topic=topic, message_encoding="cdr", schema_id=schemas[kind], metadata={"offered_qos_profiles": ""}
    )
    return found


def _of_model(metadata: Metadata) -> dict[str, str]:
    """What LabelInfo has no place for, colours say, as a metadata record of the file."""
    return {
        "version": metadata.advmtl_version,
        "label_set": metadata.label_set,
        "classes": json.dumps(list(metadata.class_names)),
        "colours": json.dumps([list(map(int, colour)) for colour in metadata.palette]),
        "no_class": str(metadata.ignore_id),
        "depth": "32FC1, metres, +Inf: no distance (the sky), NaN: unknown (REP 118)",
        "network_size": json.dumps(list(metadata.size)),
        "configuration": metadata.configuration,
    }
