"""A ROS 2 node: pictures and their CameraInfo in; classes, metres and the camera of both out.

    python examples/ros2_node.py --ros-args -p model:=model.onnx \
        -r image:=/camera/image_raw -r camera_info:=/camera/camera_info

Publishes `classes` (mono8), `depth` (32FC1, metres; +Inf no distance, NaN unknown, as REP 118 has it) and
`depth/camera_info`, all with the header of their picture, so that message_filters' TimeSynchronizer finds them. While
the network works, only the newest picture waits. Needs advmtl's runtime (docs/streaming.md) and rclpy; no cv_bridge.
"""

import queue
import threading
import time
from array import array
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Header

from export.session import open_session
from export.sinks import lens_of_maps
from export.sources import Distortion, Frames, Loaded, Notice, Skipped, Source
from export.stream import Inferred, Reading, run
from preprocessing.ground import InputError
from preprocessing.sets.bags import camera_of, is_rectified_name, pixels_of, rgb_and_note


class Street(Node):
    """Subscribes to `image` and `camera_info`; `frames` hands the newest picture to the network's thread."""

    def __init__(self) -> None:
        super().__init__("street")
        self.session = open_session(
            self.declare_parameter("model", "model.onnx").value,
            self.declare_parameter("provider", "auto").value,
        )
        self.topic = self.resolve_topic_name("image")
        self.info: Any = None
        self.waiting: queue.Queue[tuple[Any, float]] = queue.Queue(maxsize=1)
        self.classes = self.create_publisher(Image, "classes", 1)
        self.depth = self.create_publisher(Image, "depth", 1)
        self.camera = self.create_publisher(CameraInfo, "depth/camera_info", 1)
        self.create_subscription(CameraInfo, "camera_info", self.on_info, qos_profile_sensor_data)
        self.create_subscription(Image, "image", self.on_image, qos_profile_sensor_data)

    def on_info(self, message: Any) -> None:
        """Keep the camera's latest word."""
        self.info = message

    def on_image(self, message: Any) -> None:
        """Let the newest picture wait in place of an older one."""
        with suppress(queue.Empty):
            self.waiting.get_nowait()
        self.waiting.put_nowait((message, time.perf_counter()))

    def frames(self) -> Frames:
        """Pictures as RGB, each with the stamp, the frame and the lens of its messages; without end."""
        while True:
            try:
                message, arrived = self.waiting.get(timeout=0.1)
            except queue.Empty:
                yield Notice("")  # nothing yet; the stream may end here
                continue
            stamp = message.header.stamp
            stamp_ns = stamp.sec * 10**9 + stamp.nanosec
            try:
                image, _ = rgb_and_note(pixels_of(message, self.topic), self.topic)
            except InputError as error:
                yield Skipped(str(stamp_ns), str(error))
                continue
            lens, bent = None, None
            if self.info is not None:
                size = (image.shape[1], image.shape[0])
                camera = camera_of(self.info, "camera_info", is_rectified_name(self.topic), size)
                lens = camera.lens
                bent = Distortion(camera.model, camera.coefficients) if camera.coefficients else None
            yield Loaded(str(stamp_ns), image, stamp_ns, arrived, lens, message.header.frame_id, bent)

    def publish(self, frame: Inferred) -> None:
        """Publish a result under the header of its picture."""
        seconds, nanoseconds = divmod(frame.timestamp_ns or 0, 10**9)
        header = Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame.frame_id)
        if frame.result.classes is not None:
            self.classes.publish(image_message(frame.result.classes, "mono8", header))
        if frame.result.depth_m is not None:
            self.depth.publish(image_message(frame.result.depth_m, "32FC1", header))
        if (info := camera_message(frame, header)) is not None:
            self.camera.publish(info)


def image_message(values: np.ndarray, encoding: str, header: Any) -> Any:
    """A map [h, w] as an Image; nothing is scaled."""
    data = array("B")  # rclpy takes an array as it is, and would check bytes one by one
    data.frombytes(memoryview(np.ascontiguousarray(values)).cast("B"))
    height, width = values.shape
    step = width * values.itemsize
    return Image(header=header, height=height, width=width, encoding=encoding, is_bigendian=0, step=step, data=data)


def camera_message(frame: Inferred, header: Any) -> Any:
    """The camera of the maps: the picture's, resized and cropped as it was shown; None where nobody tells a lens."""
    lens = lens_of_maps(frame)
    if lens is None:
        return None
    k = np.array([lens.fx_px, 0, lens.cx_px, 0, lens.fy_px, lens.cy_px, 0, 0, 1])
    bent = frame.distortion or Distortion("plumb_bob", (0.0,) * 5)
    return CameraInfo(
        header=header,
        height=lens.size[1],
        width=lens.size[0],
        distortion_model=bent.model,
        d=array("d", bent.coefficients),
        k=k,
        r=np.eye(3).ravel(),
        p=np.column_stack([k.reshape(3, 3), np.zeros(3)]).ravel(),
        binning_x=0,
        binning_y=0,
        roi=RegionOfInterest(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )


def main() -> None:
    """Spin in one thread, run the network in another, publish from this one, until ROS shuts down."""
    rclpy.init()
    node, stop = Street(), threading.Event()
    rclpy.get_default_context().on_shutdown(stop.set)
    threading.Thread(target=rclpy.spin, args=(node,), daemon=True).start()
    source = Source(node.topic, node.frames, total=None, fps=30.0, live=True)
    report = run(node.session, source, node.publish, reading=Reading("latest"), stop=stop)
    node.get_logger().info(f"{report.frames} frames, {report.dropped} dropped, {report.frames_per_second} frames/s")


if __name__ == "__main__":
    main()
