"""Instance files of sources whose classes are not Cityscapes' labelIds, or become others than by their names.

Instances are kept as Cityscapes numbers them, class * 1000 + number. Its classes end at 33, and 16 bits hold 65:
between these the things of the network's own set have places of their own.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import (
    IGNORE,
    TRAIN_IDS,
    UNKNOWN,
    InputError,
    LabelSet,
    Translation,
    label_set,
    lookup_table,
    source_set,
)

CITYSCAPES_CLASSES = 34
_PLACES = 31
_NUMBERS = 1000
_CITYSCAPES = "cityscapes19"
_NOTHING, _IGNORED = 0, 65535


@lru_cache(maxsize=8)
def class_table(classes: str | LabelSet) -> NDArray[np.uint8]:
    """uint8 [66], the first digits of an instance to its class in the set `classes`; 255 where it has none."""
    table = np.full(66, IGNORE, dtype=np.uint8)
    try:
        own = lookup_table("cityscapes", classes)[:CITYSCAPES_CLASSES]
        table[:CITYSCAPES_CLASSES] = np.where(own == UNKNOWN, IGNORE, own)
    except InputError:  # it has nothing of Cityscapes
        pass
    things = label_set(classes).things[:_PLACES]
    table[CITYSCAPES_CLASSES : CITYSCAPES_CLASSES + len(things)] = things
    table.setflags(write=False)
    return table


def is_cityscapes(ids: str | LabelSet, classes: str | LabelSet, *, renamed: bool) -> bool:
    """Whether instance files are numbered by labelIds whose classes keep their names; so are those beside train ids."""
    return not renamed and source_set(ids, classes) in (label_set(_CITYSCAPES), label_set(_CITYSCAPES + TRAIN_IDS))


def map_own_instances(raw: NDArray[Any], how: Translation, path: Path | str) -> NDArray[np.uint16]:
    """Instances `[H,W]`, source id * 1000 + number, to ids of the network's things; 0 = none, 65535 = ignored.

    A bare id below 1000 is a class without instances, or a group of them, which is ignored. Raises: InputError naming
    `path` and the ids that the source's set has not, or where the network has more things than there are places for.
    """
    things = how.target.things
    if len(things) > _PLACES:
        raise InputError(f"{path}: {how.target.name} has {len(things)} things; instances can be of {_PLACES} at most")
    values, places = np.unique(raw, return_inverse=True)
    sources = np.where(values >= _NUMBERS, values // _NUMBERS, values).astype(np.int64)
    void = np.isin(values, (255, _IGNORED))
    table = how.table
    targets = np.where(void, IGNORE, table[np.minimum(sources, len(table) - 1)])
    unknown = (targets == UNKNOWN) | (sources >= len(table))
    if unknown.any():
        found = ", ".join(str(value) for value in values[unknown][:8])
        raise InputError(f"{path}: unknown instance id {found}; {how.source.name} has no such class")
    mapped = np.full(len(values), _NOTHING, np.uint16)
    mapped[targets == IGNORE] = _IGNORED
    numbers = dict.fromkeys(things, 0)
    for place, (value, target) in enumerate(zip(values.tolist(), targets.tolist(), strict=True)):
        if target in numbers:
            # Cars and lorries may both become vehicles: they are numbered anew. None has the number 0.
            numbers[target] += value >= _NUMBERS
            slot = (CITYSCAPES_CLASSES + things.index(target)) * _NUMBERS
            mapped[place] = slot + min(numbers[target], _NUMBERS - 1) if value >= _NUMBERS else _IGNORED
    return mapped[places].reshape(raw.shape)
