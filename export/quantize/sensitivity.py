"""Which layers lose accuracy in 8 bits, one at a time, and the int8 model with as many of them in float as it takes.

Calibrated, ranked and tried on training frames alone.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from advmtl.config import Config
from advmtl.data import Sample
from advmtl.tasks import TASKS, Task
from export.convert import Comparison, differences, outputs_of
from export.quantize.accept import Bounds, accuracy_drop, compare_models
from export.quantize.calibrate import calibration_samples
from export.quantize.int8 import Quantizer, Target, prepare_quantizer
from export.session import Session, filled, open_session
from preprocessing.ground import progress

Outputs = dict[str, NDArray]

# One number to rank by: 1 % of the pixels weighs as much as 1 % of depth, an offset of 1 px or a turn of 1°.
_WEIGHTS: Mapping[Comparison, float] = {"agreement": 1.0, "relative": 1.0, "absolute": 0.01, "angle": 0.01}


@dataclass(frozen=True)
class Sensitivity:
    """A layer, the deviation of every output with this one alone in 8 bits, and what it is ranked by."""

    layer: str
    outputs: Mapping[str, float]
    score: float


def session_of(model: onnx.ModelProto, target: Target = "cpu") -> Session:
    """A model that is not in a file yet, on the CPU, as `open_to_measure` opens it."""
    with tempfile.TemporaryDirectory(prefix="session") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return open_to_measure(path, target)


def open_to_measure(path: Path, target: Target) -> Session:
    """A model on the CPU, a frame at a time; one for "gpu" exactly as it is written.

    ONNX Runtime's optimiser puts float layers beside integers into 8 bits too (`shield_float_convolutions`). TensorRT
    does not, and a graph for it has no shields.
    """
    return filled(open_session(path, "cpu", optimise=target == "cpu", batches=True))


def deviations(
    ours: Sequence[Outputs], theirs: Sequence[Outputs], tasks: Mapping[str, Task] = TASKS
) -> dict[str, float]:
    """By output, the mean deviation of `ours` from `theirs`, outputs of the same frames.

    As `parity.differences`, but |ln a/b| for "relative", which weighs too far and too near alike; what is not finite
    counts as e⁹.
    """
    found = {}
    for name, output in outputs_of(tasks).items():
        if name in theirs[0]:
            frames = [_deviation(output.comparison, a[name], b[name]) for a, b in zip(ours, theirs, strict=True)]
            found[name] = float(np.mean(frames))
    return found


def score(found: Mapping[str, float], tasks: Mapping[str, Task] = TASKS) -> float:
    """Deviations as one number."""
    outputs = outputs_of(tasks)
    return sum(_WEIGHTS[outputs[name].comparison] * value for name, value in found.items())


def _deviation(comparison: Comparison, ours: NDArray, theirs: NDArray) -> float:
    with np.errstate(all="ignore"):
        if comparison != "relative":
            return float(np.mean(differences(comparison, ours, theirs)))
        apart = np.nan_to_num(np.abs(np.log(ours / theirs)), nan=9.0, posinf=9.0)
        # The sky has no distance; where only one of them calls it sky, the classes differ, and they count it.
        return float(np.mean(np.where(np.isposinf(ours) | np.isposinf(theirs), 0, apart)))


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
            deviation = deviations(outputs, reference)
            found.append(Sensitivity(name, deviation, score(deviation)))
            bar.advance(note=name)
    return sorted(found, key=lambda one: one.score, reverse=True)


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


# Layers are ranked on these many of the calibration frames, and kept in float until half of each bound holds on those.
RANKED_ON, TRIED_ON = 6, 24

MARGIN = 0.5  # calibration frames are few and were trained on: the validation frames must hold the whole bound

T = TypeVar("T")


@dataclass(frozen=True)
class Calibration:
    """How int8 is made: on how many training frames, by which method of METHODS, within which bounds."""

    frames: int
    method: str
    bounds: Bounds


@dataclass(frozen=True)
class Quantisation:
    """How the int8 model was made: layers by sensitivity, those kept in float, frames it was calibrated on."""

    layers: int
    kept: list[str]
    ranked: list[Sensitivity]
    calibration: str
    calibration_frames: list[str]


def evenly(values: Sequence[T], count: int) -> list[T]:
    """Up to `count` of the values, evenly spaced from the first to the last."""
    return [values[i] for i in np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))]


def to_integers(
    model: onnx.ModelProto, config: Config, size: tuple[int, int], target: Target, how: Calibration
) -> tuple[onnx.ModelProto, Quantisation]:
    """An exported model in 8 bits, with the layers in float that it takes to hold half of each bound.

    size: (width, height) of the network. Where nothing holds the bounds, all layers are in float.
    """
    samples = calibration_samples(config, size, how.frames)
    frames = [sample.image for sample in samples]
    quantizer = prepare_quantizer(model, target, frames, how.method)
    ranked = rank_layers(quantizer, model, evenly(frames, RANKED_ON))
    tried = evenly(samples, TRIED_ON)
    kept, _ = layers_to_keep(ranked, lambda names: _holds(model, quantizer, names, tried, config, how.bounds))
    names = [sample.record.name for sample in samples]
    return quantizer.quantised(kept), Quantisation(len(quantizer.layers), kept, ranked, how.method, names)


def _holds(
    model: onnx.ModelProto,
    quantizer: Quantizer,
    kept: Sequence[str],
    samples: Sequence[Sample],
    config: Config,
    bounds: Bounds,
) -> bool:
    """Whether half of each bound holds on training frames with these layers in float."""
    models = {"fp32": model, "int8": quantizer.quantised(kept)}
    sessions = {name: session_of(one, quantizer.target) for name, one in models.items()}
    figures = compare_models(sessions, samples, config, len(samples))
    return accuracy_drop("int8", figures["fp32"], figures["int8"], bounds.scaled(MARGIN), config.task_table) is None
