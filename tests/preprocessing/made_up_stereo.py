"""Small ONNX files with the signatures of stereo networks: block matchers as graphs, which give true disparities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8
Side = int | str
# Levels 0..32 of what each range holds: fed another range, pictures lose all they show.
SLOPES = {"0..255": (32 / 255, 0.0), "0..1": (32.0, 0.0), "-1..1": (16.0, 16.0), "imagenet": (0.0, 0.0)}


@dataclass
class Graph:
    """Nodes and constants under construction."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def part(self, value: str, axis: int, start: int, stop: int) -> str:
        starts, stops, axes = (self.constant(np.int64([one])) for one in (start, stop, axis))
        return self.add("Slice", value, starts, stops, axes)


def stereo_model(
    path: Path,
    size: tuple[Side, Side],
    *,
    names: Sequence[str] = ("left", "right"),
    outputs: Sequence[str] = ("disparity",),
    channels: int = 3,
    last: bool = False,
    stacked: str = "",
    elements: int = FLOAT,
    expects: str = "0..255",
    only_channel: int | None = None,
    searched: int = 24,
    reduced: int = 1,
    factor: float = 1.0,
    inverse: bool = False,
    shape: str = "n1hw",
    most_rows: int | None = None,
) -> Path:
    """Write a block matcher: sums of absolute differences over 7x7 pixels, the best of `searched` disparities.

    Args:
        size: (width, height) of its input; a text leaves that side open.
        names: Of its inputs, left first; one where `stacked` is "channels", "batch" or "axis".
        outputs: Of its outputs: the last one is the answer, those before it a quarter of it, negative.
        expects: Range that its input must have; in another it sees next to nothing.
        only_channel: The one channel that it looks at.
        reduced, factor: Its answer is smaller by the first, and multiplied by the second.
        inverse: It answers `factor` / disparity.
        most_rows: It cannot be run on taller pictures.
        shape: Of its answer: n1hw, nhw, hw, nhw1, flow (two channels), list (three, the last one right).
    """
    graph = Graph()
    inputs, pair = _inputs(graph, names, size, channels, last, stacked, elements)
    if elements == BYTE:
        assert expects == "0..255"
    left, right = (_seen(graph, one, expects, only_channel) for one in pair)
    disparity = _matched(graph, left, right, searched)
    if most_rows is not None:
        # A gather beyond the end of as many numbers as there may be rows fails when it is run.
        last = graph.add("Sub", graph.part(graph.add("Shape", disparity), 0, 2, 3), graph.constant(np.int64([1])))
        none = graph.add("Gather", graph.constant(np.zeros(most_rows, np.float32)), last)
        disparity = graph.add("Add", disparity, none)
    if reduced > 1:
        steps = graph.constant(np.int64([reduced, reduced]))
        zeros, ends, axes = (graph.constant(np.int64(v)) for v in ([0, 0], [2**31, 2**31], [2, 3]))
        disparity = graph.add("Slice", disparity, zeros, ends, axes, steps)
    if inverse:
        disparity = graph.add("Max", disparity, graph.constant(np.float32(0.25)))
        disparity = graph.add("Div", graph.constant(np.float32(factor)), disparity)
    else:
        disparity = graph.add("Mul", disparity, graph.constant(np.float32(factor)))
    return _write(path, graph, inputs, outputs, _shaped(graph, disparity, shape), elements, disparity)


def _inputs(
    graph: Graph, names: Sequence[str], size: tuple[Side, Side], channels: int, last: bool, stacked: str, elements: int
) -> tuple[list[Any], list[str]]:
    """Inputs as declared, and the pair as float [1, C, H, W]."""
    width, height = size
    count = 2 * channels if stacked == "channels" else channels
    sides: list[Side] = [height, width, count] if last else [count, height, width]
    full = {"batch": [2, *sides], "axis": [1, 2, *sides]}.get(stacked, [1, *sides])
    declared = [helper.make_tensor_value_info(name, elements, full) for name in names]
    values = [graph.add("Cast", name, to=FLOAT) for name in names]
    if stacked == "axis":
        values = [graph.add("Squeeze", values[0], graph.constant(np.int64([0])))]
    if last:
        values = [graph.add("Transpose", value, perm=[0, 3, 1, 2]) for value in values]
    if stacked:
        axis, step = (1, channels) if stacked == "channels" else (0, 1)
        values = [graph.part(values[0], axis, 0, step), graph.part(values[0], axis, step, 2 * step)]
    return declared, values


