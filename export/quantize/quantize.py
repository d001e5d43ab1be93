"""8-bit integers by static quantisation: a float graph and ranges in, a QDQ graph out."""

import copy
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.graph.edits import before_convolutions, constant, drop_unused, in_order, makers
from export.quantize.bias_correction import correct_biases, give_biases
from export.quantize.calibration import channel_statistics, value_ranges
from export.quantize.equalize import equalize
from export.quantize.qdq_edits import (
    read_floats,
    separate_pooling,
    shield_float_convolutions,
)
from export.quantize.saturation import is_depthwise, safe_reach

Target = Literal["cpu", "gpu"]

# Operators with an integer kernel (cpu), or that TensorRT fuses with one (gpu).
_QUANTISED = {
    "cpu": ["Conv", "Add", "Mul", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Concat"],
    "gpu": ["Conv", "Add", "MaxPool", "AveragePool", "Concat"],
}
# Weights of convolutions that stay in float. The encoder's many steps between convolutions cost a processor more in
# integers than its convolutions save, on two cores, and modules that grew beside it are blocks of its kind; the last
# convolution of the graph for processors only upsamples.
_IN_FLOAT = {"cpu": ("encoder.", "kernels.", "upsample."), "gpu": ()}
# uint8 values and int8 weights run on the CPU's VNNI dot product, or on AVX2's, which saturates; TensorRT takes zero
# points of 0 only, no integer biases, and a pair of Q and DQ of its own for every reader.
_VALUES = {"cpu": QuantType.QUInt8, "gpu": QuantType.QInt8}
_OPTIONS: dict[str, dict[str, Any]] = {
    "cpu": {"WeightSymmetric": True},
    "gpu": {
        "WeightSymmetric": True,
        "ActivationSymmetric": True,
        "QuantizeBias": False,
        "AddQDQPairToWeight": False,
        "DedicatedQDQPair": True,
    },
}


@dataclass(frozen=True)
class Layer:
    """What is quantised or kept together: a convolution and what follows it up to the next one."""

    name: str
    nodes: tuple[str, ...]


@dataclass
class Quantizer:
    """A float graph prepared for one target, with the ranges of its values.

    Attributes:
        model: the graph that is quantised, in float: equal to the exported one, with its channels evened out.
        layers: what can be quantised, in order; every other node stays in float.
    """

    model: onnx.ModelProto
    target: Target
    ranges: Any
    layers: list[Layer] = field(default_factory=list)
    means: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def quantised(self, keep: Collection[str] = ()) -> onnx.ModelProto:
        """The graph with all layers in 8 bits but those named in `keep`."""
        nodes = [name for layer in self.layers if layer.name not in keep for name in layer.nodes]
        model = copy.deepcopy(self.model)
        if nodes:  # an empty list means all of them to ONNX Runtime
            quantizer = QDQQuantizer(
                model,
                per_channel=True,
                activation_qType=_VALUES[self.target],
                tensors_range=self.ranges,
                nodes_to_quantize=nodes,
                nodes_to_exclude=[],
                op_types_to_quantize=_QUANTISED[self.target],
                **self.weight_options(nodes),
            )
            quantizer.quantize_model()
            model = quantizer.model.model
            correct_biases(model.graph, self.model.graph, self.means)
        if self.target == "cpu":
            read_floats(model.graph, {node.name for node in self.model.graph.node} - set(nodes))
            shield_float_convolutions(model.graph)
        return in_order(model)

    def weight_options(self, nodes: Collection[str]) -> dict[str, Any]:
        """How `QDQQuantizer` is to quantise the weights of the convolutions among `nodes`.

        For "cpu" so that every processor gives the same numbers (`export.quantize.saturation`).
        """
        extra = dict(_OPTIONS[self.target])
        if self.target == "cpu":
            extra["TensorQuantOverrides"] = _weight_ranges(self.model, nodes)
        return {"weight_qType": QuantType.QInt8, "reduce_range": False, "extra_options": extra}


def _weight_ranges(model: onnx.ModelProto, nodes: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """By the weights' name, the range of each output channel, as ONNX Runtime's quantiser takes it."""
    ranges: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.name not in nodes:
            continue
        weight = constant(model.graph, node.input[1])
        if weight is None or is_depthwise(weight):  # those are multiplied in 32 bits everywhere
            continue
        reach = safe_reach(weight).astype(np.float32)
        ranges[node.input[1]] = [{"axis": 0, "rmin": -one, "rmax": one} for one in reach]
    return ranges


def prepare(model: onnx.ModelProto, target: Target, frames: Sequence[NDArray[np.uint8]], method: str) -> Quantizer:
    """Bring an exported model into the form that is quantised for `target`, and measure its values on `frames`
    (uint8 `[h, w, 3]` of its size).
    """
    model = _preprocessed(model)
    give_biases(model.graph)
    equalize(model, frames)
    if target == "cpu":
        separate_pooling(model.graph)
        drop_unused(model.graph)
        model = _preprocessed(model)
    ranges = value_ranges(model, frames, method, symmetric=target == "gpu")
    inputs = [node.input[0] for node in model.graph.node if node.op_type == "Conv"]
    means = {name: one.mean for name, one in channel_statistics(model, inputs, frames).items()}
    return Quantizer(model, target, ranges, layers_of(model, target), means)


def _preprocessed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shapes inferred, constants folded, as ONNX Runtime's quantiser wants it."""
    with tempfile.TemporaryDirectory(prefix="quantize") as folder:
        path = Path(folder) / "model.onnx"
        # Its shapes are all fixed: the symbolic pass finds nothing more. Its optimiser would fuse operators into ORT's
        # own, which neither the quantiser nor TensorRT knows.
        quant_pre_process(model, str(path), skip_symbolic_shape=True, skip_optimization=True)
        return onnx.load(path)


def layers_of(model: onnx.ModelProto, target: Target) -> list[Layer]:
    """The layers that integers may run: the ancestors of some convolution, and the convolutions, over a whole map.

    What follows the last convolutions (upsampling, arg max, sigmoid and exponential of the depth) stays in float. So
    does what `_IN_FLOAT` names; the first convolution, whose three channels integer kernels are slow at; and
    squeeze-and-excitation's work on single pixels: no time is spent there, and gates are sensitive.
    """
    shapes = {
        value.name: [one.dim_value for one in value.type.tensor_type.shape.dim] for value in model.graph.value_info
    }
    before, made_by = before_convolutions(model.graph), makers(model.graph)
    layer_of: dict[str, str] = {}
    layers: dict[str, list[str]] = {}

    def is_point(node: onnx.NodeProto) -> bool:
        return shapes.get(node.output[0], [0])[2:] == [1, 1]

    for node in model.graph.node:
        found = [made_by[name] for name in node.input if name in made_by and made_by[name].name in layer_of]
        sources = [maker.name for maker in sorted(found, key=is_point)]  # a gate's product belongs to what is gated
        if node.op_type == "Conv":
            layer_of[node.name] = node.input[1].removesuffix(".weight").removeprefix("generator.")
        elif sources:
            layer_of[node.name] = layer_of[sources[0]]
        else:
            continue
        gate = is_point(node) and node.op_type != "GlobalAveragePool"
        first = node.op_type == "Conv" and not sources
        kept = layer_of[node.name].startswith(_IN_FLOAT[target])
        if node.op_type in _QUANTISED[target] and node.name in before and not (gate or first or kept):
            layers.setdefault(layer_of[node.name], []).append(node.name)
    return [Layer(name, tuple(nodes)) for name, nodes in layers.items()]
