"""A bag to be written as a folder pair: left/, right/, calibration.json, lidar/ of depth or clouds; rectified."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preprocessing.ground import Camera, InputError, UInt8, bits_up_to
from preprocessing.job.redraw import Drawing, draw_pair, drawing_of
from preprocessing.job.rows import Rows, rows_off
from preprocessing.sets import Calibration, pair_of_infos, read_calibration
from preprocessing.sets import rectify as rectified
from preprocessing.sets.bags import (
    AskedTopics,
    Bag,
    Chosen,
    Lidar,
    Message,
    Pairs,
    Topic,
    Transforms,
    choose,
    far_off,
    first_look,
    frames_in,
    info_of,
    is_rectified_name,
    open_bag,
    pair_up,
    picture_of,
    read_mount,
    rgb_of,
    scan,
    stamp_of,
    truth_of,
    truth_text,
    turned,
)

_NO_TURN = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_LOOKED_AT, _APART = 4, 10
"""So many pairs are looked at before writing, every tenth: they lie at the beginning, for a bag is read in order."""


@dataclass(frozen=True)
class BagSettings:
    """How a bag is read.

    Attributes:
        topics: Topics that are named; the others are guessed.
        calibration: A calibration file of any format, in place of the bag's CameraInfo.
        pair_tolerance_s: Greatest distance of two stamps [s]; None = half of the time between pictures.
        lidar_to_camera: A file with the transform of a truth of clouds; None = the bag's /tf_static and /tf say it.
    """

    topics: AskedTopics = field(default_factory=AskedTopics)
    calibration: Path | None = None
    pair_tolerance_s: float | None = None
    lidar_to_camera: Path | None = None

    def __post_init__(self) -> None:
        if self.pair_tolerance_s is not None and not 0 <= self.pair_tolerance_s < 1e6:
            raise InputError(f"pair-tolerance-s: {self.pair_tolerance_s} must be 0 or more seconds")


@dataclass(frozen=True)
class Recording:
    """What is to be made of a bag.

    Attributes:
        bag, topics, chosen, pairs: What was found in it.
        size: (width, height) of the pictures [px].
        camera: Of the pictures that are written.
        drawing: How they are rectified; None = written as they are.
        truth: Stamp of a depth picture or cloud -> stamp of its left picture.
        bits: So many of the 16 bits of 16-bit pictures are used.
        notes: What a user should know, one line each.
        lidar: How clouds are drawn; None where the truth is none.
    """

    bag: Bag
    topics: Mapping[str, Topic]
    chosen: Chosen
    pairs: Pairs
    size: tuple[int, int]
    camera: Camera
    drawing: Drawing | None
    truth: dict[int, int]
    bits: int
    notes: list[str]
    lidar: Lidar | None = None


def plan_recording(
    path: Path,
    settings: BagSettings,
    rectify: Literal["auto", "always", "never"] = "auto",
    alpha: float | None = None,
    bits: int | None = None,
) -> Recording:
    """Look into a bag, choose topics, pair pictures, read the camera; writes nothing. `bits`: see `Recording`; None:
    by the largest value of the pairs that are looked at.

    Raises: InputError naming a topic that is not there with the nearest, or what of the camera is missing.
    """
    bag = open_bag(path)
    topics = scan(bag)
    try:
        chosen = choose(topics, settings.topics, str(path))
        pairs = pair_up(topics[chosen.left], topics[chosen.right], settings.pair_tolerance_s)
    except InputError as error:
        raise InputError("; ".join([str(error), *bag.cut])) from None
    calibration = _calibration(path, topics, chosen, settings.calibration)
    looks, bits, colour = _look(bag, chosen, pairs, bits)
    size = (looks[0][0].shape[1], looks[0][0].shape[0])
    drawing, notes = _drawing(calibration, looks, chosen, rectify, alpha)
    camera = calibration.at(size) if drawing is None else drawing.found.camera()
    if bits != 16 and (drawing is not None or colour):  # grey ones keep their 16 bits, and are looked at as any set's
        notes.append(f"{chosen.left}: pictures use {bits} of 16 bits; --bits 16 reads them as full")
    notes = [*bag.cut, *pairs.doubts, *notes]
    found = Recording(bag, topics, chosen, pairs, size, camera, drawing, {}, bits, notes)
    return _with_truth(found, settings, calibration)


def _with_truth(found: Recording, settings: BagSettings, calibration: Calibration) -> Recording:
    name, pairs = found.chosen.truth, found.pairs
    if settings.lidar_to_camera is not None and (name is None or not found.topics[name].is_cloud):
        raise InputError("--lidar-to-camera: goes with --truth TOPIC of clouds (sensor_msgs/PointCloud2)")
    if name is None:
        return found
    topic = found.topics[name]
    truth = truth_of(pairs, topic, settings.pair_tolerance_s)
    if not truth:
        raise InputError(f"{found.bag.path}: {far_off(pairs, topic)}")
    said = truth_text(pairs, topic, truth)
    if not topic.is_cloud:
        return replace(found, truth=truth, notes=[*found.notes, said])
    lidar, notes = _lidar(found, topic, settings, calibration)
    if topic.first is not None:
        stamp = own_stamp(topic.first, pairs)
        notes = [first_look(lidar, topic.first, truth.get(stamp, stamp)), *notes]
    return replace(found, truth=truth, lidar=lidar, notes=[*found.notes, said, *notes])


def _lidar(found: Recording, topic: Topic, settings: BagSettings, calibration: Calibration) -> tuple[Lidar, list[str]]:
    if not (found.camera.u0_px or found.camera.v0_px):
        raise InputError(f"{calibration.path}: tells no principal point (cx_px, cy_px), by which points are drawn")
    mount = None if settings.lidar_to_camera is None else read_mount(settings.lidar_to_camera)
    transforms, target = Transforms(), ""
    if mount is None:
        source = topic.header.frame_id if topic.header is not None else ""
        transforms, target = frames_in(found.bag, found.topics, source, (found.chosen.left, found.chosen.left_info))
    if found.drawing is not None:
        rectifying = found.drawing.found.r1
    elif calibration.pairs:
        pair = calibration.pair_at(found.size)
        rectifying = (pair.stated or rectified(pair)).r1
    else:
        rectifying = _NO_TURN
    turn, notes = turned(found.drawing is not None, rectifying, mount)
    return Lidar(topic.name, target, mount, transforms, turn, found.camera, found.size), notes


def _calibration(path: Path, topics: Mapping[str, Topic], chosen: Chosen, file: Path | None) -> Calibration:
    if file is not None:
        return read_calibration(file)
    infos = []
    for name, side in ((chosen.left_info, "left"), (chosen.right_info, "right")):
        first = topics[name].first if name is not None else None
        if first is None:
            raise InputError(
                f"{path}: no CameraInfo goes with the {side} topic; name it with --{side}-info, or give --calibration "
                "FILE, of any format of docs/calibrations.md"
            )
        infos.append(info_of(path, first))
    return pair_of_infos(path, infos[0], infos[1])


def own_stamp(message: Message, pairs: Pairs) -> int:
    """The stamp by which a message was paired [ns]."""
    return message.time_ns if pairs.by_recording else stamp_of(message)


def _look(bag: Bag, chosen: Chosen, pairs: Pairs, bits: int | None) -> tuple[list[tuple[UInt8, UInt8]], int, bool]:
    """The first pairs as 8-bit RGB: at least one; the bits in use, and whether they are of 16-bit colours.

    Raises: InputError where none can be read.
    """
    seen = _first_pairs(bag, chosen, pairs)
    looks = [(one[0], one[1]) for one in seen.values() if len(one) == 2]
    if not looks:
        raise InputError(f"{bag.path}: not one of the first pairs can be read")
    left, right = looks[0]
    if left.shape[:2] != right.shape[:2]:
        raise InputError(
            f"{bag.path}: {chosen.left} is {left.shape[1]}x{left.shape[0]}, {chosen.right} {right.shape[1]}x"
            f"{right.shape[0]}; both must have one size"
        )
    deep = [picture for look in looks for picture in look if picture.dtype == np.uint16]
    bits = bits or bits_up_to(max((int(picture.max()) for picture in deep), default=0))
    topics = chosen.left, chosen.right
    read = [(rgb_of(one, topics[0], bits), rgb_of(other, topics[1], bits)) for one, other in looks]
    return read, bits, any(picture.ndim == 3 for picture in deep)


def _first_pairs(bag: Bag, chosen: Chosen, pairs: Pairs) -> dict[int, dict[int, Any]]:
    """Number of a pair -> side (0 = left, 1 = right) -> its picture as it was sent."""
    count = len(pairs.left_ns)
    picked = sorted({min(index * _APART, count - 1) for index in range(_LOOKED_AT)})
    wanted = {(chosen.left, int(pairs.left_ns[index])): (index, 0) for index in picked}
    wanted |= {(chosen.right, int(pairs.right_ns[index])): (index, 1) for index in picked}
    seen: dict[int, dict[int, Any]] = {}
    for message in bag.messages({chosen.left, chosen.right}):
        place = wanted.pop((message.topic, own_stamp(message, pairs)), None)
        if place is not None:
            seen.setdefault(place[0], {})[place[1]] = picture_of(message)
        if not wanted:
            break
    return seen


def _drawing(
    calibration: Calibration, looks: list[tuple[Any, Any]], chosen: Chosen, rectify: str, alpha: float | None
) -> tuple[Drawing | None, list[str]]:
    """How pictures are rectified, and what is said about it.

    The names of topics say it (image_raw, image_rect), but not always truly: rows are looked at too.
    """
    size = (looks[0][0].shape[1], looks[0][0].shape[0])
    if not calibration.pairs:
        if rectify == "always" or alpha is not None:
            raise InputError(f"{calibration.path}: tells no raw cameras (K, D, R), so nothing can be rectified")
        return None, []
    drawing = drawing_of(calibration.pair_at(size), alpha, "none")
    if rectify != "auto" or alpha is not None:
        return (None if rectify == "never" else drawing), []
    if calibration.pictures == "rectified" or not calibration.is_raw:
        return None, []
    drawn = [draw_pair(drawing, *pair) for pair in looks]
    rows = Rows(rows_off(looks), rows_off(drawn), len(looks))
    is_raw = rows.are_raw if calibration.pictures is None else calibration.pictures == "raw"
    if is_raw is None:
        is_raw = not is_rectified_name(chosen.left)
    said = "raw" if is_raw else "rectified already"
    return (drawing if is_raw else None), [f"{chosen.left}: the pictures are {said}: {rows.text()}"]


def default_out(path: Path) -> Path:
    """Where the set goes if nobody says: a folder beside the bag."""
    full = path.absolute()
    return full.with_name(f"{full.stem}_stereo")