def _seen(graph: Graph, value: str, expects: str, only_channel: int | None) -> str:
    if expects == "imagenet":
        value = graph.add("Mul", value, graph.constant(32 * DEVIATION.reshape(1, 3, 1, 1)))
        value = graph.add("Add", value, graph.constant(32 * MEAN.reshape(1, 3, 1, 1)))
    else:
        slope, offset = SLOPES[expects]
        value = graph.add("Mul", value, graph.constant(np.float32(slope)))
        value = graph.add("Add", value, graph.constant(np.float32(offset)))
    if only_channel is not None:
        value = graph.part(value, 1, only_channel, only_channel + 1)
    # Coarse steps around mid-grey, where the test pictures have their values: in a range with another middle, or of a
    # smaller contrast, hardly a step is left.
    step, most = (5, 2) if expects == "imagenet" else (3, 7)
    value = graph.add("Mul", value, graph.constant(np.float32(1 / step)))
    value = graph.add("Floor", graph.add("Add", value, graph.constant(np.float32(0.01))))
    return graph.add("Clip", value, graph.constant(np.float32(1)), graph.constant(np.float32(most)))


def _matched(graph: Graph, left: str, right: str, searched: int) -> str:
    """float [1, 1, H, W]: the disparity of the least cost."""
    costs = []
    for d in range(searched):
        # A pad of -d cuts off what is moved out of the picture; nothing of a picture is as bright as what comes in.
        pads = graph.constant(np.int64([0, 0, 0, d, 0, 0, 0, -d]))
        moved = graph.add("Pad", right, pads, graph.constant(np.float32(64)))
        apart = graph.add("Abs", graph.add("Sub", left, moved))
        mean = graph.add("ReduceMean", apart, axes=[1], keepdims=1)
        costs.append(graph.add("AveragePool", mean, kernel_shape=[7, 7], pads=[3, 3, 3, 3]))
    volume = graph.add("Concat", *costs, axis=1)
    return graph.add("Cast", graph.add("ArgMin", volume, axis=1, keepdims=1), to=FLOAT)


def _shaped(graph: Graph, value: str, shape: str) -> str:
    if shape in ("nhw", "hw"):
        return graph.add("Squeeze", value, graph.constant(np.int64([1] if shape == "nhw" else [0, 1])))
    if shape == "nhw1":
        return graph.add("Transpose", value, perm=[0, 2, 3, 1])
    if shape == "flow":
        return graph.add("Concat", value, graph.add("Neg", value), axis=1)
    if shape == "list":
        return graph.add("Concat", graph.add("Neg", value), graph.add("Neg", value), value, axis=0)
    return value


def _write(
    path: Path, graph: Graph, inputs: list[Any], outputs: Sequence[str], answer: str, elements: int, disparity: str
) -> Path:
    kind = HALF if elements == HALF else FLOAT
    values = []
    for name in outputs:
        value = answer
        if name != outputs[-1]:
            zeros, ends, axes, steps = (graph.constant(np.int64(v)) for v in ([0, 0], [2**31, 2**31], [2, 3], [4, 4]))
            value = graph.add("Neg", graph.add("Slice", disparity, zeros, ends, axes, steps))
        graph.nodes.append(helper.make_node("Cast", [value], [name], to=kind))
        values.append(helper.make_tensor_value_info(name, kind, None))
    made = helper.make_graph(graph.nodes, "stand-in", inputs, values, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, path)
    return path
