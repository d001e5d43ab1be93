"""The int8 model of a run: calibrated, ranked and tried on training frames alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import onnx

from advmtl.config import Config
from advmtl.data.batch import Sample
from export.quantize.accuracy import compare_models
from export.quantize.bounds import Bounds, shortfall
from export.quantize.calibration import calibration_samples
from export.quantize.quantize import Quantizer, Target, prepare
from export.quantize.sensitivity import Sensitivity, layers_to_keep, rank_layers, session_of

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
    quantizer = prepare(model, target, frames, how.method)
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
    return shortfall("int8", figures["fp32"], figures["int8"], bounds.scaled(MARGIN)) is None
