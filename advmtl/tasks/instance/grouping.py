"""Instances to centre offsets, and offsets grouped back into instances.

Nakamura 2023 ("Leveraging convergence behavior to balance conflicting tasks in multi-task learning"), section 5.4.1: an
instance's pixels are identified by d = pixel − centre of mass, in y and in x, so a dense regression is enough, whatever
the number of instances. Classes come from the segmentation task. Imports no torch: a deployed model's offsets are
grouped where torch is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.instance.own_ids import class_table
from preprocessing.ground import IGNORE, InputError, LabelSet, label_set, lookup_table

NO_INSTANCE = 0
"""Pixels of no instance: road, buildings, sky."""
IGNORED_INSTANCE = 65535
"""Pixels of which nothing is known: void, groups whose members are not separated, frames without the label."""
THING_IDS = (24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes labelIds with instances: person, rider, car, truck, bus, train, motorcycle, bicycle."""
OFFSET_UNIT_PER_WIDTH = 1 / 32
"""Offsets are learnt in units of this share of the picture's width [px]: at any size, most are then within ±1."""
_IGNORED_THINGS = (29, 30)  # caravan and trailer: annotated by instance, and left out of every evaluation
_UNKNOWN = 1
_NUMBERS = 1000  # instanceIds are class * 1000 + number


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint16]:
    """Cityscapes instanceIds -> uint16 ids as `map_instances` gives them; 1 where there is no such id."""
    table = np.full(2**16, _UNKNOWN, dtype=np.uint16)
    classes = lookup_table("cityscapes", "cityscapes19")
    table[:34] = np.where(classes[:34] == IGNORE, IGNORED_INSTANCE, NO_INSTANCE)
    # A thing's bare class id marks a group ("cargroup"): its members are not separated.
    table[[*THING_IDS, 255, 65535]] = IGNORED_INSTANCE  # 255 and 65535 hold id −1
    for thing in THING_IDS:
        table[thing * _NUMBERS : (thing + 1) * _NUMBERS] = np.arange(thing * _NUMBERS, (thing + 1) * _NUMBERS)
    for thing in _IGNORED_THINGS:
        table[thing * _NUMBERS : (thing + 1) * _NUMBERS] = IGNORED_INSTANCE
    table.setflags(write=False)
    return table


def map_instances(raw: NDArray[Any], path: Path | str) -> NDArray[np.uint16]:
    """Cityscapes instanceIds `[H,W]` to uint16 `[H,W]`: class * 1000 + number, 0 = no instance, 65535 = ignored.

    Raises: InputError naming `path` and the ids that Cityscapes does not have.
    """
    mapped: NDArray[np.uint16] = _table()[raw]
    unknown = mapped == _UNKNOWN
    if unknown.any():
        found = ", ".join(str(i) for i in np.unique(raw[unknown])[:8])
        raise InputError(f"{path}: unknown instance id {found}; is this another label format?")
    return mapped


