"""The Python of docs/streaming.md runs; of ROS there is a stand-in."""

import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from standins import make_frame, make_session

from export.stream.stream import Reading, run

DOCS = Path(__file__).parents[2] / "docs" / "streaming.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


def block(word: str) -> str:
    (found,) = [one for one in BLOCKS if word in one]
    return str(found)


def test_the_callback(
    model_path: Path, picture_folder: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("def on_frame").replace("model.onnx", str(model_path)).replace("drive.mp4", str(picture_folder(3)))
    exec(code, {})
    assert capsys.readouterr().out.count("(96, 160)") == 3


def module(name: str, **members: object) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


def test_the_ros_node(model_path: Path, picture_folder: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"model": str(model_path), "source": str(picture_folder(3))}
    published: dict[str, list[SimpleNamespace]] = {"depth": [], "classes": []}

    class Node:
        def __init__(self, name: str) -> None: ...

        def declare_parameter(self, name: str, default: str) -> SimpleNamespace:
            return SimpleNamespace(value=parameters[name])

        def create_publisher(self, kind: type, topic: str, depth: int) -> SimpleNamespace:
            return SimpleNamespace(publish=published[topic].append)

        def get_logger(self) -> SimpleNamespace:
            return SimpleNamespace(info=lambda text: None)

    modules = [
        module("rclpy", init=lambda: None, get_default_context=lambda: SimpleNamespace(on_shutdown=lambda call: None)),
        module("rclpy.node", Node=Node),
        module("rclpy.time", Time=lambda nanoseconds: SimpleNamespace(to_msg=lambda: nanoseconds)),
        module("sensor_msgs"),
        module("sensor_msgs.msg", Image=lambda: SimpleNamespace(header=SimpleNamespace())),
    ]
    for one in modules:
        monkeypatch.setitem(sys.modules, one.__name__, one)
    exec(block("class Street"), {"__name__": "__main__"})
    # `latest` is asked for, so frames may be dropped; the last one is not.
    assert 1 <= len(published["depth"]) == len(published["classes"]) <= 3
    depth, classes = published["depth"][-1], published["classes"][-1]
    assert (depth.height, depth.width, depth.step, depth.encoding) == (96, 160, 640, "32FC1")
    assert (classes.step, len(classes.data)) == (160, 96 * 160)
    assert np.frombuffer(depth.data, np.float32).reshape(96, 160).min() >= 1


def test_the_source_of_ones_own() -> None:
    names: dict = {}
    exec(block("waiting = queue.Queue"), names)
    stop, taken = threading.Event(), []

    def feed() -> None:
        for i in range(3):
            names["waiting"].put(make_frame(i), timeout=10)
        while not taken:
            time.sleep(0.01)
        stop.set()

    threading.Thread(target=feed, daemon=True).start()
    report = run(make_session(), names["source"], taken.append, reading=Reading("every"), stop=stop)
    assert 1 <= report.frames == len(taken) <= 3
