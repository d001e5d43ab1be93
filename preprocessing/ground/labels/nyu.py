"""NYU Depth V2's classes: the 894 names of the labelled set, and the tables of 40 and of 13 classes that go with it.

classMapping40.mat (Gupta et al. 2013) has a class of 40 for each of the 894; class13Mapping.mat (Couprie et al. 2013's
classes) one of 13 for each of the 40. Neither is in the package: they are read where they lie.
"""

from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground.errors import InputError
from preprocessing.ground.labels.label_set import LabelSet
from preprocessing.ground.labels.palette import colour_wheel
from preprocessing.ground.matlab import frame_names, read_table

FILE_40, FILE_13 = "classMapping40.mat", "class13Mapping.mat"
UNLABELLED = 0

Mapped = tuple[tuple[str, ...], tuple[int, ...]]
"""Names of classes, and for each id 1, 2, … of label files the place of its class."""


def nyu_set(path: Path) -> dict[str, Any]:
    """A table's classes in the keys of a label set's file. Raises: InputError: it is none, or has none beside it."""
    values = read_table(path)
    if "mapClass" in values:
        name, (names, places) = "nyu40", _of_40(path, values)
    elif "classMapping13" in values:
        name, (names, places) = "nyu13", _of_13(path, values)
    else:
        there = ", ".join(key for key in values if not key.startswith("_")) or "nothing"
        raise InputError(f"{path}: holds {there}; of .mat files {FILE_40} and {FILE_13} are label sets")
    ids = [[number for number, own in enumerate(places, 1) if own == place] for place in range(len(names))]
    classes = [{"name": one, "ids": own} for one, own in zip(names, ids, strict=True)]
    return {"name": name, "classes": classes, "ignore": {"ids": [UNLABELLED]}}


def nyu_names(mat: Path) -> LabelSet:
    """What the labels of a labelled set mean: its own names; each has its class of 40 as its group, and its class of
    13, where the tables lie beside. Raises: InputError naming a file that is damaged, or for other names.
    """
    names, folder = frame_names(mat), mat.parent
    of_40 = _of_40(folder / FILE_40, read_table(folder / FILE_40)) if (folder / FILE_40).is_file() else None
    if of_40 is not None and len(of_40[1]) != len(names):
        raise InputError(f"{folder / FILE_40}: is for {len(of_40[1])} classes, and {mat.name} names {len(names)}")
    of_13 = _of_13(folder / FILE_13, read_table(folder / FILE_13)) if of_40 and (folder / FILE_13).is_file() else None
    wheel = np.array(list(colour_wheel()), dtype=np.uint8)
    palette = wheel[np.arange(len(names)) % len(wheel)]
    palette.setflags(write=False)
    return LabelSet(
        name="nyu",
        names=names,
        palette=palette,
        ids=tuple((number,) for number in range(1, len(names) + 1)),
        groups=tuple(of_40[0][place] for place in of_40[1]) if of_40 else (),
        aliases=tuple((("nyu13", of_13[0][place]),) for place in of_13[1]) if of_13 else (),
        ignore_ids=(UNLABELLED,),
        own=True,
    )


def _of_40(path: Path, values: dict[str, Any]) -> Mapped:
    return _mapped(path, values.get("className"), values.get("mapClass"))


def _of_13(path: Path, values: dict[str, Any]) -> Mapped:
    """By way of the 40 classes, whose table must lie beside."""
    finer = path.with_name(FILE_40)
    if not finer.is_file():
        raise InputError(f"{finer}: no such file; {path.name} is for the 40 classes that it has")
    names_40, places_40 = _of_40(finer, read_table(finer))
    table = values.get("classMapping13")
    names, places = _mapped(path, getattr(table, "classNames", None), getattr(table, "labels13", None))
    if len(places) != len(names_40):
        raise InputError(f"{path}: is for {len(places)} classes, and {finer.name} has {len(names_40)}")
    return names, tuple(places[place] for place in places_40)


def _mapped(path: Path, names: Any, numbers: Any) -> Mapped:
    """From names, and for each id the number of its name, from 1 on. Raises: InputError naming the file."""
    words = tuple(str(one) for one in np.ravel(names))
    counted = np.ravel(numbers)
    if counted.dtype.kind not in "ui" or not words or counted.min(initial=1) < 1 or counted.max(initial=1) > len(words):
        raise InputError(f"{path}: does not number its {len(words)} classes from 1; replace it")
    return words, tuple(int(one) - 1 for one in counted)
