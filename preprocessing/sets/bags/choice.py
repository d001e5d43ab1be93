"""Which topics of a bag are the two pictures of a stereo pair and their cameras."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from preprocessing.ground import InputError
from preprocessing.sets.bags.decoding import CAMERA_INFO, COMPRESSED, IMAGE
from preprocessing.sets.bags.topics import Topic

# Words for left and right in the names of topics; the first that a name has counts.
SIDES = (
    ("left", "right"),
    ("infra1", "infra2"),
    ("fisheye1", "fisheye2"),
    ("cam0", "cam1"),
    ("cam_0", "cam_1"),
    ("camera0", "camera1"),
    ("camera_0", "camera_1"),
    ("image_0", "image_1"),
    ("image_00", "image_01"),
)
_NO_PICTURE = re.compile(r"depth|dispar|mask|label|segment|debug|overlay|theora|ffmpeg|point", re.IGNORECASE)


@dataclass(frozen=True)
class Chosen:
    """The topics of a stereo pair; an info topic is None where the bag has none for it."""

    left: str
    right: str
    left_info: str | None
    right_info: str | None
    truth: str | None = None


@dataclass(frozen=True)
class AskedTopics:
    """Topics that a user names; None = to be guessed (`truth`: to be left out)."""

    left: str | None = None
    right: str | None = None
    left_info: str | None = None
    right_info: str | None = None
    truth: str | None = None


def choose(topics: Mapping[str, Topic], asked: AskedTopics, bag: str) -> Chosen:
    """Take the named topics, and guess the others by their names and types.

    Raises: InputError naming a topic that is not there with the nearest one, or the pairs where there are several.
    """
    pictures = [name for name, topic in topics.items() if topic.is_picture]
    for name, option, allowed in (
        (asked.left, "--left", pictures),
        (asked.right, "--right", pictures),
        (asked.truth, "--truth", [*pictures, *(name for name, topic in topics.items() if topic.is_cloud)]),
        (asked.left_info, "--left-info", _infos(topics)),
        (asked.right_info, "--right-info", _infos(topics)),
    ):
        if name is not None and name not in allowed:
            raise InputError(f"{bag}: {_not_there(name, option, topics, allowed)}")
    left, right = asked.left, asked.right
    if left is not None and right is None:
        right = _other(left, pictures, bag, "--right")
    elif right is not None and left is None:
        left = next((one for one in pictures if _partner(one, pictures) == right), None)
    elif left is None:
        left, right = _guess(topics, bag)
    if left is None or right is None:
        raise InputError(f"{bag}: no left topic goes with {right}; name it with --left, one of {_listed(pictures)}")
    if left == right:
        raise InputError(f"{bag}: {left} is both --left and --right")
    infos = _infos(topics)
    return Chosen(
        left, right, asked.left_info or _info(left, infos), asked.right_info or _info(right, infos), asked.truth
    )


def _infos(topics: Mapping[str, Topic]) -> list[str]:
    return [name for name, topic in topics.items() if topic.type == CAMERA_INFO]


def _not_there(name: str, option: str, topics: Mapping[str, Topic], allowed: list[str]) -> str:
    if name in topics:
        return f"{option} {name} is a {topics[name].type}; offered: {_listed(allowed)}"
    near = difflib.get_close_matches(name, allowed, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are: {_listed(allowed)}"
    return f"no topic {name} ({option}); {hint}"


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "") or "none"


def _partner(left: str, names: Iterable[str]) -> str | None:
    """The topic with right for left in its name."""
    known = set(names)
    for first, second in SIDES:
        for found in re.finditer(re.escape(first), left):
            other = left[: found.start()] + second + left[found.end() :]
            if other in known:
                return other
            everywhere = left.replace(first, second)
            if everywhere in known and everywhere != left:
                return everywhere
    return None


def _other(left: str, pictures: list[str], bag: str, option: str) -> str:
    found = _partner(left, pictures)
    if found is None:
        raise InputError(f"{bag}: no topic goes with {left} by its name; name it with {option}: {_listed(pictures)}")
    return found


def _guess(topics: Mapping[str, Topic], bag: str) -> tuple[str, str]:
    """The best pair by names: rectified before raw, without loss before compressed, colour before grey."""
    usable = [
        name
        for name, topic in topics.items()
        if topic.is_picture and not topic.is_depth and not _NO_PICTURE.search(name)
    ]
    pairs = [(left, right) for left in usable if (right := _partner(left, usable)) is not None]
    if not pairs:
        raise InputError(
            f"{bag}: no two topics look like left and right; name them with --left and --right: {_listed(usable)}"
        )
    groups = {_stem(left) for left, _ in pairs}
    if len(groups) > 1:
        raise InputError(
            f"{bag}: several pairs: {_listed(f'{left} and {right}' for left, right in pairs)}; choose with --left"
        )
    return max(pairs, key=lambda pair: _rank(topics[pair[0]]))


def _stem(left: str) -> str:
    """What of a name stands before and within the part that says left: one for each stereo camera."""
    for first, _ in SIDES:
        if first in left:
            before, _, after = left.partition(first)
            return before + "|" + after.split("/")[0]
    return left


def _rank(topic: Topic) -> tuple[bool, bool, bool, int]:
    encoding = topic.header.encoding if topic.header is not None else ""
    grey = encoding.startswith(("mono", "8UC1", "16UC1"))
    return is_rectified_name(topic.name), topic.type == IMAGE, not grey, topic.count


def is_rectified_name(name: str) -> bool:
    """Whether a topic's name says that its pictures are rectified (image_rect, image_rect_color, rectified)."""
    return re.search(r"rect(?!angle)", name) is not None and "unrect" not in name


