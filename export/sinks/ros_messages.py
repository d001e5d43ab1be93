"""A result as messages of ROS 2: classes, metres, the camera they are of, the overlay, the record; `rosbags` has the
types, so no ROS is needed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.graph import CLASSES, DEPTH, OFFSETS
from export.session import spec_of
from export.sinks.inferred import Inferred, lens_of_maps
from export.sinks.setting import Setting
from export.sources import Distortion
from preprocessing.ground import Lens

PREFIX = "/advmtl"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, TEXT, LABELS = "sensor_msgs/msg/CameraInfo", "std_msgs/msg/String", "vision_msgs/msg/LabelInfo"
_VISION = {  # of vision_msgs 4.1, which is no part of a distribution's core
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    LABELS: "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
}
_TOPICS = {DEPTH: "depth"}
"""Output -> the last part of its topic, where that is not its name."""
_ENCODINGS = {"u1": "8UC{}", "u2": "16UC{}", "i4": "32SC{}", "f4": "32FC{}"}
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


def typestore() -> Any:
    """The types that are written. The packages of the extra `bags` must be there."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)  # these are the same in all distributions of ROS 2
    for name, text in _VISION.items():
        store.register(get_types_from_msg(text, name))
    return store


@dataclass(frozen=True)
class Messages:
    """Makes the messages of a stream, all of a frame under its stamp and in its coordinate frame."""

    setting: Setting

    @cached_property
    def store(self) -> Any:
        """See `typestore`."""
        return typestore()

    def of(self, frame: Inferred, stamp_ns: int) -> Iterator[tuple[str, str, Any]]:
        """(topic, type, message) of a frame."""
        header = self._header(frame, stamp_ns)
        for name, values in frame.result.outputs.items():
            if name != OFFSETS:  # instances are what they are for
                yield f"{PREFIX}/{_TOPICS.get(name, name)}", IMAGE, self.image(values, header)
        if CLASSES in frame.result.outputs:
            yield f"{PREFIX}/label_info", LABELS, self._labels(header)
        lens = lens_of_maps(frame)
        if lens is not None:
            yield f"{PREFIX}/camera_info", CAMERA_INFO, self.camera_info(lens, frame.distortion, header)
        yield f"{PREFIX}/overlay/compressed", COMPRESSED, self._overlay(frame, header)
        text = json.dumps(frame.record(None), allow_nan=False)
        yield f"{PREFIX}/records", TEXT, self.store.types[TEXT](data=text)

    def _header(self, frame: Inferred, stamp_ns: int) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        stamp = self.store.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
        return self.store.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame.frame_id)

    def image(self, values: NDArray[Any], header: Any) -> Any:
        """A map `[h, w]` or `[c, h, w]` as a sensor_msgs/Image: uint8 as mono8, float32 as 32FC1, all as they are."""
        channels = 1 if values.ndim == 2 else values.shape[0]
        pixels = np.ascontiguousarray(values if values.ndim == 2 else np.moveaxis(values, 0, -1))
        kind = _ENCODINGS[pixels.dtype.str[1:]].format(channels)
        return self.store.types[IMAGE](
            header=header,
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding="mono8" if kind == "8UC1" else kind,
            is_bigendian=int(pixels.dtype.byteorder == ">"),
            step=pixels.strides[0],
            data=pixels.view(np.uint8).ravel(),
        )

    def camera_info(self, lens: Lens, distortion: Distortion | None, header: Any) -> Any:
        """The camera of maps with this lens. They are not rectified here, so R is 1 and P is K; D tells what bends
        those of a raw picture, 0 where nothing does.
        """
        k = np.array([[lens.fx_px, 0, lens.cx_px], [0, lens.fy_px, lens.cy_px], [0, 0, 1.0]])
        return self.store.types[CAMERA_INFO](
            header=header,
            height=lens.size[1],
            width=lens.size[0],
            distortion_model="plumb_bob" if distortion is None else distortion.model,
            d=np.zeros(5) if distortion is None else np.array(distortion.coefficients, np.float64),
            k=k.ravel(),
            r=np.eye(3).ravel(),
            p=np.column_stack([k, np.zeros(3)]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=self.store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        )

    def _labels(self, header: Any) -> Any:
        kind = self.store.types["vision_msgs/msg/VisionClass"]
        named = [kind(class_id=index, class_name=name) for index, name in enumerate(self.setting.metadata.class_names)]
        return self.store.types[LABELS](header=header, class_map=named, threshold=0.0)

    def _overlay(self, frame: Inferred, header: Any) -> Any:
        """The frame under its first task's colours, of the maps' size: the camera is that of the maps."""
        tasks = self.setting.tasks.values()
        first = next(one for one in tasks if any(output.name in frame.result.outputs for output in one.arrays.outputs))
        picture = first.arrays.paint(frame.image, frame.result.outputs, spec_of(self.setting.metadata))
        good, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)
        if not good:
            raise OSError(f"OpenCV cannot encode a JPEG of {picture.shape}")
        return self.store.types[COMPRESSED](header=header, format="jpeg", data=content.ravel())