def renumbered(ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The same instances with numbers moved on by 500, so that car 1 is not car 1 of another frame; those from 500 on
    stay: a street has none.
    """
    moves = is_instance(ids) & (ids % _NUMBERS < _NUMBERS // 2)
    return np.where(moves, ids + np.uint16(_NUMBERS // 2), ids)


def is_instance(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels belong to an instance, bool of the shape of `ids`."""
    return (ids != NO_INSTANCE) & (ids != IGNORED_INSTANCE)


def offsets_of(ids: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Offsets d = pixel − centre of mass (Nakamura 2023, section 5.4.1) of an id map `[H,W]`.

    Returns: float32 `[2,H,W]`, dy before dx [px], 0 where there is no instance. The centre is that of the pixels which
        the map shows, so an instance cut by the picture's border or by another object has its centre among them.
    """
    flat = ids.ravel()
    valid = is_instance(ids)
    counts = np.maximum(np.bincount(flat), 1)
    offsets = np.zeros((2, *ids.shape), dtype=np.float32)
    for axis, places in enumerate(np.indices(ids.shape, dtype=np.float64)):
        centers = np.bincount(flat, weights=places.ravel()) / counts
        offsets[axis] = np.where(valid, places - centers[ids], 0)
    return offsets


def instance_target(ids: NDArray[np.uint16]) -> NDArray[np.float32]:
    """What the task learns from an id map `[H,W]`: float32 `[3,H,W]`, offsets dy, dx [px], and the ids themselves."""
    return np.concatenate([offsets_of(ids), ids[None].astype(np.float32)])


def thing_classes(classes: str | LabelSet) -> tuple[int, ...]:
    """The classes of a label set that have instances, ascending; none where `classes` is "", no set."""
    return label_set(classes).things if classes else ()


def classes_of(ids: NDArray[Any], classes: str | LabelSet) -> NDArray[np.uint8]:
    """Class within the set `classes` of instance ids (Cityscapes' class, or a place of a thing, * 1000 + number), any
    shape; 255 where it has no such class.
    """
    return class_table(classes)[np.asarray(ids, dtype=np.int64) // _NUMBERS]


@dataclass(frozen=True)
class Grouping:
    """How offsets become instances; lengths are shares of the picture's width, so that one setting fits all sizes.

    Attributes:
        sigma: deviation of the Gaussian that smooths the votes.
        window: of two centres nearer than this to each other (chessboard), only the one with more votes counts.
        min_area: smaller instances are dropped; a share of the width squared.
        by_class: classes vote apart, so that a rider is not merged with the bicycle; else all things vote together and
            an instance has the class of most of its pixels.
    """

    sigma: float = 1 / 128
    window: float = 1 / 32
    min_area: float = 1.5e-4
    by_class: bool = True


@dataclass(frozen=True)
class Instances:
    """Instances of one picture: `ids` uint16 `[H,W]`, 0 = none, else 1..K; `classes` uint8 `[K]`, of id k at k − 1."""

    ids: NDArray[np.uint16]
    classes: NDArray[np.uint8]

    def encoded(self) -> NDArray[np.uint16]:
        """uint16 `[H,W]`: class * 1000 + number within the picture, as Cityscapes writes them; 0 = none."""
        codes = self.classes.astype(np.uint16) * _NUMBERS + np.arange(1, len(self.classes) + 1, dtype=np.uint16)
        return np.concatenate([[np.uint16(0)], codes]).astype(np.uint16)[self.ids]


def group(
    offsets: NDArray[np.floating[Any]],
    classes: NDArray[np.uint8],
    things: Sequence[int],
    settings: Grouping | None = None,
) -> Instances:
    """Find instances: pixels of things vote for pixel − offset, maxima of the votes are centres, the nearest one wins.

    Args:
        offsets: `[2,H,W]`, dy and dx [px].
        classes: class ids `[H,W]`; only pixels of `things` take part.
        things: classes with instances, as `thing_classes` gives them.
        settings: see `Grouping`.

    The same input gives the same ids on any machine: votes are counted, and ties between maxima are broken by position.
    """
    settings = settings or Grouping()
    ids = np.zeros(classes.shape, dtype=np.int64)
    for members in [[thing] for thing in things] if settings.by_class else [list(things)]:
        rows, columns = np.nonzero(np.isin(classes, members))
        if len(rows):
            found = _cluster(rows - offsets[0, rows, columns], columns - offsets[1, rows, columns], ids.shape, settings)
            ids[rows, columns] = found + ids.max()
    areas = np.bincount(ids.ravel())
    areas[0] = 0
    kept = areas >= max(1.0, settings.min_area * classes.shape[1] ** 2)
    numbers = np.where(kept, np.cumsum(kept), 0)
    return Instances(numbers[ids].astype(np.uint16), _majorities(numbers[ids], classes, things))


def _cluster(
    rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, ...], settings: Grouping
) -> NDArray[np.int64]:
    """Number 1..K of the centre nearest to each vote; votes outside the picture count at its border."""
    height, width = shape
    y = np.clip(np.rint(rows), 0, height - 1).astype(np.int64)
    x = np.clip(np.rint(columns), 0, width - 1).astype(np.int64)
    votes = np.bincount(y * width + x, minlength=height * width).reshape(shape).astype(np.float64)
    smooth = cv2.GaussianBlur(votes, (0, 0), max(settings.sigma * width, 0.5), borderType=cv2.BORDER_CONSTANT)
    # Equal maxima, as of two pixels that share the votes of one centre, would all be centres. The slope that
    # breaks the tie is far below one vote, and above what float64 resolves.
    smooth = smooth - np.arange(height * width).reshape(shape) * 1e-12
    span = 2 * max(1, round(settings.window * width)) + 1
    centers = (smooth == cv2.dilate(smooth, np.ones((span, span), np.uint8))) & (smooth > 1e-5)
    if not centers.any():
        return np.ones(len(rows), dtype=np.int64)
    # Each place's nearest centre in one pass over the picture, however many centres there are.
    _, nearest = cv2.distanceTransformWithLabels(
        (~centers).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return np.unique(nearest[y, x], return_inverse=True)[1].astype(np.int64) + 1


def _majorities(ids: NDArray[np.int64], classes: NDArray[np.uint8], things: Sequence[int]) -> NDArray[np.uint8]:
    """The class of most pixels of each id 1..K; the lowest of equals."""
    count = int(ids.max())
    pairs = np.bincount((ids * 256 + classes).ravel(), minlength=(count + 1) * 256).reshape(count + 1, 256)
    return np.argmax(pairs[1:], axis=1).astype(np.uint8) if things else np.zeros(0, dtype=np.uint8)