def _info(picture: str, infos: list[str]) -> str | None:
    """The CameraInfo that goes with a topic of pictures: camera_info in its folder or one above, else by its name."""
    if (beside := info_beside(picture, infos)) is not None:
        return beside
    alike = [name for name in infos if _same_side(picture, name)]
    return max(alike, key=lambda name: difflib.SequenceMatcher(None, name, picture).ratio(), default=None)


def info_beside(picture: str, infos: Iterable[str]) -> str | None:
    """The CameraInfo in the folder of a topic of pictures, or in one above it; None where there is none."""
    parts, known = picture.split("/")[:-1], set(infos)
    while parts and parts != [""]:
        if (name := "/".join((*parts, "camera_info"))) in known:
            return name
        parts.pop()
    return None


def choose_picture(types: Mapping[str, str], asked: str | None, bag: str) -> str:
    """The topic of pictures that is asked for, with or without its slash in front; else the only one there is.

    Args:
        types: Topic -> type, of the whole bag.

    Raises: InputError naming the topics of pictures where there are several or none.
    """
    pictures = [name for name, kind in types.items() if kind in (IMAGE, COMPRESSED)]
    if asked is not None:
        found = next((one for one in (asked, f"/{asked}") if one in pictures), None)
        if found is not None:
            return found
        if asked in types:
            raise InputError(f"{bag}: --topic {asked} is a {types[asked]}; pictures are in: {_listed(pictures)}")
        near = difflib.get_close_matches(asked, pictures, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"{bag}: no topic {asked}; {hint}pictures are in: {_listed(pictures)}")
    usable = [name for name in pictures if not _NO_PICTURE.search(name)] or pictures
    if not usable:
        raise InputError(f"{bag}: no topic of pictures (sensor_msgs/Image, CompressedImage); it has {_listed(types)}")
    if len(usable) > 1:
        raise InputError(f"{bag}: {len(usable)} topics of pictures; choose with --topic: {_listed(usable)}")
    return usable[0]


def _same_side(picture: str, info: str) -> bool:
    for first, second in SIDES:
        for side in (first, second):
            if side in picture:
                return side in info
    return True
