"""Weights for CREStereo by the recipe of the conformance data, and small ONNX graphs in the public models' shapes."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn


def made_up_weights(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Fill the model's parameters: per sorted key one generator, normal of standard deviation fan_in ** -0.5."""
    filled: dict[str, Tensor] = {}
    for number, (key, value) in enumerate(sorted(model.state_dict().items())):
        generator = torch.Generator().manual_seed(100000 * seed + number)
        if value.ndim >= 2:
            filled[key] = torch.randn(value.shape, generator=generator) * value[0].numel() ** -0.5
        elif key.endswith("weight"):
            filled[key] = torch.ones_like(value)
        else:
            filled[key] = torch.randn(value.shape, generator=generator) * 0.02
    return filled


def onnx_model(
    path: Path,
    pair: tuple[int, int] | tuple[str, str],
    *,
    flow: tuple[int, int] | tuple[str, str] | None = None,
    half: tuple[int, int] | None = None,
    order: str = "half first",
    elements: int = TensorProto.FLOAT,
) -> Path:
    """Write a stand-in with a CREStereo export's inputs; sizes are (width, height).

    Channel 0 of its answer is a tenth of the left image's first channel (blue, were it fed BGR), plus a
    hundredth of the right one's third, plus whatever the smaller pass says: its mean over all pixels of flow
    channel 0, or of the half pair's left minus right first channel. So every input's place shows.
    """
    inputs, nodes, constants = [], [], []

    def image(name: str, size: tuple[object, object], channels: int = 3) -> None:
        inputs.append(helper.make_tensor_value_info(name, elements, [1, channels, size[1], size[0]]))

    def channel(name: str, index: int, factor: float, result: str) -> None:
        constants.append(numpy_helper.from_array(np.array([index]), f"{result}_index"))
        constants.append(numpy_helper.from_array(np.array(factor, np.float32), f"{result}_factor"))
        nodes.append(helper.make_node("Cast", [name], [f"{result}_float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Gather", [f"{result}_float", f"{result}_index"], [f"{result}_one"], axis=1))
        nodes.append(helper.make_node("Mul", [f"{result}_one", f"{result}_factor"], [result]))

    if half is not None and order == "half first":
        image("a", half)
        image("b", half)
    image("c", pair)
    image("d", pair)
    if half is not None and order != "half first":
        image("a", half)
        image("b", half)
    if flow is not None:
        image("e", flow, 2)
    channel("c", 0, 0.1, "left")
    channel("d", 2, 0.01, "right")
    nodes.append(helper.make_node("Add", ["left", "right"], ["disparity"]))
    last = "disparity"
    for name, sign in (("e", 1.0),) * (flow is not None) + (("a", 1.0), ("b", -1.0)) * (half is not None):
        channel(name, 0, sign, f"start_{name}")
        nodes.append(helper.make_node("ReduceMean", [f"start_{name}"], [f"mean_{name}"], keepdims=1))
        nodes.append(helper.make_node("Add", [last, f"mean_{name}"], [f"sum_{name}"]))
        last = f"sum_{name}"
    nodes.append(helper.make_node("Concat", [last, last], ["output"], axis=1))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 2, pair[1], pair[0]])
    graph = helper.make_graph(nodes, "stand-in", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
