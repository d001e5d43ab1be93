"""Which layers lose accuracy in 8 bits, one at a time; and how many of them float must take back."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.metadata import CLASSES, DEPTH, OFFSETS
from export.quantize.quantize import Quantizer, Target
from export.session.session import Session, open_session
from preprocessing.ground import progress

Outputs = dict[str, NDArray]


@dataclass(frozen=True)
class Deviation:
    """How far a model is from the float one: the share of pixels of another class, mean |ln Z − ln Z₀|, mean offset
    difference [px]; 0 where there is no such output.
    """

    classes: float = 0.0
    log_depth: float = 0.0
    offset_px: float = 0.0

    @property
    def score(self) -> float:
        """One number to rank by: 1 % of the pixels weighs as much as 1 % of depth and as an offset of 1 px."""
        return self.classes + self.log_depth + self.offset_px / 100


@dataclass(frozen=True)
class Sensitivity:
    """A layer, and the deviation with this one alone in 8 bits."""

    layer: str
    deviation: Deviation


def session_of(model: onnx.ModelProto, target: Target = "cpu") -> Session:
    """A model that is not in a file yet, on the CPU, as `open_to_measure` opens it."""
    with tempfile.TemporaryDirectory(prefix="session") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return open_to_measure(path, target)


def open_to_measure(path: Path, target: Target) -> Session:
    """A model on the CPU; one for "gpu" exactly as it is written.

    ONNX Runtime's optimiser puts float layers beside integers into 8 bits too (`shield_float_convolutions`). TensorRT
    does not, and a graph for it has no shields.
    """
    return open_session(path, "cpu", optimise=target == "cpu")


def deviation(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> Deviation:
    """The deviation of `ours` from `theirs`, outputs of the same frames. Depth that is not finite counts as e⁹."""
    first = theirs[0]
    classes = [np.mean(a[CLASSES] != b[CLASSES]) for a, b in zip(ours, theirs, strict=True)] if CLASSES in first else []
    depths, offsets = [], []
    for a, b in zip(ours, theirs, strict=True):
        if DEPTH in first:
            with np.errstate(all="ignore"):
                depths.append(np.mean(np.nan_to_num(np.abs(np.log(a[DEPTH] / b[DEPTH])), nan=9.0, posinf=9.0)))
        if OFFSETS in first:
            offsets.append(np.mean(np.abs(a[OFFSETS] - b[OFFSETS])))
    return Deviation(*(float(np.mean(values)) if values else 0.0 for values in (classes, depths, offsets)))


def rank_layers(
    quantizer: Quantizer, original: onnx.ModelProto, frames: Sequence[NDArray[np.uint8]]
) -> list[Sensitivity]:
    """Quantise each layer alone and measure the deviation from `original` on `frames` (uint8 `[h, w, 3]`).

    Returns: all layers, the most sensitive first.
    """
    reference = _run(original, frames, quantizer.target)
    names = [layer.name for layer in quantizer.layers]
    found = []
    with progress("sensitivity", len(names), "layers") as bar:
        for name in names:
            alone = quantizer.quantised([other for other in names if other != name])
            outputs = _run(alone, frames, quantizer.target)
            found.append(Sensitivity(name, deviation(outputs, reference)))
            bar.advance(note=name)
    return sorted(found, key=lambda one: one.deviation.score, reverse=True)


def _run(model: onnx.ModelProto, frames: Sequence[NDArray[np.uint8]], target: Target) -> list[Outputs]:
    session = session_of(model, target)
    return [session.network(frame[None]) for frame in frames]


def layers_to_keep(ranked: Sequence[Sensitivity], holds: Callable[[list[str]], bool]) -> tuple[list[str], bool]:
    """The shortest head of the ranking, in steps that grow by a half, that must stay in float for `holds` to be true.

    Returns: the layers, and whether it was true; with all layers in float it is not asked.
    """
    names = [one.layer for one in ranked]
    count = 0
    with progress("layers in float", None, "tries") as bar:
        while count < len(names):
            bar.advance(note=f"{count}")
            if holds(names[:count]):
                return names[:count], True
            count = max(count + 1, count * 3 // 2)
    return names, False
