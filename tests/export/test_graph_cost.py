"""Multiply-accumulates and parameters, counted by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from standins import SIZE, make_config, make_generator, make_metadata

from advmtl.training import checkpoint
from export.bench.graph_cost import Cost, cost_of
from export.session.engine_header import EngineHeader, pack


def save(
    path: Path, nodes: list, tensors: dict[str, np.ndarray], shape: list[int], kind: int = TensorProto.FLOAT
) -> Path:
    """A graph from "x" of `shape` to "y"; no other shape is told, so they must be inferred."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_convolutions(tmp_path: Path) -> None:
    """x [1,4,10,6], stride 2 -> [1,8,5,3]: 120 values of 4*9 products, then 120 of 9, for each group is one channel."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "d"], ["y"], pads=[1, 1, 1, 1], group=8),
    ]
    tensors = {"w": zeros(8, 4, 3, 3), "b": zeros(8), "d": zeros(8, 1, 3, 3)}
    cost = cost_of(save(tmp_path / "m.onnx", nodes, tensors, [1, 4, 10, 6]))
    assert cost.gmacs == pytest.approx((120 * 36 + 120 * 9) / 1e9)
    assert (cost.parameters, cost.precision) == (8 * 4 * 9 + 8 + 8 * 9, "fp32")


def test_transposed_convolution(tmp_path: Path) -> None:
    """Each of the 4*10*6 inputs is multiplied with its channel's 5*2*2 weights."""
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])]
    cost = cost_of(save(tmp_path / "m.onnx", nodes, {"w": zeros(4, 5, 2, 2)}, [1, 4, 10, 6]))
    assert cost.gmacs == pytest.approx(240 * 20 / 1e9)


@pytest.mark.parametrize(
    ("operator", "attributes", "shape", "weight", "macs"),
    [
        ("MatMul", {}, [3, 7], (7, 5), 3 * 7 * 5),
        ("MatMul", {}, [2, 3, 7], (7, 5), 2 * 3 * 7 * 5),
        ("Gemm", {}, [3, 7], (7, 5), 3 * 7 * 5),
        ("Gemm", {"transB": 1}, [3, 7], (5, 7), 3 * 7 * 5),
        ("Gemm", {"transA": 1}, [7, 3], (7, 5), 3 * 7 * 5),
    ],
)
def test_products(
    operator: str, attributes: dict, shape: list[int], weight: tuple[int, ...], macs: int, tmp_path: Path
) -> None:
    nodes = [helper.make_node(operator, ["x", "w"], ["y"], **attributes)]
    cost = cost_of(save(tmp_path / "m.onnx", nodes, {"w": zeros(*weight)}, shape))
    assert cost.gmacs == pytest.approx(macs / 1e9)


def test_precisions(tmp_path: Path) -> None:
    """Half-precision weights; and 8-bit weights behind a DequantizeLinear, whose shape is that of the kernel."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    half = save(
        tmp_path / "h.onnx", nodes, {"w": zeros(8, 4, 1, 1).astype(np.float16)}, [1, 4, 5, 3], TensorProto.FLOAT16
    )
    assert cost_of(half).precision == "fp16" and cost_of(half).parameters == 32
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    tensors = {"q": np.zeros((8, 4, 1, 1), np.int8), "s": np.float32(0.1)}
    cost = cost_of(save(tmp_path / "q.onnx", nodes, tensors, [1, 4, 5, 3]))  # type: ignore[arg-type]
    assert (cost.precision, cost.parameters) == ("int8", 32) and cost.gmacs == pytest.approx(15 * 8 * 4 / 1e9)


def test_a_shape_that_is_not_known_is_not_counted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, {"w": zeros(8, 4, 1, 1)}, ["n", 4, 5, 3])  # type: ignore[list-item]
    assert cost_of(path).gmacs is None and cost_of(path).parameters == 32


def test_a_product_of_unknown_shape_is_left_out(tmp_path: Path) -> None:
    """As class borders are in a graph for the CPU: how many cells there are, the frame decides."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("NonZero", ["c"], ["cells"]),
        helper.make_node("Cast", ["cells"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["t", "v"], ["y"]),
    ]
    tensors = {"w": zeros(8, 4, 1, 1), "v": zeros(4, 5)}
    assert cost_of(save(tmp_path / "m.onnx", nodes, tensors, [1, 4, 5, 3])).gmacs == pytest.approx(15 * 8 * 4 / 1e9)
    path = save(tmp_path / "n.onnx", [helper.make_node("MatMul", ["x", "v"], ["y"])], tensors, ["n", 4])  # type: ignore[list-item]
    assert cost_of(path).gmacs is None


def test_an_engine_tells_its_precision(tmp_path: Path) -> None:
    path = tmp_path / "model.engine"
    path.write_bytes(pack(EngineHeader(make_metadata(), "int8", "10.9.0", "Orin Nano", (8, 7), ""), b"plan"))
    assert cost_of(path) == Cost(None, None, "int8")


def test_graph_and_checkpoint_agree(model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(data={"size": f"{SIZE[0]}x{SIZE[1]}"})
    monkeypatch.setattr(checkpoint, "load_generator", lambda run: (make_generator(), config))
    graph, run = cost_of(model_path), cost_of(tmp_path)
    # 5x5 stride 4 from 3 to 8 channels, two 3x3 heads from 8 to 5 and 1, all at 24x40.
    macs = 24 * 40 * (8 * 75 + 6 * 72)
    assert run.gmacs == pytest.approx(macs / 1e9) and graph.gmacs == pytest.approx(macs / 1e9)
    assert run.parameters == sum(p.numel() for p in make_generator().parameters())
    assert torch.is_inference_mode_enabled() is False
