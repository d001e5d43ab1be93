"""What `soak.py` runs: a tiny network, and a source of small parts with faults among them."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph import CLASSES, DEPTH, Metadata, to_properties
from export.stream import Loaded, Skipped, open_source

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # before the first video: the faults are meant
SIZE = (96, 64)
VIDEO_FRAMES = 200
COLOURS = ((128, 64, 128), (70, 70, 70), (70, 130, 180), (0, 0, 142))


def write_model(path: Path) -> None:
    """A network of the deployed form: uint8 frame in, uint8 classes and float metres out."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(0, 0.05, (8, 3, 3, 3)).astype(np.float32),
        "v": random.normal(0, 0.5, (5, 8, 1, 1)).astype(np.float32),
        "low": np.float32(-1), "high": np.float32(4), "cut": np.array([4, 1], np.int64), "one": np.array([1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "v"], ["heads"]),
        helper.make_node("Split", ["heads", "cut"], ["logits", "x"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["a"], axis=1, keepdims=0),
        helper.make_node("Cast", ["a"], [CLASSES], to=TensorProto.UINT8),
        helper.make_node("Clip", ["x", "low", "high"], ["limited"]),
        helper.make_node("Exp", ["limited"], ["e"]),
        helper.make_node("Squeeze", ["e", "one"], [DEPTH]),
    ]
    width, height = SIZE
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])
    outputs = [
        helper.make_tensor_value_info(CLASSES, TensorProto.UINT8, [1, height, width]),
        helper.make_tensor_value_info(DEPTH, TensorProto.FLOAT, [1, height, width]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "soak", [image], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    names = ("road", "building", "sky", "car")
    metadata = Metadata("soak", SIZE, class_names=names, palette=COLOURS, depth_range_m=(0.3, 60.0))
    helper.set_model_props(model, to_properties(metadata))
    onnx.save(model, str(path))


def picture(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A moving pattern, BGR."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = [127 + 120 * np.sin((x * a + y * b + 7 * number) / 9) for a, b in ((1, 0), (0, 1), (1, 2))]
    return np.ascontiguousarray(np.stack(waves, axis=-1).astype(np.uint8))


def write_parts(folder: Path) -> list[Path]:
    """The whole video, the one that is cut off, and the folder of pictures."""
    whole, cut, pictures = folder / "whole.mkv", folder / "cut.mkv", folder / "pictures"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"mp4v"), 25, SIZE)
    for number in range(VIDEO_FRAMES):
        writer.write(picture(number))
    writer.release()
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 2 // 3])
    pictures.mkdir()
    for number in range(20):
        cv2.imwrite(str(pictures / f"{number:02d}.png"), picture(number))
    cv2.imwrite(str(pictures / "20_other_size.png"), picture(20, (160, 60)))
    cv2.imwrite(str(pictures / "21_16_bits.png"), picture(21).astype(np.uint16) << 8)
    cv2.imwrite(str(pictures / "22_grey.png"), picture(22)[..., 0])
    cv2.imwrite(str(pictures / "23_transparent.png"), cv2.cvtColor(picture(23), cv2.COLOR_BGR2BGRA))
    (pictures / "24_broken.png").write_bytes((pictures / "00.png").read_bytes()[:300])
    cv2.imwrite(str(pictures / "25_floats.tiff"), picture(25).astype(np.float32))
    return [whole, cut, pictures]


@contextmanager
def served(content: bytes, connections: int) -> Iterator[str]:
    """A stream at a URL that breaks off after all of `content`, so many times, and then is gone."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(connections):
            connection, _ = server.accept()
            connection.sendall(content)
            connection.close()
        server.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


def in_one_round(parts: list[Path]) -> tuple[int, int]:
    """How many frames the parts give and how many cannot be read, counted by themselves."""
    frames = [frame for part in parts for frame in open_source(part).frames()]
    return sum(isinstance(one, Loaded) for one in frames), sum(isinstance(one, Skipped) for one in frames)
