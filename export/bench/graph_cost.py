"""What a model costs on paper: multiply-accumulates, parameters and the precision of its weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.session.engine_header import unpack

_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Cost:
    """gmacs: 1e9 multiply-accumulates of convolutions and matrix products for one frame, at least: a product over as
    many cells as the frame decides (class borders in a graph for the CPU) is left out. parameters: weights in the file
    (in an exported one, norms are folded into convolutions). None where they cannot be counted.
    """

    gmacs: float | None
    parameters: int | None
    precision: str


def cost_of(path: Path) -> Cost:
    """Count a model's cost: an ONNX file by its graph, a run or checkpoint by running it once in torch.

    Of a TensorRT engine the header tells the precision alone.
    """
    if path.suffix == ".engine":
        return Cost(None, None, unpack(path.read_bytes(), path)[0].precision)
    return _cost_of_onnx(path) if path.suffix == ".onnx" else _cost_of_checkpoint(path)


def _cost_of_onnx(path: Path) -> Cost:
    try:
        import onnx
    except ModuleNotFoundError:  # a vehicle has the runtime alone
        return Cost(None, None, "unknown")
    model = onnx.load(str(path))
    macs = _macs(model.graph, _shapes(onnx.shape_inference.infer_shapes(model).graph))
    tensors = [tensor for tensor in model.graph.initializer if tensor.dims]
    tensors += [a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute if a.t.dims]
    sizes: dict[str, int] = {}
    for tensor in tensors:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        sizes[kind] = sizes.get(kind, 0) + math.prod(tensor.dims)
    weights = {kind: size for kind, size in sizes.items() if kind in ("FLOAT", "FLOAT16", "INT8", "UINT8")}
    precision = "fp16" if weights.get("FLOAT16", 0) > weights.get("FLOAT", 0) else "fp32"
    if any(node.op_type in _QUANTISED for node in model.graph.node):
        precision = "int8"
    return Cost(None if macs is None else macs / 1e9, sum(weights.values()), precision)


def _macs(graph: Any, shapes: Shapes) -> float | None:
    """The sum over all nodes of known shapes; None where a convolution's is not known, or that of no node."""
    counts, left_out = [], False
    for node in graph.node:
        if (count := _COUNTS.get(node.op_type)) is None:
            continue
        try:
            counts.append(count(node, shapes))
        except KeyError:
            if count is not _product:
                return None
            left_out = True
    return None if left_out and not counts else sum(counts)


def _shapes(graph: Any) -> Shapes:
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        sides = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(side.HasField("dim_value") for side in sides):
            shapes[value.name] = tuple(side.dim_value for side in sides)
    for node in graph.node:
        if node.op_type == "Constant":
            shapes |= {output: tuple(a.t.dims) for output in node.output for a in node.attribute if a.name == "value"}
    return shapes


def _convolution(weight: int) -> Callable[[Any, Shapes], float]:
    """Each output value takes one product per weight of its channel; `weight` is the input that holds them."""

    def count(node: Any, shapes: Shapes) -> float:
        kernel = shapes[node.input[weight]]
        return math.prod(shapes[node.output[0]]) * math.prod(kernel[1:])

    return count


def _transposed(node: Any, shapes: Shapes) -> float:
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _product(node: Any, shapes: Shapes) -> float:
    """Each output value takes one product per element that is summed over: the last axis of the first factor."""
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if transposed else -1]


_COUNTS: dict[str, Callable[[Any, Shapes], float]] = {
    "Conv": _convolution(1),
    "FusedConv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed,
    "Gemm": _product,
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
}


def _cost_of_checkpoint(path: Path) -> Cost:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from advmtl.training import load_generator

    generator, config = load_generator(path)
    generator.eval()
    width, height = config.data.size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        generator(torch.zeros(1, 3, height, width))
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    return Cost(counter.get_total_flops() / 2e9, parameters, "fp32")  # two operations each
