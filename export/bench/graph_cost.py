"""Arithmetic cost of a model: multiply-accumulates, parameters, and the precision of its weights."""

import math
from dataclasses import dataclass
from pathlib import Path

from export.graph import KEY, ZOOM, from_properties
from export.session import unpack_engine

_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


@dataclass(frozen=True)
class Cost:
    """gmacs: 1e9 multiply-accumulates of the network's convolutions and matrix products for one frame, as counted at
    its export; a graph for one kind of processor may do with fewer. parameters: weights in the file (in an exported
    one, norms are folded into convolutions). None where the file does not say.
    """

    gmacs: float | None
    parameters: int | None
    precision: str


def cost_of(path: Path) -> Cost:
    """A model's cost: of an exported file by its metadata and weights, of a run or checkpoint by running it once in
    torch. The header of a TensorRT engine has no parameters.
    """
    if path.suffix == ".engine":
        header = unpack_engine(path.read_bytes(), path)[0]
        return Cost(header.metadata.gmacs, None, header.precision)
    return _cost_of_onnx(path) if path.suffix == ".onnx" else _cost_of_checkpoint(path)


def _cost_of_onnx(path: Path) -> Cost:
    try:
        import onnx
    except ModuleNotFoundError:  # a vehicle has the runtime alone
        return Cost(None, None, "unknown")
    model = onnx.load(str(path))
    tensors = [tensor for tensor in model.graph.initializer if tensor.dims]
    tensors += [a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute if a.t.dims]
    tensors = [tensor for tensor in tensors if tensor.name != ZOOM]  # an input's own value, no weight
    sizes: dict[str, int] = {}
    for tensor in tensors:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        sizes[kind] = sizes.get(kind, 0) + math.prod(tensor.dims)
    weights = {kind: size for kind, size in sizes.items() if kind in ("FLOAT", "FLOAT16", "INT8", "UINT8")}
    precision = "fp16" if weights.get("FLOAT16", 0) > weights.get("FLOAT", 0) else "fp32"
    if any(node.op_type in _QUANTISED for node in model.graph.node):
        precision = "int8"
    properties = {entry.key: entry.value for entry in model.metadata_props}
    gmacs = from_properties(properties, path).gmacs if KEY in properties else None
    return Cost(gmacs, sum(weights.values()), precision)


def _cost_of_checkpoint(path: Path) -> Cost:
    from advmtl.training import load_generator
    from export.graph import gmacs_of

    generator, config = load_generator(path)
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    return Cost(gmacs_of(generator, config.data.size), parameters, "fp32")
