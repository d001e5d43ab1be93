"""Which layers lose accuracy in 8 bits: one at a time, then together."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from export.metadata import CLASSES, DEPTH, INPUT, OFFSETS
from export.quantize import Quantizer
from preprocessing.progress import progress

Outputs = dict[str, NDArray]


@dataclass(frozen=True)
class Deviation:
    """How far a model is from the float one: share of pixels of another class, mean |ln Z − ln Z₀|, mean offset
    difference [px]; 0 where there is no such output.
    """

    classes: float = 0.0
    log_depth: float = 0.0
    offset_px: float = 0.0

    @property
    def score(self) -> float:
        """One number to rank by: a pixel of another class weighs as much as a depth off by e."""
        return self.classes + self.log_depth + self.offset_px / 100
