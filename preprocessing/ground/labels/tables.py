"""From what label files hold to the classes of a network.

Every mapping is one look-up table applied in a single pass. Remapping in place, id by id, corrupts labels as soon as a
new id equals a source id that is still to come.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError
from preprocessing.ground.labels.entries import IGNORE_WORD, plain_word
from preprocessing.ground.labels.label_set import IGNORE, MAX_ID, UNKNOWN, LabelSet, UInt8
from preprocessing.ground.labels.named import label_set

Renamed = tuple[tuple[str, str], ...]
_FORMAT_SETS = {"cityscapes": "cityscapes19", "camvid": "camvid11"}
_TRAIN = "train"


@dataclass(frozen=True, eq=False)
class Translation:
    """How the classes of label files become those of a network.

    Attributes:
        source, target: The two sets.
        places: For each class of `source` that of `target`, or `IGNORE`.
    """

    source: LabelSet
    target: LabelSet
    places: tuple[int, ...]

    @cached_property
    def table(self) -> UInt8:
        """uint8 [256], or [65536] where the source has longer ids: id to class; 255 = ignore, 254 = no such id."""
        ids = [*self.source.ignore_ids, *self.source.ego_ids, *(i for own in self.source.file_ids for i in own)]
        table = np.full(256 if max(ids, default=0) < 256 else MAX_ID + 1, UNKNOWN, dtype=np.uint8)
        table[[*self.source.ignore_ids]] = IGNORE
        for own, place in zip(self.source.file_ids, self.places, strict=True):
            table[list(own)] = place
        table.setflags(write=False)
        return table

    @cached_property
    def colour_table(self) -> UInt8:
        """uint8 [2^24], the same by colour, red * 65536 + green * 256 + blue."""
        table = np.full(2**24, UNKNOWN, dtype=np.uint8)
        for own, place in zip(self.source.colours, self.places, strict=True):
            table[[key_of(colour) for colour in own]] = place
        table[[key_of(colour) for colour in self.source.ignore_colours]] = IGNORE
        table.setflags(write=False)
        return table

    @property
    def absent(self) -> tuple[str, ...]:
        """The network's classes that no class of the source becomes."""
        return tuple(name for place, name in enumerate(self.target.names) if place not in self.places)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The source's classes that become none of the network's."""
        return tuple(name for name, place in zip(self.source.names, self.places, strict=True) if place == IGNORE)


def key_of(colour: tuple[int, int, int]) -> int:
    """A colour as one number, as `Translation.colour_table` counts."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def source_set(ids: str | LabelSet, classes: str | LabelSet) -> LabelSet:
    """What label files hold: a set, or by name "cityscapes" (labelIds), "camvid", or "train", the network's classes.

    "train" of a set of the package is positions; of a user's it is that set, with its ids and colours.
    Raises: InputError where there is no such name.
    """
    if ids == _TRAIN:
        target = label_set(classes)
        return target if target.own else target.of_train_ids()
    return ids if isinstance(ids, LabelSet) else label_set(_FORMAT_SETS.get(ids, ids))


def translation(ids: str | LabelSet, classes: str | LabelSet, renamed: Renamed = ()) -> Translation:
    """How label files of the ids `ids` (`source_set`) become `classes`.

    A class becomes that of its name; else the one that its set says it is there (`also`); else its group, where that is
    a class. `renamed`, (source class, network class or "ignore"), goes before. All others are ignored.
    Raises: InputError: no such set or class, or nothing of the source has a place.
    """
    return _translation(ids, classes, tuple(renamed))


@lru_cache(maxsize=64)
def _translation(ids: str | LabelSet, classes: str | LabelSet, renamed: Renamed) -> Translation:
    source, target = source_set(ids, classes), label_set(classes)
    told = _told(source, target, dict(renamed))
    by_word = {plain_word(name): place for place, name in enumerate(target.names)}
    places = tuple(told.get(place, _place(source, place, target, by_word)) for place in range(len(source.names)))
    if all(place == IGNORE for place in places):
        raise InputError(
            f"labels: no class of {source.name} ({_few(source.names)}) is one of {target.name} "
            f"({_few(target.names)}); say what its files hold with the source's key classes, or which class is which "
            "with map, e.g. "
            f"map: {{{source.names[0]}: {target.names[0]}}}"
        )
    return Translation(source, target, places)


def _place(source: LabelSet, place: int, target: LabelSet, by_word: Mapping[str, int]) -> int:
    aliases = dict(source.aliases[place]) if source.aliases else {}
    group = source.groups[place] if source.groups else None
    for name in (source.names[place], aliases.get(target.name), group):
        if name is not None and plain_word(name) in by_word:
            return by_word[plain_word(name)]
    return IGNORE


