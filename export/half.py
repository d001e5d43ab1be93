"""Half precision: float16 weights and values, float32 where half the digits are not enough."""

import onnx
from onnx import TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.graph import before_convolutions, consumers, in_order, makers
from export.metadata import CLASSES


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of an exported model with float16 inside; inputs and outputs keep their types.

    The frame's normalisation stays in float32, and so does what lies between the last convolution and an output in
    float32 (depth, offsets): a step of float16 at ln Z = 4.4 would be 0.2 % of Z. Logits stay in float16 up to the
    arg max. ONNX Runtime's CPU provider has no float16 convolution and casts each one to float32: there the file is
    half the size and no faster.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    half = convert_float_to_float16(
        inferred, keep_io_types=True, disable_shape_infer=True, op_block_list=[], node_block_list=_wide(inferred.graph)
    )
    _straighten_outputs(half.graph)
    return in_order(half)


def _wide(graph: onnx.GraphProto) -> list[str]:
    """Nodes in float32: before the first convolution, and behind the last where the way leads to metres or pixels."""
    before, behind = before_convolutions(graph), set[str]()
    to_classes, seen = {CLASSES}, set[str]()
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


def _straighten_outputs(graph: onnx.GraphProto) -> None:
    """Let a value computed in float32 reach its output as it is: the converter sends it through float16."""
    made_by = makers(graph)
    gone: list[onnx.NodeProto] = []
    for output in graph.output:
        last = made_by.get(output.name)
        if last is None or last.op_type != "Cast" or output.type.tensor_type.elem_type != TensorProto.FLOAT:
            continue
        narrowing = made_by.get(last.input[0])
        if narrowing is None or narrowing.op_type != "Cast" or len(consumers(graph, narrowing.output[0])) > 1:
            continue
        source = made_by[narrowing.input[0]]
        if len(consumers(graph, source.output[0])) == 1:
            source.output[0] = output.name
            gone += [last, narrowing]
    for node in gone:
        graph.node.remove(node)
