"""examples/ros2_node.py, without ROS: rosbags' message types stand in for rclpy's, which take the same fields."""

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from standins import make_frame

pytest.importorskip("rosbags")

NODE = Path(__file__).parents[2] / "examples" / "ros2_node.py"
SIZE = (200, 120)
STAMPS = [1_700_000_000_123_456_789 + i * 66_666_667 for i in range(3)]
K = np.array([150, 0, 98.5, 0, 152, 61.5, 0, 0, 1.0])


class Ros:
    """What of rclpy the node uses; `spin` feeds the pictures, each after the answer to the one before it."""

    def __init__(self, model: Path, types: dict[str, Any]) -> None:
        self.model, self.types = model, types
        self.subscribed: dict[str, Callable[[Any], None]] = {}
        self.published: dict[str, list[Any]] = {"classes": [], "depth": [], "depth/camera_info": []}
        self.on_shutdown: list[Callable[[], None]] = []
        self.errors: list[str] = []

    def modules(self) -> list[ModuleType]:
        ros = self

        class Node:
            def __init__(self, name: str) -> None: ...

            def declare_parameter(self, name: str, default: str) -> SimpleNamespace:
                return SimpleNamespace(value={"model": str(ros.model), "provider": "cpu"}[name])

            def resolve_topic_name(self, name: str) -> str:
                return f"/camera/{name}_raw"

            def create_publisher(self, kind: type, topic: str, depth: int) -> SimpleNamespace:
                return SimpleNamespace(publish=ros.published[topic].append)

            def create_subscription(self, kind: type, topic: str, call: Callable[[Any], None], qos: object) -> None:
                ros.subscribed[topic] = call

            def get_logger(self) -> SimpleNamespace:
                return SimpleNamespace(info=lambda text: None)

        context = SimpleNamespace(on_shutdown=self.on_shutdown.append)
        return [
            *(module(package) for package in IMPORTED),
            module("rclpy", init=lambda: None, spin=self.spin, get_default_context=lambda: context),
            module("rclpy.node", Node=Node),
            module("rclpy.qos", qos_profile_sensor_data=None),
            *(self.messages(package, names) for package, names in IMPORTED.items()),
        ]

    def messages(self, package: str, names: list[str]) -> ModuleType:
        return module(f"{package}.msg", **{name: self.types[f"{package}/msg/{name}"] for name in names})

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        stamp = self.types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
        return self.types["std_msgs/msg/Header"](stamp, frame_id)

    def spin(self, node: object) -> None:
        try:
            info = self.types["sensor_msgs/msg/CameraInfo"]
            part = self.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
            d, p = np.array([-0.3, 0.1, 0, 0, 0]), np.zeros(12)
            head = self.header(STAMPS[0], "cam")
            self.subscribed["camera_info"](
                info(head, SIZE[1], SIZE[0], "plumb_bob", d, K, np.eye(3).ravel(), p, 0, 0, part)
            )
            for number, stamp in enumerate(STAMPS):
                rows = np.zeros((SIZE[1], SIZE[0] * 3 + 8), np.uint8)  # padded rows
                rows[:, :-8] = make_frame(number, SIZE)[..., ::-1].reshape(SIZE[1], -1)
                image = self.types["sensor_msgs/msg/Image"](
                    self.header(stamp, f"cam{number}"), SIZE[1], SIZE[0], "bgr8", 0, rows.shape[1], rows.ravel()
                )
                self.subscribed["image"](image)
                until = time.monotonic() + 60
                while len(self.published["depth/camera_info"]) <= number and time.monotonic() < until:
                    time.sleep(0.005)
        except BaseException as error:
            self.errors.append(repr(error))
        finally:
            for call in self.on_shutdown:
                call()


IMPORTED = {
    "builtin_interfaces": ["Time"],
    "sensor_msgs": ["CameraInfo", "Image", "RegionOfInterest"],
    "std_msgs": ["Header"],
}


def module(name: str, **members: object) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


@pytest.fixture
def ros(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ros:
    from rosbags.typesys import Stores, get_typestore

    made = Ros(model_path, get_typestore(Stores.ROS2_HUMBLE).types)
    for one in made.modules():
        monkeypatch.setitem(sys.modules, one.__name__, one)
    return made


def test_each_result_has_the_header_of_its_picture(ros: Ros, model_path: Path) -> None:
    from export.session import open_session

    runpy.run_path(str(NODE), run_name="__main__")
    assert ros.errors == []
    session = open_session(model_path, "cpu", 1)
    for number, stamp in enumerate(STAMPS):
        expected = session.run(make_frame(number, SIZE))
        classes, depth, camera = (ros.published[name][number] for name in ros.published)
        for message in (classes, depth, camera):
            found = message.header.stamp
            assert (found.sec * 10**9 + found.nanosec, message.header.frame_id) == (stamp, f"cam{number}")
        assert (depth.height, depth.width, depth.step, depth.encoding) == (96, 160, 640, "32FC1")
        assert (classes.step, classes.encoding) == (160, "mono8")
        np.testing.assert_array_equal(np.frombuffer(depth.data, np.float32).reshape(96, 160), expected.depth_m)
        np.testing.assert_array_equal(np.frombuffer(classes.data, np.uint8).reshape(96, 160), expected.classes)


def test_the_camera_is_that_of_the_maps(ros: Ros) -> None:
    """200x120 becomes 160x96, by 0.8; pixel centres are whole numbers: 0.8 * (98.5 + 0.5) - 0.5 = 78.7."""
    runpy.run_path(str(NODE), run_name="__main__")
    camera = ros.published["depth/camera_info"][0]
    assert (camera.width, camera.height, camera.distortion_model) == (160, 96, "plumb_bob")
    np.testing.assert_allclose(camera.k, [120, 0, 78.7, 0, 121.6, 49.1, 0, 0, 1])
    np.testing.assert_allclose(camera.p, [120, 0, 78.7, 0, 0, 121.6, 49.1, 0, 0, 0, 1, 0])
    assert list(camera.d) == [-0.3, 0.1, 0, 0, 0]


def test_only_the_newest_picture_waits(ros: Ros) -> None:
    node = runpy.run_path(str(NODE), run_name="ros2_node")["Street"]()
    for number in range(3):
        node.on_image(SimpleNamespace(number=number))
    assert node.waiting.get_nowait()[0].number == 2 and node.waiting.empty()
