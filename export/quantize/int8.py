"""8-bit integers by static quantisation: a float graph and ranges in, a QDQ graph out.

The graph is changed in place for ONNX Runtime's integer kernels on the CPU. They have 5x5 pooling, with 25 comparisons
a value; and what stays in float must not be put into 8 bits by the way.
"""

import copy
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.graph import (
    attributes,
    before_convolutions,
    constant,
    drop_unused,
    in_order,
    makers,
    replace_nodes,
    set_constant,
)
from export.quantize.calibrate import channel_statistics, value_ranges
from export.quantize.weights import correct_biases, equalize, give_biases, is_depthwise, safe_reach

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

_PARTS = ("encoder.", "kernels.", "shared.", "heads.", "upsample.")  # of a generator, and of the graph around it

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
    """The nodes that are quantised or kept together: a convolution and what follows it up to the next one."""

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

        For "cpu" so that every processor gives the same numbers (`export.quantize.weights`).
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


def prepare_quantizer(
    model: onnx.ModelProto, target: Target, frames: Sequence[NDArray[np.uint8]], method: str
) -> Quantizer:
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


def _name(node: onnx.NodeProto) -> str:
    """Of a convolution's layer: its weights' name in the generator; empty for another node."""
    return node.input[1].removesuffix(".weight").removeprefix("generator.") if node.op_type == "Conv" else ""


def layers_of(model: onnx.ModelProto, target: Target) -> list[Layer]:
    """The layers that integers may run: the ancestors of some convolution, and the convolutions, over a whole map.

    What follows the last convolutions (upsampling, arg max, sigmoid and exponential of the depth) stays in float. So
    does what `_IN_FLOAT` names; the first convolution, whose three channels integer kernels are slow at; and
    squeeze-and-excitation's work on single pixels: no time is spent there, and gates are sensitive.

    A layer has the name of its convolution's weights. Weights that are computed (standardised ones) have lost theirs:
    before the shared generator they are the encoder's.
    """
    shapes = {
        value.name: [one.dim_value for one in value.type.tensor_type.shape.dim] for value in model.graph.value_info
    }
    before, made_by = before_convolutions(model.graph), makers(model.graph)
    ours, decoded = any(_name(node).startswith("shared.") for node in model.graph.node), set[str]()
    layer_of: dict[str, str] = {}
    layers: dict[str, list[str]] = {}

    def is_point(node: onnx.NodeProto) -> bool:
        return shapes.get(node.output[0], [0])[2:] == [1, 1]

    for node in model.graph.node:
        found = [made_by[name] for name in node.input if name in made_by and made_by[name].name in layer_of]
        sources = [maker.name for maker in sorted(found, key=is_point)]  # a gate's product belongs to what is gated
        if any(name in decoded for name in node.input) or _name(node).startswith("shared."):
            decoded |= set(node.output)
        if node.op_type == "Conv":
            known = not ours or _name(node).startswith(_PARTS) or node.output[0] in decoded
            layer_of[node.name] = _name(node) if known else f"encoder.{_name(node)}"
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


def separate_pooling(graph: onnx.GraphProto) -> None:
    """Square max pooling of stride 1 as a row and a column: the maximum of maxima, 10 comparisons in place of 25."""
    nodes = []
    for node in graph.node:
        found = attributes(node)
        kernel, pads = list(found.get("kernel_shape", ())), list(found.get("pads", (0, 0, 0, 0)))  # type: ignore[call-overload]
        plain = (
            node.op_type == "MaxPool"
            and len(node.output) == 1
            and len(kernel) == 2
            and min(kernel) > 1
            and all(stride == 1 for stride in found.get("strides", (1, 1)))  # type: ignore[attr-defined]
            and all(step == 1 for step in found.get("dilations", (1, 1)))  # type: ignore[attr-defined]
            and found.get("auto_pad", b"NOTSET") == b"NOTSET"
            and not found.get("ceil_mode", 0)
        )
        if not plain:
            nodes.append(node)
            continue
        row, (name, out) = f"{node.output[0]}_row", (node.name, node.output[0])
        along = {"kernel_shape": [1, kernel[1]], "pads": [0, pads[1], 0, pads[3]], "strides": [1, 1]}
        down = {"kernel_shape": [kernel[0], 1], "pads": [pads[0], 0, pads[2], 0], "strides": [1, 1]}
        nodes.append(helper.make_node("MaxPool", [node.input[0]], [row], f"{name}_row", **along))
        nodes.append(helper.make_node("MaxPool", [row], [out], name, **down))
    replace_nodes(graph, nodes)


def read_floats(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    """Let the nodes that `kept` names read what other float nodes made as it was made, not rounded to 8 bits.

    The quantiser gives the rounded value to every reader as soon as one of them is in 8 bits.
    """
    made_by = makers(graph)
    for node in graph.node:
        if node.name not in kept:
            continue
        for place, name in enumerate(node.input):
            back = made_by.get(name)
            there = made_by.get(back.input[0]) if back is not None and back.op_type == "DequantizeLinear" else None
            if there is not None and there.op_type == "QuantizeLinear":
                source = made_by.get(there.input[0])
                if source is not None and source.name in kept:
                    node.input[place] = there.input[0]


def shield_float_convolutions(graph: onnx.GraphProto) -> None:
    """Keep ONNX Runtime from quantising what was kept in float, by a maximum with the lowest float behind it.

    Its optimiser (of 1.31) puts float weights between a DequantizeLinear and a QuantizeLinear into 8 bits, with one
    scale for the whole tensor (measured: 28 % and 55 % of pixels change class for one layer each). It looks for a
    QuantizeLinear behind the convolution, or behind its Relu or Clip; a maximum stops it and is not optimised away.
    """
    made_by, nodes, used = makers(graph), [], False
    weights = {value.name for value in graph.initializer}
    for node in graph.node:
        nodes.append(node)
        source = made_by.get(node.input[0]) if node.input else None
        if node.op_type != "Conv" or node.input[1] not in weights or source is None:
            continue
        if source.op_type == "DequantizeLinear":
            value, node.output[0] = node.output[0], f"{node.output[0]}_open"
            nodes.append(helper.make_node("Max", [node.output[0], "lowest"], [value], f"{node.name}_open"))
            used = True
    replace_nodes(graph, nodes)
    if used:
        set_constant(graph, "lowest", np.array(np.finfo(np.float32).min))
