"""A result of `advmtl infer … --out result.mcap` in the Rerun viewer, or as an .rrd file for it.

    python examples/mcap_to_rerun.py result.mcap                    # opens the viewer
    python examples/mcap_to_rerun.py result.mcap --save result.rrd

Needs `pip install 'advmtl[bags]' rerun-sdk`. (`advmtl infer … --out result.rrd`, where there is one, needs no bag.)
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rerun
from mcap.reader import make_reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

CAMERA = "camera"


def messages(path: Path) -> Iterator[tuple[str, int, Any]]:
    """(last part of the topic, stamp [ns], message) of a result, in the order of their stamps; the types are those of
    the file's own schemas.
    """
    store = get_typestore(Stores.EMPTY)
    with open(path, "rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            if schema is None or not channel.topic.startswith("/advmtl/"):
                continue
            if schema.name not in store.types:
                store.register(get_types_from_msg(schema.data.decode(), schema.name))
            name = channel.topic.removeprefix("/advmtl/")
            yield name, message.log_time, store.deserialize_cdr(message.data, schema.name)


def model_of(path: Path) -> dict[str, str]:
    """What the file says of its model: names and colours of classes."""
    with open(path, "rb") as file:
        return next((one.metadata for one in make_reader(file).iter_metadata() if one.name == "advmtl"), {})


def archetype(name: str, message: Any) -> Any:
    """The message as Rerun has it; None where there is no picture of it."""
    if name == "camera_info":
        return rerun.Pinhole(
            image_from_camera=np.reshape(message.k, (3, 3)),
            resolution=(message.width, message.height),
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
    if name == "overlay/compressed":
        return rerun.EncodedImage(contents=message.data.tobytes(), media_type="image/jpeg")
    if name == "classes":
        return rerun.SegmentationImage(message.data.reshape(message.height, message.width), opacity=0.5)
    if name == "depth":
        metres = message.data.view(np.float32).reshape(message.height, message.width)
        return rerun.DepthImage(np.where(np.isfinite(metres), metres, 0), meter=1.0)  # 0: no distance
    return None


def show(path: Path, recording: Any) -> int:
    """Log a result; returns how many messages were."""
    model, count = model_of(path), 0
    names, colours = (json.loads(model.get(key, "[]")) for key in ("classes", "colours"))
    recording.log(CAMERA, rerun.ViewCoordinates.RDF, static=True)
    infos = [(number, *one) for number, one in enumerate(zip(names, map(tuple, colours), strict=True))]
    recording.log("/", rerun.AnnotationContext(infos), static=True)
    for name, stamp_ns, message in messages(path):
        recording.set_time("time", timestamp=np.datetime64(stamp_ns, "ns"))
        if name == "records":
            recording.log("records", rerun.TextLog(message.data))
        elif (found := archetype(name, message)) is not None:
            recording.log(CAMERA if name == "camera_info" else f"{CAMERA}/{name.partition('/')[0]}", found)
        count += 1
    return count


def main() -> None:
    """Read the line and show the bag."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bag", type=Path, help="a .mcap file of advmtl infer")
    parser.add_argument("--save", type=Path, help="write an .rrd file instead of opening the viewer")
    asked = parser.parse_args()
    recording = rerun.RecordingStream("advmtl", send_properties=False)
    if asked.save is None:
        recording.spawn()
    else:
        recording.save(asked.save)
    count = show(asked.bag, recording)
    recording.flush()
    print(f"{count} messages of {asked.bag}")


if __name__ == "__main__":
    main()
