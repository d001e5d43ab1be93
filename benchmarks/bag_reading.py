"""Pictures/s out of an MCAP and out of a folder, the same pictures in turn; prints ratios.

    python benchmarks/bag_reading.py FOLDER --frames 60 --rounds 5

FOLDER holds PNG pictures, at any depth. Written to a temporary folder: an MCAP of raw pictures (rgb8 or mono8) and one of
compressed ones, whose messages are the PNG files themselves. Decoded to RGB as `preprocess` does it; one thread. Needs the
extra `bags`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from preprocessing.ground import read_image
from preprocessing.sets.bags import open_bag, picture_of, rgb_of

TOPIC = "/camera/image"
KINDS = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}


def write(pictures: list[Path], kind: str, out: Path) -> Path:
    """A bag of one topic."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, KINDS[kind], typestore=store)
        for number, path in enumerate(pictures):
            time_ = types["builtin_interfaces/msg/Time"](sec=number // 10, nanosec=number % 10 * 10**8)
            header = types["std_msgs/msg/Header"](stamp=time_, frame_id="camera")
            if kind == "compressed":
                data = np.frombuffer(path.read_bytes(), np.uint8)
                message = types[KINDS[kind]](header=header, format="png", data=data)
            else:
                pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                grey = pixels.ndim == 2
                pixels = pixels if grey else np.ascontiguousarray(pixels[..., ::-1])
                height, width = pixels.shape[:2]
                message = types[KINDS[kind]](
                    header=header,
                    height=height,
                    width=width,
                    encoding="mono8" if grey else "rgb8",
                    is_bigendian=0,
                    step=pixels.nbytes // height,
                    data=pixels.ravel(),
                )
            writer.write(connection, number * 10**8, store.serialize_cdr(message, KINDS[kind]))
    return out


def of_bag(path: Path) -> int:
    """Decode all pictures; their sum of first pixels, so that nothing is left out."""
    return sum(int(rgb_of(picture_of(message), TOPIC)[0, 0, 0]) for message in open_bag(path).messages({TOPIC}))


def of_folder(pictures: list[Path]) -> int:
    """The same of files."""
    return sum(int(read_image(path)[0, 0, 0]) for path in pictures)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = sorted(options.folder.rglob("*.png"))[: options.frames]
    with tempfile.TemporaryDirectory() as folder:
        bags = {kind: write(pictures, kind, Path(folder) / kind) for kind in KINDS}
        ways: dict[str, Callable[[], int]] = {
            "folder": lambda: of_folder(pictures),
            **{kind: (lambda path=path: of_bag(path)) for kind, path in bags.items()},  # type: ignore[misc]
        }
        seen = {name: way() for name, way in ways.items()}  # not counted: fills the system's file cache
        if len(set(seen.values())) != 1:
            raise SystemExit(f"the ways differ: {seen}")
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                started = time.process_time()
                way()
                taken[name].append(time.process_time() - started)
    print(f"| {len(pictures)} pictures | pictures / CPU s | of the folder's |\n|---|---:|---:|")
    for name, seconds in taken.items():
        ratio = statistics.median(folder / own for folder, own in zip(taken["folder"], seconds, strict=True))
        print(f"| {name} | {len(pictures) / statistics.median(seconds):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
