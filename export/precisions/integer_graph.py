"""Equal forms of parts of a graph that integer kernels can run: each function changes the graph in place.

ONNX Runtime's integer kernels on the CPU keep 8 bits from convolution to convolution only where every operator between
has an integer form too. Hard swish and the mean over the picture have none as they are exported; 5x5 pooling has one,
which takes 25 comparisons a value.
"""

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from export.precisions.graph import attributes, constant, consumers, makers, replace_nodes, set_constant


def mean_as_pooling(graph: onnx.GraphProto) -> None:
    """The mean over height and width as GlobalAveragePool, which has an integer kernel."""
    for node in graph.node:
        if node.op_type != "ReduceMean" or len(node.input) < 2 or not attributes(node).get("keepdims", 1):
            continue
        axes = constant(graph, node.input[1])
        if axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]


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


def hard_swish_as_product(graph: onnx.GraphProto) -> None:
    """x · relu6(x + 3) for x · relu6(x + 3) / 6, the sixth going into the weights of the convolutions behind it.

    Quantised, the sum's range 0..6 does the clipping, so that an integer addition and a product are left. Where
    something else than convolutions, means and gates reads it, that hard swish stays.
    """
    nodes, made = [], False
    for node in graph.node:
        if node.op_type != "HardSwish":
            nodes.append(node)
            continue
        weights = _linear_readers(graph, node.output[0])
        if weights is None:
            nodes.append(node)
            continue
        for weight in weights:
            _scale_weights(graph, weight, 1 / 6)
        value, out = node.input[0], node.output[0]
        nodes.append(helper.make_node("Add", [value, "swish_three"], [f"{out}_sum"], f"{node.name}_sum"))
        nodes.append(
            helper.make_node("Clip", [f"{out}_sum", "swish_zero", "swish_six"], [f"{out}_gate"], f"{node.name}_gate")
        )
        nodes.append(helper.make_node("Mul", [value, f"{out}_gate"], [out], node.name))
        made = True
    replace_nodes(graph, nodes)
    if made:
        for name, number in (("swish_zero", 0), ("swish_three", 3), ("swish_six", 6)):
            set_constant(graph, name, np.array(number, np.float32))


def _linear_readers(graph: onnx.GraphProto, value: str) -> set[str] | None:
    """Weights of the convolutions that read a value, also through means and gates; None where anything else does.

    A weight that several convolutions share, or a gate that is a function of the value itself, stays out of it: the
    gate of squeeze-and-excitation is one, but of the scaled mean through the same scaled weights.
    """
    weights: set[str] = set()
    if value in {one.name for one in graph.output}:
        return None
    for node in consumers(graph, value):
        if node.op_type == "Conv" and node.input[0] == value:
            if constant(graph, node.input[1]) is None or len(consumers(graph, node.input[1])) > 1:
                return None
            weights.add(node.input[1])
        elif node.op_type in ("ReduceMean", "GlobalAveragePool") or (
            node.op_type == "Mul" and node.input[0] != node.input[1]
        ):
            behind = _linear_readers(graph, node.output[0])
            if behind is None:
                return None
            weights |= behind
        else:
            return None
    return weights


def _scale_weights(graph: onnx.GraphProto, name: str, factor: float | NDArray) -> None:
    weight = constant(graph, name)
    assert weight is not None
    set_constant(graph, name, (weight * np.asarray(factor)).astype(np.float32))


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
