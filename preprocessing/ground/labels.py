"""Class ids: the sources' own id tables, the label sets they are mapped to, and the palettes.

Every mapping is one look-up table of 256 entries applied in a single pass. Remapping in place, id by id,
corrupts labels as soon as a new id equals a source id that is still to come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError

IGNORE = 255
"""The label that no loss and no metric counts."""
UNKNOWN = 254
"""What a look-up table gives for a source id that does not exist; `map_labels` never lets it out."""

_EXACT = 2**24  # whole numbers up to here are exact in float32

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LabelSet:
    """The K classes a network is trained on, id = position.

    Attributes:
        name: The key in `LABEL_SETS`.
        names: K class names.
        palette: uint8 [K, 3], RGB.
    """

    name: str
    names: tuple[str, ...]
    palette: UInt8


def _label_set(name: str, colours: Mapping[str, tuple[int, int, int]]) -> LabelSet:
    palette = np.array(list(colours.values()), dtype=np.uint8)
    palette.setflags(write=False)
    return LabelSet(name, tuple(colours), palette)


# Cityscapes' labelIds that are classes (cityscapesScripts, helpers/labels.py): id, name, colour, one of the 7
# categories, and the group of CamVid's 32 classes (SegNet's grouping) that holds it.
_CITYSCAPES = (
    (7, "road", (128, 64, 128), "flat", "road"),
    (8, "sidewalk", (244, 35, 232), "flat", "pavement"),
    (11, "building", (70, 70, 70), "construction", "building"),
    (12, "wall", (102, 102, 156), "construction", "building"),
    (13, "fence", (190, 153, 153), "construction", "fence"),
    (17, "pole", (153, 153, 153), "object", "pole"),
    (19, "traffic light", (250, 170, 30), "object", "sign symbol"),
    (20, "traffic sign", (220, 220, 0), "object", "sign symbol"),
    (21, "vegetation", (107, 142, 35), "nature", "tree"),
    (22, "terrain", (152, 251, 152), "nature", "tree"),
    (23, "sky", (70, 130, 180), "sky", "sky"),
    (24, "person", (220, 20, 60), "human", "pedestrian"),
    (25, "rider", (255, 0, 0), "human", "bicyclist"),
    (26, "car", (0, 0, 142), "vehicle", "car"),
    (27, "truck", (0, 0, 70), "vehicle", "car"),
    (28, "bus", (0, 60, 100), "vehicle", "car"),
    (31, "train", (0, 80, 100), "vehicle", "car"),
    (32, "motorcycle", (0, 0, 230), "vehicle", "bicyclist"),
    (33, "bicycle", (119, 11, 32), "vehicle", "bicyclist"),
)
# CamVid's 11 classes in the order of their ids: name, colour, category. A bicyclist is the person and the bicycle in
# one; it counts as human.
_CAMVID = (
    ("sky", (128, 128, 128), "sky"),
    ("building", (128, 0, 0), "construction"),
    ("pole", (192, 192, 128), "object"),
    ("road", (128, 64, 128), "flat"),
    ("pavement", (60, 40, 222), "flat"),
    ("tree", (128, 128, 0), "nature"),
    ("sign symbol", (192, 128, 128), "object"),
    ("fence", (64, 64, 128), "construction"),
    ("car", (64, 0, 128), "vehicle"),
    ("pedestrian", (64, 64, 0), "human"),
    ("bicyclist", (0, 128, 192), "human"),
)
LABEL_SETS: dict[str, LabelSet] = {
    "cityscapes19": _label_set("cityscapes19", {name: colour for _, name, colour, _, _ in _CITYSCAPES}),
    "categories7": _label_set(
        "categories7",
        {
            "flat": (128, 64, 128),
            "construction": (70, 70, 70),
            "object": (220, 220, 0),
            "nature": (107, 142, 35),
            "sky": (70, 130, 180),
            "human": (220, 20, 60),
            "vehicle": (0, 0, 142),
        },
    ),
    "camvid11": _label_set("camvid11", {name: colour for name, colour, _ in _CAMVID}),
}
_CITYSCAPES_CLASSES = {source: name for source, name, *_ in _CITYSCAPES}
_CITYSCAPES_TO_CATEGORY = {name: category for _, name, _, category, _ in _CITYSCAPES}
_CITYSCAPES_TO_CAMVID = {name: group for *_, name, _, _, group in _CITYSCAPES}
_CAMVID_TO_CATEGORY = {name: category for name, _, category in _CAMVID}
# 0..33 are defined; id -1 (licence plate) is stored as 255 in an 8-bit PNG.
_CITYSCAPES_IDS = (*range(34), 255)
# 0..10 are the classes and 11 is void; 255 is taken as void too, since half of the copies in use store it so.
_CAMVID_IDS = (*range(12), 255)


def _table(label_set: str, class_of: Mapping[int, str], ignored: tuple[int, ...]) -> UInt8:
    position = {name: index for index, name in enumerate(LABEL_SETS[label_set].names)}
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    table[list(ignored)] = IGNORE
    for source, name in class_of.items():
        table[source] = position[name]
    table.setflags(write=False)
    return table


def _through(class_of: Mapping[int, str], to: Mapping[str, str]) -> dict[int, str]:
    return {source: to[name] for source, name in class_of.items()}


_CAMVID_CLASSES = dict(enumerate(LABEL_SETS["camvid11"].names))
_TABLES: dict[tuple[str, str], UInt8] = {
    ("cityscapes", "cityscapes19"): _table("cityscapes19", _CITYSCAPES_CLASSES, _CITYSCAPES_IDS),
    ("cityscapes", "categories7"): _table(
        "categories7", _through(_CITYSCAPES_CLASSES, _CITYSCAPES_TO_CATEGORY), _CITYSCAPES_IDS
    ),
    ("cityscapes", "camvid11"): _table(
        "camvid11", _through(_CITYSCAPES_CLASSES, _CITYSCAPES_TO_CAMVID), _CITYSCAPES_IDS
    ),
    ("camvid", "camvid11"): _table("camvid11", _CAMVID_CLASSES, _CAMVID_IDS),
    ("camvid", "categories7"): _table("categories7", _through(_CAMVID_CLASSES, _CAMVID_TO_CATEGORY), _CAMVID_IDS),
    **{("train", name): _table(name, dict(enumerate(s.names)), (IGNORE,)) for name, s in LABEL_SETS.items()},
}


def _category_table(label_set: str, to: Mapping[str, str]) -> UInt8:
    return _table("categories7", _through(dict(enumerate(LABEL_SETS[label_set].names)), to), (IGNORE,))


CATEGORIES_OF: dict[str, UInt8] = {
    "cityscapes19": _category_table("cityscapes19", _CITYSCAPES_TO_CATEGORY),
    "categories7": _category_table("categories7", {n: n for n in LABEL_SETS["categories7"].names}),
    "camvid11": _category_table("camvid11", _CAMVID_TO_CATEGORY),
}
"""Label set -> uint8 [256], train id -> one of the 7 categories, 255 -> 255, anything else -> `UNKNOWN`."""


def lookup_table(ids: str, label_set: str) -> UInt8:
    """Return the table that maps a source's ids to train ids.

    The 7 categories are those of the 19 training classes: what the 19 ignore (parking, rail track, bridge,
    caravan, ...) stays ignored, as the published 7-class results have it.

    Args:
        ids: "cityscapes" (labelIds, 255 = id -1), "camvid" (0..10, 11 = void) or "train" (already train ids
            of `label_set`).
        label_set: A key of `LABEL_SETS`.

    Returns:
        uint8 [256], read-only: 0..K-1, 255 = ignore, 254 = no such source id.

    Raises:
        InputError: There is no mapping from `ids` to `label_set`.
    """
    try:
        return _TABLES[ids, label_set]
    except KeyError:
        offered = ", ".join(sorted(s for i, s in _TABLES if i == ids)) or "nothing: no such ids"
        raise InputError(f"labels: ids {ids!r} cannot be mapped to {label_set!r}; offered: {offered}") from None


def sky_classes(names: Sequence[str]) -> tuple[int, ...]:
    """The classes, by these names, that have no distance: the sky; () where there is none."""
    return tuple(place for place, name in enumerate(names) if name == "sky")


def label_sets_of(ids: str) -> tuple[str, ...]:
    """The label sets that a source's ids can be mapped to, its own first; see `lookup_table`."""
    return tuple(label_set for own, label_set in _TABLES if own == ids)


