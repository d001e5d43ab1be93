"""Channels of one value brought to like ranges, so that one 8-bit scale serves them all; the function stays the same.

A channel that reaches 60 leaves one that reaches 1 with four of 256 steps. Where only operators lie between
convolutions that commute with a positive factor per channel, the factor is divided out of the weights before and
multiplied into those behind (Nagel et al. 2019, equations 8 and 9), with factors from measured ranges
(Xiao et al. 2023, equation 4) in the place of those from weights.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.edits import constant, set_constant
from export.quantize.calibration import channel_statistics

# f(s · x) = s · f(x) for a positive s per channel; Add needs it of both its inputs.
_COMMUTING = {"Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Resize", "Add"}
STRENGTH = 1.0
_SMALLEST = 1 / 256  # a dead channel must not blow up


class _Groups:
    """Values that must share their factors: a disjoint-set forest over their names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            name = parent
        return name

    def join(self, a: str, b: str) -> None:
        self._parent[self.find(a)] = self.find(b)


def scalable_groups(graph: onnx.GraphProto) -> list[list[str]]:
    """Groups of values whose channels may be scaled together: all their makers and readers can take a factor."""
    groups, fixed, values = _Groups(), set[str](), list[str]()
    fixed |= {value.name for value in [*graph.input, *graph.output]}
    for node in graph.node:
        computed = [name for name in node.input if name and constant(graph, name) is None]
        values += [name for name in node.output if name not in values]
        if node.op_type == "Conv":
            continue
        if node.op_type == "Mul" and len(computed) == 2 and (gated := _gated(graph, node)) is not None:
            groups.join(node.output[0], gated)
            fixed |= set(computed) - {gated}
        elif node.op_type in _COMMUTING and (node.op_type != "Add" or len(computed) == 2):
            for name in computed:
                groups.join(node.output[0], name)
        else:
            fixed |= {*computed, *node.output}
    barred = {groups.find(name) for name in fixed}
    members: dict[str, list[str]] = {}
    for name in values:
        if groups.find(name) not in barred:
            members.setdefault(groups.find(name), []).append(name)
    return list(members.values())


def _gated(graph: onnx.GraphProto, node: onnx.NodeProto) -> str | None:
    """Of the two factors of a product, the map that the other, the output of a HardSigmoid or Sigmoid, gates."""
    gates = {one.output[0] for one in graph.node if one.op_type in ("HardSigmoid", "Sigmoid")}
    maps = [name for name in node.input if name not in gates]
    return maps[0] if len(maps) == 1 else None


def equalize(model: onnx.ModelProto, frames: Sequence[NDArray[np.uint8]], strength: float = STRENGTH) -> None:
    """Even out the channels of all values that allow it, in place; ranges are measured on `frames`.

    strength: 1 makes all ranges equal and leaves the differences to the weights, 0 does nothing.
    """
    groups = scalable_groups(model.graph)
    names = [name for group in groups for name in group]
    ranges = {name: one.largest for name, one in channel_statistics(model, names, frames).items()}
    for group in groups:
        if len({ranges[name].shape for name in group}) > 1:
            continue
        # Relative to each value's own largest channel: every value has a scale of its own.
        share = np.max([ranges[name] / max(float(ranges[name].max()), 1e-12) for name in group], axis=0)
        _apply(model.graph, set(group), np.maximum(share, _SMALLEST) ** strength)


def _apply(graph: onnx.GraphProto, group: set[str], factor: NDArray) -> None:
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        weight = constant(graph, node.input[1])
        assert weight is not None
        depthwise = weight.shape[1] == 1 and weight.shape[0] > 1
        if node.output[0] in group:
            set_constant(graph, node.input[1], constant(graph, node.input[1]) / factor[:, None, None, None])
            if len(node.input) == 3:
                set_constant(graph, node.input[2], constant(graph, node.input[2]) / factor)
        if node.input[0] in group:
            along = factor[:, None, None, None] if depthwise else factor[None, :, None, None]
            set_constant(graph, node.input[1], constant(graph, node.input[1]) * along)
