"""What a CameraInfo says of the pictures beside it: their lens, and how it bends, in their own pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from preprocessing.ground import Lens
from preprocessing.sets.bags.decoding import camera_fields, decode
from preprocessing.sets.bags.message import Message

_SAME_ASPECT = 0.01


@dataclass(frozen=True)
class PictureCamera:
    """The camera of one picture.

    Attributes:
        lens: In pixels of the picture; of another size where that has another shape than the camera's. None where the
            camera was never calibrated.
        model, coefficients: How the picture is distorted, as a CameraInfo says it; () where it is not.
        note: How it was found, in words.
    """

    lens: Lens | None
    model: str
    coefficients: tuple[float, ...]
    note: str


def picture_camera(message: Message, is_rectified: bool, size: tuple[int, int]) -> PictureCamera:
    """The camera of a picture of `size`, see `camera_of`. Raises: InputError naming the topic where it is garbled."""
    return camera_of(decode(message), message.topic, is_rectified, size)


def camera_of(fields: Any, topic: str, is_rectified: bool, size: tuple[int, int]) -> PictureCamera:
    """The camera of a picture of `size` (width, height): of a rectified one P, of a raw one K with D.

    fields: of a sensor_msgs/CameraInfo, of `rosbags` or of rclpy. A region of interest and binning are taken into
    account; a picture of another size but the camera's shape is taken as resized.
    """
    matrices = camera_fields(fields)
    k, p = matrices["k"].reshape(3, 3), matrices["p"].reshape(3, 4)
    bends = bool(np.any(matrices["d"])) and not is_rectified and k[0, 0] > 0
    name, matrix = ("P", p) if (is_rectified and p[0, 0] > 0) or not k[0, 0] > 0 else ("K", k)
    if not matrix[0, 0] > 0:
        return PictureCamera(None, "", (), f"{topic}: K and P are 0, the camera was never calibrated")
    whole = int(fields.width) or size[0], int(fields.height) or size[1]
    fy = float(matrix[1, 1]) if matrix[1, 1] > 0 else float(matrix[0, 0])
    lens = _of_picture(Lens(float(matrix[0, 0]), fy, float(matrix[0, 2]), float(matrix[1, 2]), whole), fields)
    note = f"{topic}: its {name} tells the lens of the pictures"
    if lens.size != size and abs(lens.size[0] * size[1] - lens.size[1] * size[0]) <= _SAME_ASPECT * size[0] * size[1]:
        note += f", brought from {lens.size[0]}x{lens.size[1]} to {size[0]}x{size[1]}"
        lens = lens.resized(size)
    if not bends:
        return PictureCamera(lens, "", (), note)
    model = str(fields.distortion_model) or "plumb_bob"
    note += f"; they are raw ({model}) and taken as they are; --undistort with --camera FILE draws them straight"
    return PictureCamera(lens, model, tuple(float(one) for one in matrices["d"]), note)


def _of_picture(lens: Lens, fields: object) -> Lens:
    """K and P are of the whole sensor; pictures may be a part of it, and several of its pixels in one."""
    roi = getattr(fields, "roi", None)
    if roi is not None and roi.width and roi.height:
        lens = lens.cropped(int(roi.x_offset), int(roi.y_offset), (int(roi.width), int(roi.height)))
    across, down = (max(1, int(getattr(fields, name, 1))) for name in ("binning_x", "binning_y"))
    return lens.resized((lens.size[0] // across, lens.size[1] // down)) if max(across, down) > 1 else lens