def map_labels(raw: UInt8, table: UInt8, path: Path | str) -> UInt8:
    """Map source ids [H, W] to train ids [H, W] (255 = ignore).

    Raises:
        InputError: An id of `raw` does not exist in the source's table; names `path` and the ids.
    """
    _check_map(raw, path)
    mapped: UInt8 = table[raw]
    unknown = mapped == UNKNOWN
    if unknown.any():
        _refuse(np.unique(raw[unknown]), path)
    return mapped


def count_labels(raw: UInt8, table: UInt8, path: Path | str) -> npt.NDArray[np.int64]:
    """Count the pixels of [H, W] by source id, int64 [256], without mapping them.

    Raises:
        InputError: As `map_labels`.
    """
    import cv2  # the names of label sets are asked for without it

    _check_map(raw, path)
    if raw.size < _EXACT:  # several times faster than NumPy, in float32
        counts = cv2.calcHist([raw], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    else:
        counts = np.bincount(raw.ravel(), minlength=256)
    unknown = np.flatnonzero((counts > 0) & (table == UNKNOWN))
    if len(unknown):
        _refuse(unknown, path)
    return counts


def _check_map(raw: UInt8, path: Path | str) -> None:
    if raw.dtype != np.uint8 or raw.ndim != 2:
        raise InputError(f"{path}: labels must be one 8-bit channel, not {raw.dtype} with {raw.ndim} dimensions")


def _refuse(ids: npt.NDArray[np.integer], path: Path | str) -> None:
    found = ", ".join(str(i) for i in ids[:8])
    raise InputError(f"{path}: unknown class id {found}; is this another label format?")


def colorize(labels: UInt8, palette: UInt8) -> UInt8:
    """Draw train ids [H, W] as RGB uint8 [H, W, 3]; ids without a colour, 255 among them, are black."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette
    drawn: UInt8 = colours[labels]
    return drawn
