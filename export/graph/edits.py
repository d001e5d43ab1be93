"""Queries on an ONNX graph, and small edits of it."""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel


def consumers(graph: onnx.GraphProto, value: str) -> list[onnx.NodeProto]:
    """The nodes that read a value."""
    return [node for node in graph.node if value in node.input]


def makers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each computed value."""
    return {out: node for node in graph.node for out in node.output}


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """The attributes of a node."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def constant(graph: onnx.GraphProto, name: str) -> NDArray | None:
    """The array of an initializer; None for a value that is computed."""
    return next((numpy_helper.to_array(value) for value in graph.initializer if value.name == name), None)


def set_constant(graph: onnx.GraphProto, name: str, array: NDArray) -> None:
    """Replace the array of an initializer, or add it under that name."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
    for value in graph.initializer:
        if value.name == name:
            value.CopyFrom(tensor)
            return
    graph.initializer.append(tensor)


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Make these all the nodes of the graph, in this order."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def in_order(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its nodes sorted, makers before readers, and without the types and shapes noted on the way."""
    sorter = ONNXModel(model)
    sorter.topological_sort()
    ordered: onnx.ModelProto = sorter.model
    del ordered.graph.value_info[:]
    return ordered


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove constants that nothing reads; ONNX Runtime warns of each."""
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def before_convolutions(graph: onnx.GraphProto) -> set[str]:
    """Names of the convolutions and of all nodes whose output reaches one."""
    found, wanted = set[str](), set[str]()
    for node in reversed(graph.node):
        if node.op_type == "Conv" or any(out in wanted for out in node.output):
            found.add(node.name)
            wanted |= set(node.input)
    return found
