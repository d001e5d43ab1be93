"""Half precision: float16 weights and activations, float32 where float16 is not accurate enough."""

from collections.abc import Collection

import onnx
from onnx import TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from advmtl.tasks import TASKS
from export.graph import (
    attributes,
    before_convolutions,
    consumers,
    fix_zoom,
    in_order,
    makers,
    offer_zoom,
    replace_nodes,
)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an exported model with float16 inside; inputs and outputs keep their types.

    The frame's normalisation stays in float32, and so does what lies between the last convolution and an output in
    float32 (depth, offsets): a step of float16 at ln Z = 4.4 would be 0.2 % of Z. Logits stay in float16 up to the
    arg max. ONNX Runtime's CPU provider has no float16 convolution and casts each one to float32: there the file is
    half the size and no faster.
    """
    inferred = fix_zoom(onnx.shape_inference.infer_shapes(model))
    wide = _wide(inferred.graph)
    half = convert_float_to_float16(
        inferred, keep_io_types=True, disable_shape_infer=True, op_block_list=[], node_block_list=wide
    )
    _drop_repeats(half.graph)
    _straighten(half.graph, wide)
    return offer_zoom(in_order(half))


def _wide(graph: onnx.GraphProto) -> list[str]:
    """Nodes in float32: before the first convolution, and behind the last where the way leads to metres or pixels."""
    before, behind = before_convolutions(graph), set[str]()
    to_classes, seen = {name for task in TASKS.values() if (name := task.learning.arg_max)}, set[str]()
    for node in reversed(graph.node):
        if any(out in to_classes for out in node.output):
            to_classes |= set(node.input)
        elif node.name not in before:
            behind.add(node.name)
    for node in graph.node:
        if node.op_type == "Conv" or any(name in seen for name in node.input):
            seen |= set(node.output)
        else:
            behind.add(node.name)
    return sorted(behind)


def _drop_repeats(graph: onnx.GraphProto) -> None:
    """Leave one node to each value: the converter widens a constant once for each of its readers, under one name."""
    first: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        first.setdefault(node.output[0], node)
    replace_nodes(graph, first.values())


def _straighten(graph: onnx.GraphProto, wide: Collection[str]) -> None:
    """Let float32 stay float32 from one node of `wide` to the next: the converter narrows and widens in between."""
    made_by, outputs = makers(graph), {value.name for value in graph.output}
    for widening in [node for node in graph.node if attributes(node).get("to") == TensorProto.FLOAT]:
        narrowing = made_by.get(widening.input[0])
        if narrowing is None or attributes(narrowing).get("to") != TensorProto.FLOAT16:
            continue
        source = made_by[narrowing.input[0]]
        if source.name not in wide:
            continue
        old, new = widening.output[0], source.output[0]
        if old in outputs:  # the output keeps its name, so its maker takes it
            graph.node.remove(widening)
            source.output[0], made_by[old] = old, source
            old, new = new, old
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new
    for node in reversed(list(graph.node)):
        if node.op_type == "Cast" and node.output[0] not in outputs and not consumers(graph, node.output[0]):
            graph.node.remove(node)
