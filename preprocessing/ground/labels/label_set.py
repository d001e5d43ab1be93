"""A label set: the classes of a network, or what the pixels of label files mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

IGNORE = 255
"""The label that no loss and no metric counts."""
UNKNOWN = 254
"""What a look-up table gives for a source id that does not exist; `map_labels` never lets it out."""
MAX_CLASSES = 254
MAX_ID = 65535
TRAIN_IDS = "-train-ids"
"""Behind a set's name: its classes by their places 0..K-1, 255 = ignore."""

UInt8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class LabelSet:
    """K classes, id = position, and how label files store them.

    Two sets of one content are equal, and can be keys.

    Attributes:
        name: What messages, reports and exported files call it.
        names: K class names.
        palette: uint8 [K, 3], RGB, which pictures are drawn with.
        ids: For each class the ids that it has in label files; (): its position.
        colours: For each class the colours that it has in label files; (): label files have no colours.
        groups: For each class its group; (): the set has none.
        aliases: For each class (other set, class there) that it is in; (): none.
        things: Classes that have instances, ascending.
        told_sky: Classes marked as sky; a class of the name "sky" is one in any case.
        ignore_ids, ignore_colours: What label files mark as no class at all.
        ego_ids, ego_colours: What they mark as the vehicle or the rig itself, or as no part of the picture.
        own: Whether it is a user's: `folder` sources then have its `ids`, not positions.
    """

    name: str
    names: tuple[str, ...]
    palette: UInt8
    ids: tuple[tuple[int, ...], ...] = ()
    colours: tuple[tuple[Colour, ...], ...] = ()
    groups: tuple[str, ...] = ()
    aliases: tuple[tuple[tuple[str, str], ...], ...] = ()
    things: tuple[int, ...] = ()
    told_sky: tuple[int, ...] = ()
    ignore_ids: tuple[int, ...] = (IGNORE,)
    ignore_colours: tuple[Colour, ...] = ()
    ego_ids: tuple[int, ...] = ()
    ego_colours: tuple[Colour, ...] = ()
    own: bool = False

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        values = tuple(value for name, value in vars(self).items() if name not in ("palette", "_key"))
        return (self.palette.tobytes(), *values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSet) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.name

    @property
    def sky(self) -> tuple[int, ...]:
        """The classes that have no distance, ascending; () where there is none."""
        return tuple(sorted({*self.told_sky, *sky_classes(self.names)}))

    @property
    def file_ids(self) -> tuple[tuple[int, ...], ...]:
        """For each class its ids in label files."""
        return self.ids or tuple((place,) for place in range(len(self.names)))

    @property
    def has_colours(self) -> bool:
        """Whether label files may hold colours instead of ids."""
        return any(self.colours)

    @property
    def group_names(self) -> tuple[str, ...]:
        """The groups in the order of their first class."""
        return tuple(dict.fromkeys(self.groups))

    @property
    def group_table(self) -> UInt8:
        """uint8 [256], class to group, 255 to 255, anything else `UNKNOWN`; without groups no class has one."""
        places = {name: place for place, name in enumerate(self.group_names)}
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        table[IGNORE] = IGNORE
        table[: len(self.groups)] = [places[name] for name in self.groups]
        return table

    def of_train_ids(self) -> "LabelSet":
        """The same classes in files that have each by its position, 255 = ignore."""
        nothing: dict[str, Any] = dict.fromkeys(("colours", "ignore_colours", "ego_ids", "ego_colours"), ())
        places = tuple((place,) for place in range(len(self.names)))
        return replace(self, name=self.name + TRAIN_IDS, ids=places, ignore_ids=(IGNORE,), **nothing)


def sky_classes(names: Sequence[str]) -> tuple[int, ...]:
    """The classes, by these names, that have no distance: the sky; () where there is none."""
    return tuple(place for place, name in enumerate(names) if name == "sky")


def colorize(labels: UInt8, palette: UInt8) -> UInt8:
    """Draw train ids [H, W] as RGB uint8 [H, W, 3]; ids without a colour, 255 among them, are black."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette
    # A tenth of the time of indexing by an array.
    drawn: UInt8 = cv2.applyColorMap(np.ascontiguousarray(labels), colours[:, None])
    return drawn
