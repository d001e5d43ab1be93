"""Pictures out of messages: all common encodings of sensor_msgs/Image, JPEG and PNG of CompressedImage."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import DEPTH_SCALE, InputError, WrongColour, to_rgb
from preprocessing.sets.bags.decoding import COMPRESSED, decode
from preprocessing.sets.bags.message import Message

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Layout:
    """How an encoding lies in memory.

    Attributes:
        dtype: Of one value.
        channels: Values of a pixel in a row.
        to_rgb: A conversion of OpenCV to RGB; None = grey, or as `order` says.
        order: Channels that are R, G, B.
        rows: Rows of bytes for each row of pixels; NV12 has its colours below.
    """

    dtype: str
    channels: int
    to_rgb: int | None = None
    order: tuple[int, int, int] | None = None
    rows: float = 1.0


_RGB, _BGR = (0, 1, 2), (2, 1, 0)
ENCODINGS: dict[str, Layout] = {
    "rgb8": Layout("u1", 3, order=_RGB),
    "bgr8": Layout("u1", 3, order=_BGR),
    "rgba8": Layout("u1", 4, order=_RGB),
    "bgra8": Layout("u1", 4, order=_BGR),
    "rgb16": Layout("u2", 3, order=_RGB),
    "bgr16": Layout("u2", 3, order=_BGR),
    "rgba16": Layout("u2", 4, order=_RGB),
    "bgra16": Layout("u2", 4, order=_BGR),
    "mono8": Layout("u1", 1),
    "mono16": Layout("u2", 1),
    "8uc1": Layout("u1", 1),
    "8uc3": Layout("u1", 3, order=_BGR),  # cv_bridge's, and so OpenCV's
    "8uc4": Layout("u1", 4, order=_BGR),
    "16uc1": Layout("u2", 1),
    # OpenCV names a pattern by its second row, from the second pixel on; the names as here came with 4.5.5.
    "bayer_rggb8": Layout("u1", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": Layout("u1", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": Layout("u1", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": Layout("u1", 1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": Layout("u2", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": Layout("u2", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": Layout("u2", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": Layout("u2", 1, cv2.COLOR_BayerGB2RGB),
    "yuv422": Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuy2": Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "nv12": Layout("u1", 1, cv2.COLOR_YUV2RGB_NV12, rows=1.5),
    "nv21": Layout("u1", 1, cv2.COLOR_YUV2RGB_NV21, rows=1.5),
}
"""`encoding` of a sensor_msgs/Image in lower case -> how it lies in memory."""
_DEPTH = {"32fc1": ("f4", 1.0), "16uc1": ("u2", 1000.0), "mono16": ("u2", 1000.0)}
"""Encoding of a depth picture -> its dtype, and units in a metre (REP 118)."""
_COMPRESSED_DEPTH_HEADER = 12


def encoded_of(message: Message) -> tuple[str, bytes] | None:
    """The file in a CompressedImage, (ending, content), to be kept as it is; None of any other message."""
    if message.type != COMPRESSED:
        return None
    content = bytes(decode(message).data)
    for ending, begins in ((".jpg", b"\xff\xd8\xff"), (".png", b"\x89PNG")):
        if content.startswith(begins):
            return ending, content
    raise InputError(f"{message.topic}: a picture is {_format(message)!r}; JPEG and PNG are read")


def _format(message: Message) -> str:
    return str(decode(message).format)


def picture_of(message: Message) -> Pixels:
    """A picture: uint8 or uint16, [H, W, 3] RGB or [H, W] grey. Raises: InputError naming topic and encoding."""
    encoded = encoded_of(message)
    if encoded is None:
        return pixels_of(decode(message), message.topic)
    picture = cv2.imdecode(np.frombuffer(encoded[1], np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise InputError(f"{message.topic}: a picture is damaged")
    if picture.ndim == 2:
        return np.asarray(picture)
    return np.ascontiguousarray(picture[..., 2::-1])  # OpenCV's order


def pixels_of(fields: Any, topic: str) -> Pixels:
    """The same of the fields of a sensor_msgs/Image, of `rosbags` or of rclpy."""
    name = str(fields.encoding)
    layout = ENCODINGS.get(name.lower())
    if layout is None:
        raise InputError(f"{topic}: its pictures are {name!r}; read are {', '.join(ENCODINGS)}")
    values = _rows(topic, fields, layout)
    if layout.to_rgb is not None:
        return np.asarray(cv2.cvtColor(values, layout.to_rgb))
    if layout.order is not None:
        return np.ascontiguousarray(values[..., list(layout.order)])
    return np.ascontiguousarray(values)


def _rows(topic: str, fields: Any, layout: Layout) -> npt.NDArray[Any]:
    """The values without what pads each row to `step` bytes: [H, W] or [H, W, C]."""
    dtype = np.dtype(layout.dtype).newbyteorder(">" if fields.is_bigendian else "<")
    height, width, step = round(fields.height * layout.rows), int(fields.width), int(fields.step)
    used = width * layout.channels * dtype.itemsize
    data = np.frombuffer(memoryview(fields.data).cast("B"), np.uint8)
    if step < used or len(data) < height * step - (step - used):
        raise InputError(
            f"{topic}: a picture of {width}x{fields.height} {fields.encoding} has rows of {step} bytes and "
            f"{len(data)} bytes in all; {used} a row are needed"
        )
    whole = np.zeros(height * step, np.uint8)
    whole[: min(len(data), len(whole))] = data[: len(whole)]  # the padding of the last row may be missing
    rows = np.ascontiguousarray(whole.reshape(height, step)[:, :used]).view(dtype)
    found = rows.reshape((height, width) if layout.channels == 1 else (height, width, layout.channels))
    return found.astype(found.dtype.newbyteorder("="))


def depth_of(message: Message) -> npt.NDArray[np.uint16]:
    """A depth picture as lidar/ stores it: uint16 [H, W], metres * 256, 0 = nothing measured.

    32FC1 is in metres, 16UC1 in millimetres (REP 118), also as the PNG of compressedDepth. Raises: InputError.
    """
    fields = decode(message)
    if message.type == COMPRESSED:
        content, said = bytes(fields.data), str(fields.format)
        if "16uc1" not in said.lower():
            raise InputError(f"{message.topic}: depth is {said!r}; compressed, 16UC1 alone is read")
        start = _COMPRESSED_DEPTH_HEADER if "compresseddepth" in said.lower() else 0
        stored = cv2.imdecode(np.frombuffer(content[start:], np.uint8), cv2.IMREAD_UNCHANGED)
        if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
            raise InputError(f"{message.topic}: a depth picture is damaged, or no PNG of 16 bits")
        return _stored(stored, 1000.0)
    name = str(fields.encoding).lower()
    if name not in _DEPTH:
        raise InputError(f"{message.topic}: depth is {fields.encoding!r}; 32FC1 [m] and 16UC1 [mm] are read")
    dtype, units = _DEPTH[name]
    return _stored(_rows(message.topic, fields, Layout(dtype, 1)), units)


def _stored(values: npt.NDArray[Any], units: float) -> npt.NDArray[np.uint16]:
    metres = values.astype(np.float64) / units
    stored = np.rint(np.where(np.isfinite(metres), metres, 0.0) * DEPTH_SCALE)
    return np.where((stored >= 1) & (stored <= 65535), stored, 0).astype(np.uint16)


def rgb_of(picture: Pixels, topic: str, bits: int = 16) -> npt.NDArray[np.uint8]:
    """8-bit RGB [H, W, 3] of a picture, the upper 8 of the lower `bits` of 16. Raises: InputError naming the topic."""
    return rgb_and_note(picture, topic, bits)[0]


def rgb_and_note(picture: Pixels, topic: str, bits: int = 16) -> tuple[npt.NDArray[np.uint8], str]:
    """The same, and a note on what had to be changed, "" for 8-bit colour."""
    if picture.ndim == 3 and picture.dtype == np.uint8:
        return np.asarray(picture, np.uint8), ""
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    try:
        return to_rgb(np.ascontiguousarray(bgr), bits)
    except WrongColour as error:
        raise InputError(f"{topic}: {error}") from None
