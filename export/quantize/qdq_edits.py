"""Changes of a graph for ONNX Runtime's integer kernels on the CPU: each function changes the graph in place.

They have 5x5 pooling, with 25 comparisons a value; and what stays in float must not be put into 8 bits by the way.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from export.graph.edits import attributes, makers, replace_nodes, set_constant


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
