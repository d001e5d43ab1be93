"""The format of a folder that nobody names: by its folders, and by what its label files hold."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.config import Source
from advmtl.data import Format
from advmtl.inspection.files import inventory
from preprocessing.ground import (
    LABEL_SET_NAMES,
    TRAIN_IDS,
    UNKNOWN,
    InputError,
    Translation,
    label_set,
    list_files,
    read_grey_or_index,
    read_image,
    translation,
)
from preprocessing.sets import describe, sets_near

_FILES = 8
_VOID, _CAMVID_VOID = 255, 11
_COLOURS = 12
_MANY = 256  # colours; no class map has more
_LISTED = 6


def guess_source(root: Path, formats: Mapping[str, Format]) -> tuple[Source, str]:
    """The source that a folder is, and how that was found out. Raises: InputError where it is none."""
    kinds = {name: one.kind for name, one in formats.items()}
    fitting = [name for name, kind in kinds.items() if _is(kind, root)]
    if not fitting:
        raise InputError(f"{root}: {_no_set(root, formats)}")
    name, why = fitting[0], kinds[fitting[0]](root)
    if {"camvid", "folder"} <= set(fitting) and name in ("camvid", "folder"):
        name, why, fitting = _of_labels(root, fitting)
    others = [one for one in fitting if one != name]
    more = f"; it could be read as {', '.join(f'{one}:{root}' for one in others)}, too" if others else ""
    return Source(format=name, root=str(root)), f"taken for {name}:{root} ({why}){more}"


def _no_set(root: Path, formats: Mapping[str, Format]) -> str:
    """What is there instead of a set, and what one has."""
    kinds = {name: one.kind for name, one in formats.items()}
    if sets_near(root, kinds):
        return describe(root, as_source=True, kinds=kinds)
    there = "; ".join(inventory(root).lines[:_LISTED]) or "nothing"
    needs: dict[str, list[str]] = {}
    for name, one in formats.items():
        needs.setdefault(one.needs, []).append(name)
    known = ", ".join(f"{what} ({' or '.join(names)})" for what, names in needs.items())
    return f"no set that is read; it holds {there}. A set has {known}; a folder of pictures alone is moved to images/"


def _is(kind: Any, root: Path) -> bool:
    try:
        return kind(root) is not None
    except OSError:
        return False


def _of_labels(root: Path, fitting: list[str]) -> tuple[str, str, list[str]]:
    """Three folders of CamVid's form have CamVid's ids where its void, 11, is the last of them and 255 is none.

    Returns: the format, why, and the formats that are left to choose from.
    """
    ids = ids_in(list(list_files(root / "labels").files.values()))
    if ids and max(ids) == _CAMVID_VOID and len(ids) > 4:
        return "camvid", "images/ and labels/, whose last id is 11, CamVid's void", fitting
    possible = ids and ids <= {*range(_CAMVID_VOID + 1)}
    return "folder", "images/ and labels/", [one for one in fitting if one != "camvid" or possible]


def _some(paths: Sequence[Path]) -> list[Path]:
    picked = np.linspace(0, len(paths) - 1, min(_FILES, len(paths))).round().astype(int).tolist()
    return [paths[place] for place in sorted(set(picked))]


def _stored(paths: Sequence[Path]) -> Iterator[Any]:
    for path in _some(paths):
        try:
            yield read_grey_or_index(path)
        except InputError:
            try:
                yield read_image(path)
            except InputError:
                continue


def ids_in(paths: Sequence[Path]) -> set[int]:
    """The ids in some of these label files, evenly spaced; those of one channel alone."""
    return {int(one) for values in _stored(paths) if values.ndim == 2 for one in np.unique(values)}


def label_hint(paths: Sequence[Path], source: Source, how: Translation) -> str:
    """What label files of a source hold where they are not what it takes them for (`how`): a half sentence; "" where
    nobody knows.
    """
    ids, colours = set[int](), dict[tuple[int, ...], int]()
    for values in _stored(paths):
        if values.ndim == 2:
            ids |= {int(one) for one in np.unique(values)}
        else:
            found, counts = np.unique(values @ np.array([65536, 256, 1]), return_counts=True)  # a colour as one number
            if len(found) > _MANY:
                return "these are pictures of many colours, no class maps"
            for key, count in zip(found.tolist(), counts.tolist(), strict=True):
                colour = (key >> 16, key >> 8 & 255, key & 255)
                colours[colour] = colours.get(colour, 0) + count
    if colours:
        return _of_colours(colours, source)
    if not ids or _known(how, ids):
        return ""
    fits = [name for name in _named_sets() if _known(translation(name, name), ids)]
    fits.sort(key=lambda name: -_as_classes(translation(name, name), ids))
    told = ", ".join(map(str, sorted(ids)[:16])) + (" …" if len(ids) > 16 else "")
    if fits:
        return f"they hold {told}, which are ids of {fits[0]}: write {_written(source)},classes={fits[0]}"
    return f"they hold {told}; name these in a label set: classes=FILE.yaml of the source"


def _written(source: Source) -> str:
    return ":".join(part for part in (source.format, source.root, source.split) if part)


def _named_sets() -> list[str]:
    return [name + end for name in LABEL_SET_NAMES for end in ("", TRAIN_IDS)]


def _of_colours(colours: Mapping[tuple[int, ...], int], source: Source) -> str:
    """The set that has these colours, or their shares of the pixels."""
    fit = next((name for name in LABEL_SET_NAMES if set(colours) <= _colours_of(name)), None)
    if fit is not None:
        return f"they hold colours, which are those of {fit}: write {_written(source)},classes={fit}"
    total, common = sum(colours.values()), sorted(colours.items(), key=lambda one: -one[1])
    shown = ", ".join(f"{list(colour)} {count / total:.0%}" for colour, count in common[:_COLOURS])
    more = f" and {len(common) - _COLOURS} more" if len(common) > _COLOURS else ""
    return f"they hold colours: {shown}{more}; name these in a label set: classes=FILE.yaml of the source"


def _colours_of(name: str) -> set[tuple[int, ...]]:
    labels = label_set(name)
    return {tuple(one) for own in (*labels.colours, labels.ignore_colours, labels.ego_colours) for one in own}


def _as_classes(how: Translation, ids: set[int]) -> int:
    """How many of the ids are classes, not void: of sets that know them all the one of most is meant."""
    return sum(int(how.table[one]) < UNKNOWN for one in ids)


def _known(how: Translation, ids: set[int]) -> bool:
    table = how.table
    return all(one < len(table) and (table[one] != UNKNOWN or one == _VOID) for one in ids)