def _told(source: LabelSet, target: LabelSet, renamed: Mapping[str, str]) -> dict[int, int]:
    own, theirs = ({plain_word(n): p for p, n in enumerate(one.names)} for one in (source, target))
    found = {}
    for name, new in renamed.items():
        if plain_word(name) not in own:
            raise InputError(f"map: {source.name} has no class {name!r}; {_hint(name, source.names)}")
        if plain_word(new) != IGNORE_WORD and plain_word(new) not in theirs:
            raise InputError(f"map: {name}: {target.name} has no class {new!r}; {_hint(new, target.names)}, or ignore")
        found[own[plain_word(name)]] = theirs.get(plain_word(new), IGNORE)
    return found


def _hint(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"there are {_few(names)}"


def _few(names: tuple[str, ...], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def lookup_table(ids: str | LabelSet, classes: str | LabelSet) -> UInt8:
    """The table alone of a `translation`. Raises: as that."""
    return translation(ids, classes).table


def map_labels(raw: npt.NDArray[np.unsignedinteger], table: UInt8, path: object) -> UInt8:
    """Map source ids (or keys of colours) [H, W] to train ids [H, W] (255 = ignore).

    Raises: InputError: an id of `raw` is not in the table; names `path`, the ids and their pixels.
    """
    _check_map(raw, table, path)
    if raw.dtype == np.uint16 and len(table) <= MAX_ID:
        table = np.concatenate([table, np.full(MAX_ID + 1 - len(table), UNKNOWN, np.uint8)])
    mapped: UInt8 = table[raw]
    unknown = mapped == UNKNOWN
    if unknown.any():
        raise unknown_error(*np.unique(raw[unknown], return_counts=True), path, colours=len(table) > MAX_ID + 1)
    return mapped


def count_labels(raw: npt.NDArray[np.unsignedinteger], table: UInt8, path: object) -> dict[int, int]:
    """Pixels of [H, W] by source id (or key of a colour), ascending, without mapping them.

    Raises: InputError: as `map_labels`.
    """
    _check_map(raw, table, path)
    if len(table) > MAX_ID + 1:
        values, counts = _few_keys(raw)
    else:
        every = _counts(raw)
        values = np.flatnonzero(every)
        counts = every[values]
    known = np.array([value < len(table) and table[value] != UNKNOWN for value in values], dtype=bool)
    if not known.all():
        raise unknown_error(values[~known], counts[~known], path, colours=len(table) > MAX_ID + 1)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


_EXACT = 2**24  # whole numbers up to here are exact in float32


def _counts(raw: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
    if raw.dtype == np.uint8 and raw.size < _EXACT:  # several times faster than NumPy, in float32
        import cv2  # the names of label sets are asked for without it

        return np.asarray(cv2.calcHist([raw], [0], None, [256], [0, 256]).ravel().astype(np.int64))
    return np.bincount(raw.ravel(), minlength=256)


def _few_keys(raw: npt.NDArray[np.unsignedinteger]) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    """Values and their counts of a map in which neighbours are mostly alike: runs are sorted, not pixels."""
    flat = raw.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.append(starts, flat.size))
    values, places = np.unique(flat[starts], return_inverse=True)
    return values, np.bincount(places, weights=lengths, minlength=len(values)).astype(np.int64)


def _check_map(raw: npt.NDArray[np.unsignedinteger], table: UInt8, path: object) -> None:
    kinds = (np.uint32,) if len(table) > MAX_ID + 1 else (np.uint8, np.uint16)
    if raw.dtype not in kinds or raw.ndim != 2:
        raise InputError(f"{path}: labels must be one channel of 8 or 16 bits, not {raw.dtype}, {raw.ndim} dimensions")


def unknown_error(
    values: npt.NDArray[np.integer], counts: npt.NDArray[np.integer], path: object, *, colours: bool
) -> InputError:
    """The error of ids, or of colours, that a set has not: the most frequent ones first."""
    order = np.argsort(-counts, kind="stable")[:8]
    named = [
        f"{_shown(int(values[i]), colours=colours)} ({counts[i]} pixel{'' if counts[i] == 1 else 's'})" for i in order
    ]
    more = f" and {len(values) - 8} more" if len(values) > 8 else ""
    what = "colour" if colours else "class id"
    return InputError(f"{path}: unknown {what} {', '.join(named)}{more}")


def _shown(value: int, *, colours: bool) -> str:
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})" if colours else str(value)
