"""The label sets that come with advmtl, by name, and a user's, by what he wrote."""

import difflib
from functools import lru_cache
from pathlib import Path
from typing import Any

from preprocessing.ground.errors import InputError
from preprocessing.ground.labels.label_set import TRAIN_IDS, LabelSet
from preprocessing.ground.labels.marked_yaml import read_marked
from preprocessing.ground.labels.reading import label_set_of, read_label_set

LABEL_SET_NAMES = ("cityscapes19", "categories7", "camvid11", "vkitti2", "kitti360", "comma10k")
"""Sets whose file is in the package."""
_FOLDER = Path(__file__).parent / "sets"
_SUFFIXES = (".yaml", ".yml", ".json")


def label_set(classes: str | LabelSet) -> LabelSet:
    """A label set by its name, or itself; "NAME-train-ids" has positions as ids. Raises: InputError: no such name."""
    return classes if isinstance(classes, LabelSet) else _named(classes)


@lru_cache(maxsize=16)
def _named(name: str) -> LabelSet:
    from dataclasses import replace

    plain = name.removesuffix(TRAIN_IDS)
    if plain not in LABEL_SET_NAMES:
        close = difflib.get_close_matches(name, LABEL_SET_NAMES, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        there = ", ".join(LABEL_SET_NAMES)
        raise InputError(f"no label set {name!r}; {hint}there are {there}, or write the path of a YAML file")
    found = replace(read_label_set(_FOLDER / f"{plain}.yaml"), own=False)
    return found if plain == name else found.of_train_ids()


def told_label_set(told: Any, where: str) -> str | LabelSet:
    """What a user wrote for a label set: the name of one, the path of a YAML file, or the classes themselves.

    `where`: the key, which messages on classes begin with. Returns: a name that `label_set` knows, or the set.
    Raises: InputError.
    """
    if isinstance(told, LabelSet):
        return told
    if not isinstance(told, str):
        return label_set_of(told, where)
    if told.lstrip()[:1] in ("[", "{"):  # from a command line
        return label_set_of(read_marked(told, where).values, where)
    path = Path(told).expanduser()
    if told.removesuffix(TRAIN_IDS) not in LABEL_SET_NAMES and (path.suffix in _SUFFIXES or path.is_file()):
        return read_label_set(path)
    _named(told)
    return told
