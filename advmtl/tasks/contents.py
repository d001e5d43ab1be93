"""What one label file holds, as it is counted before a training begins; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _none(kind: str) -> NDArray[Any]:
    return np.zeros(0, dtype=kind)


@dataclass(frozen=True, eq=False)
class Contents:
    """Counts over one label file, at its own size unless the task says otherwise.

    Attributes:
        pixels: of the map.
        learnt: pixels that training learns from.
        measured: pixels that an evaluation counts.
        classes: int64 `[K]`, pixels of each class of the label set, of a task that has classes; else empty.
        ids: pixels by the id that the file has them with, of a task that has ids.
        values: float32 `[n]`, a sample of the valid values, equally many of equally many pixels, of a task that has a
            quantity; may be infinite.
    """

    pixels: int
    learnt: int
    measured: int
    classes: NDArray[np.int64] = field(default_factory=lambda: _none("int64"))
    ids: Mapping[int, int] = field(default_factory=dict)
    values: NDArray[np.float32] = field(default_factory=lambda: _none("float32"))
