"""What TensorRT's ONNX parser supports, and the two edits that an exported graph needs for it."""

from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

from export.graph.edits import attributes, consumers, in_order, makers

# Operators of TensorRT 10's ONNX parser that a network of ours may hold at a fixed size, from the operator support
# matrix of onnx-tensorrt (docs/operators.md, restrictions included below). Those whose output shape depends on values
# (NonZero, Compress, Unique, …) are left out on purpose: they end a fixed size.
OPERATORS = frozenset(
    {
        *("Abs", "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv"),
        *(
            "DequantizeLinear",
            "Div",
            "Equal",
            "Exp",
            "Flatten",
            "Gather",
            "GlobalAveragePool",
            "HardSigmoid",
            "HardSwish",
        ),
        *("Identity", "LeakyRelu", "LessOrEqual", "Max", "MaxPool", "Min", "Mul", "Neg", "Or", "Pad", "QuantizeLinear"),
        *("ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum"),
        *("Tanh", "Transpose", "Unsqueeze", "Where"),
    }
)
# What else the matrix says of an operator: attribute -> values it takes; an attribute that is absent is in order.
RESTRICTIONS: dict[str, dict[str, tuple[object, ...]]] = {
    "Resize": {
        "mode": (b"nearest", b"linear"),
        "coordinate_transformation_mode": (
            *(b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn", b"asymmetric", b"align_corners"),
        ),
        "antialias": (0,),
        "exclude_outside": (0,),
    },
    "ArgMax": {"select_last_index": (0,)},
    "MaxPool": {"storage_order": (0,), "ceil_mode": (0,)},
}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def fit_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with bytes only where TensorRT has them: it casts uint8 to and from float, and no more.

    The frame is cast before it is transposed, not after, and class indices go through float on their way to bytes.
    """
    graph = model.graph
    made_by, inputs = makers(graph), {value.name for value in graph.input}
    added = []
    for node in graph.node:
        readers = consumers(graph, node.output[0])
        if node.op_type == "Transpose" and node.input[0] in inputs and [one.op_type for one in readers] == ["Cast"]:
            cast, between = readers[0], f"{node.input[0]}_float"
            cast.input[0], node.input[0] = node.input[0], between
            node.output[0], cast.output[0] = cast.output[0], between
        elif _target(node) == TensorProto.UINT8 and made_by[node.input[0]].op_type == "Where":
            between = f"{node.output[0]}_float"
            added.append(helper.make_node("Cast", [node.input[0]], [between], between, to=TensorProto.FLOAT))
            node.input[0] = between
    graph.node.extend(added)
    return in_order(model)


def _target(node: onnx.NodeProto) -> int | None:
    return attributes(node).get("to") if node.op_type == "Cast" else None  # type: ignore[return-value]


def unsupported(model: onnx.ModelProto) -> list[str]:
    """Everything in a model that TensorRT would refuse, one line each; empty where it accepts all."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph, found = inferred.graph, []
    types = {value.name: value for value in [*graph.input, *graph.value_info, *graph.output]}
    for node in graph.node:
        where = f"{node.op_type} {node.name}"
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            found.append(f"{where}: not an operator of TensorRT")
        values = attributes(node)
        for name, allowed in RESTRICTIONS.get(node.op_type, {}).items():
            if name in values and values[name] not in allowed:
                found.append(f"{where}: {name} is {values[name]!r}")
        found += [f"{where}: {reason}" for reason in _type_faults(node, types)]
        found += [f"{where}: the shape of {out} is not fixed" for out in node.output if out and not _fixed(types, out)]
    zero_points = {
        node.input[2]
        for node in graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2
    }
    for value in graph.initializer:
        if value.name in zero_points and onnx.numpy_helper.to_array(value).any():
            found.append(f"zero point {value.name}: not 0")
        if value.name in zero_points and value.data_type != TensorProto.INT8:
            found.append(f"zero point {value.name}: not int8")
    return found


def _type_faults(node: onnx.NodeProto, types: Mapping[str, onnx.ValueInfoProto]) -> list[str]:
    """uint8 is for frames and class maps: only a cast may read or make it, from and to float."""

    def type_of(name: str) -> int:
        return types[name].type.tensor_type.elem_type if name in types else TensorProto.UNDEFINED

    ins, outs = [type_of(name) for name in node.input], [type_of(name) for name in node.output]
    if TensorProto.UINT8 not in (*ins, *outs):
        return []
    if node.op_type == "Cast" and (ins[0] in _FLOATS or outs[0] in _FLOATS):
        return []
    return ["uint8 other than by a cast from or to float"]


def _fixed(types: Mapping[str, onnx.ValueInfoProto], name: str) -> bool:
    if name not in types:
        return False
    tensor = types[name].type.tensor_type
    return tensor.HasField("shape") and all(side.HasField("dim_value") for side in tensor.shape.dim)
