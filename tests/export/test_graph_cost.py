"""Multiply-accumulates and parameters, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from standins import SIZE, make_config, make_frame, make_generator, make_metadata
from torch import nn

from advmtl.training import checkpoint
from export.bench.graph_cost import Cost, cost_of
from export.convert.to_onnx import export_checked
from export.graph.cost import gmacs_of
from export.graph.metadata import to_properties
from export.session.engine import EngineHeader, pack_engine


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


class Parts(nn.Module):
    """3x3 stride 2 from 3 to 8 channels, a depthwise 3x3, the resize to twice the size, a product over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.last = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.depthwise(self.first(x).relu()))
        x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        return self.last(x.permute(0, 2, 3, 1))


def test_torch_counts_as_by_hand() -> None:
    """6x10 px (width, height): 5*3 places of 8 values, of 3*9 products each, then of 9; resizing counts nothing; 60
    places of 8 times 5.
    """
    macs = 15 * 8 * 27 + 15 * 8 * 9 + 60 * 8 * 5
    assert gmacs_of(Parts(), (6, 10)) == pytest.approx(macs / 1e9)


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
    assert (cost.precision, cost.parameters) == ("int8", 32)


def test_what_the_metadata_do_not_tell_is_not_known(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, {"w": zeros(8, 4, 1, 1)}, [1, 4, 5, 3])
    assert cost_of(path) == Cost(None, 32, "fp32")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, to_properties(make_metadata()))
    onnx.save(model, path)
    assert cost_of(path).gmacs is None
    onnx.helper.set_model_props(model, to_properties(replace(make_metadata(), gmacs=0.125)))
    onnx.save(model, path)
    assert cost_of(path).gmacs == 0.125


def test_an_engine_tells_its_precision(tmp_path: Path) -> None:
    path = tmp_path / "model.engine"
    path.write_bytes(pack_engine(EngineHeader(make_metadata(), "int8", "10.9.0", "Orin Nano", (8, 7), ""), b"plan"))
    assert cost_of(path) == Cost(None, None, "int8")


def test_graph_and_checkpoint_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5x5 stride 4 from 3 to 8 channels, two 3x3 heads from 8 to 5 and 1, all at 24x40: also in the file that is
    exported for a processor, whose graph is another one.
    """
    macs = 24 * 40 * (8 * 75 + 6 * 72)
    config = make_config(data={"size": f"{SIZE[0]}x{SIZE[1]}"})
    monkeypatch.setattr(checkpoint, "load_generator", lambda run: (make_generator(), config))
    exported = export_checked(make_generator(), make_metadata(), tmp_path / "m.onnx", [make_frame(0)])
    graph, run = cost_of(exported.path), cost_of(tmp_path)
    assert run.gmacs == pytest.approx(macs / 1e9) and graph.gmacs == exported.metadata.gmacs == run.gmacs
    assert run.parameters == sum(p.numel() for p in make_generator().parameters())
    assert torch.is_inference_mode_enabled() is False
