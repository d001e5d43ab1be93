"""The clouds of a bag as truth: from their frame to the left camera's, and drawn on its picture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.ground import DEPTH_SCALE, Camera, InputError, draw_points
from preprocessing.sets.bags.bag import Bag
from preprocessing.sets.bags.clouds import points_of
from preprocessing.sets.bags.decoding import TRANSFORMS
from preprocessing.sets.bags.message import Message
from preprocessing.sets.bags.mount import Mount, Sight
from preprocessing.sets.bags.topics import Topic, is_static
from preprocessing.sets.bags.transforms import Transforms
from preprocessing.sets.calibration.cameras import Rows, rows_of

LEAST_M = 0.5
"""Nearer points are of the vehicle itself."""
_TURN_DEG = 0.05
OPTION = "--lidar-to-camera FILE"


@dataclass(frozen=True)
class Lidar:
    """How clouds are drawn on the left picture.

    Attributes:
        topic: Of the clouds.
        target: The left camera's frame.
        mount: The transform of a file; None = that of `transforms`.
        transforms: What the bag's /tf_static and /tf say.
        turn: [3, 3]: from the camera that the transform leads to, to that of the pictures that are written.
        camera: Of those.
        size: (width, height) [px].
    """

    topic: str
    target: str
    mount: Mount | None
    transforms: Transforms
    turn: Rows
    camera: Camera
    size: tuple[int, int]

    def draw(self, cloud: Message, stamp_ns: int) -> npt.NDArray[np.uint16]:
        """A cloud as lidar/ stores it: uint16 [H, W], metres * 256, 0 = nothing measured.

        Args:
            cloud: The message.
            stamp_ns: Of the left picture [ns].

        Raises: InputError naming the topic, or the transform that is missing.
        """
        frame, points = points_of(cloud)
        found = np.array(self.mount.matrix) if self.mount is not None else self._found(frame, stamp_ns)
        turn = np.array(self.turn)
        by = np.ascontiguousarray((turn @ found[:3, :3]).T)  # 20 times as fast
        return draw_points(points @ by + turn @ found[:3, 3], self.camera, self.size, near_m=LEAST_M)

    def _found(self, frame: str, stamp_ns: int) -> npt.NDArray[np.float64]:
        try:
            return self.transforms.between(frame, self.target, stamp_ns)
        except InputError as error:
            raise InputError(f"{self.topic}: {error}; or give {OPTION}") from None

    def way(self, frame: str) -> str:
        """By what points of a frame come to the camera. Raises: InputError where nothing leads there."""
        if self.mount is not None:
            return str(self.mount.path)
        steps = self.transforms.way(frame, self.target)
        if steps is None:
            raise InputError(
                f"{self.topic}: no transform from its frame {frame or 'without a name'} to the left camera's "
                f"{self.target or 'without a name'}; {self.transforms.known(frame, self.target)}; give {OPTION}"
            )
        return " -> ".join([frame, *(end for _, end in steps)])

    @property
    def key(self) -> str:
        """What shapes the maps beside the bag and the pictures' camera, so that a later run knows it again."""
        return json.dumps([self.turn, self.target if self.mount is None else self.mount.matrix])


def turned(is_raw: bool, rectifying: Rows, mount: Mount | None) -> tuple[Rows, list[str]]:
    """The turn from the camera that a transform leads to, to that of the rectified pictures; what is doubtful of it.

    A frame is that of the pictures in the bag, unless a file says otherwise: of a raw picture, of the camera as it
    stands; of a rectified one, of the ideal camera, as image_geometry takes it, which projects by P alone.

    Args:
        is_raw: Whether the pictures in the bag are raw.
        rectifying: The rotation [3, 3] that rectifies the left camera.
        mount: May say which camera it leads to.
    """
    said = mount.camera if mount is not None else None
    own: Sight = "raw" if is_raw else "rectified"
    other: Sight = "rectified" if is_raw else "raw"
    degrees = _degrees(rectifying)
    notes = []
    if said is None and degrees > _TURN_DEG:
        notes.append(
            f"the lidar's transform is taken as one to the {own} left camera; should it lead to the {other} one, which "
            f'is turned by {degrees:.2f} degrees against it, say "camera": "{other}" in {OPTION}'
        )
    return (rectifying if (said or own) == "raw" else rows_of(np.eye(3))), notes


def _degrees(rotation: Rows) -> float:
    # By its sine: the cosine of a small angle is 1 to many digits.
    skew = np.array(rotation) - np.array(rotation).T
    return float(np.degrees(np.arcsin(min(1.0, float(np.linalg.norm(skew)) / np.sqrt(8)))))


def frames_in(
    bag: Bag, topics: Mapping[str, Topic], source: str, pictures: tuple[str | None, ...]
) -> tuple[Transforms, str]:
    """What the bag says of its frames, and which of them is the left camera's.

    Args:
        bag, topics: The bag. It is read through once more only where /tf_static does not lead to the camera.
        source: The frame that is to be led from.
        pictures: Topics of the left camera: the frame is that of the first one that is known, else of the first.
    """
    found = Transforms()
    found.read_fixed(one for topic in topics.values() for one in topic.kept)
    target = _frame_of(topics, pictures, found)
    moving = {name for name, topic in topics.items() if topic.type in TRANSFORMS and not is_static(topic)}
    if moving and found.way(source, target) is None:
        found.read_moving(bag.messages(moving))
        target = _frame_of(topics, pictures, found)
    return found, target


def _frame_of(topics: Mapping[str, Topic], names: tuple[str | None, ...], known: Transforms) -> str:
    headers = [topics[name].header for name in names if name is not None]
    found = [header.frame_id for header in headers if header is not None and header.frame_id]
    return next((one for one in found if one in known.frames), found[0] if found else "")


def first_look(lidar: Lidar, first: Message, stamp_ns: int) -> str:
    """Draw the first cloud, and say what of it is seen.

    Raises: InputError where the cloud cannot be read, nothing leads to the camera, or nothing is seen.
    """
    frame, points = points_of(first)
    way = lidar.way(frame)
    try:
        stored = lidar.draw(first, stamp_ns)
    except InputError as error:  # of this moment; others may have what it lacks
        return str(error)
    seen = stored[stored > 0] / DEPTH_SCALE
    if not len(seen) and np.isfinite(points).all(axis=1).any():
        raise InputError(
            f"{lidar.topic}: not one of the first cloud's {len(points)} points falls into the left picture, by {way}; "
            "does it take points of the lidar to the camera's optical frame (x right, y down, z forward)?"
        )
    near, middle, far = np.percentile(seen, [0, 50, 100]) if len(seen) else (0.0, 0.0, 0.0)
    return (
        f"{lidar.topic}: {len(seen)} of the first cloud's {len(points)} points have a pixel of their own by {way}; "
        f"{near:.1f} to {far:.1f} m, {middle:.1f} m in the median"
    )
