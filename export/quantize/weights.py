"""Preparing weights for 8 bits: channel equalisation, bias correction, and no saturating products on any CPU.

Equalisation: channels of one value are brought to like ranges, so that one 8-bit scale serves them all; the function
stays the same. A channel that reaches 60 leaves one that reaches 1 with four of 256 steps. Where only operators lie
between convolutions that commute with a positive factor per channel, the factor is divided out of the weights before
and multiplied into those behind (Nagel et al. 2019, equations 8 and 9), with factors from measured ranges (Xiao et al.
2023, equation 4) in the place of those from weights.

Bias correction: rounded weights shift a convolution's mean output; its bias takes the shift back. The shift is the
weights' rounding error times the mean of the inputs (Nagel et al. 2019, equation 17). It is far larger than the rest of
the error where a channel's mean is far above its deviation, as behind batch norms and pooling.

Saturation: x86 without VNNI multiplies uint8 values by int8 weights with `vpmaddubsw`, which adds two neighbouring
products in 16 bits and saturates (Intel's Software Developer's Manual, volume 2). With VNNI the sum has 32 bits. ONNX
Runtime takes what the processor has, so the same file would give other numbers on another one. Where the weights of
each pair sum to 128 at most in either direction, 255 * 128 = 32640 fits, and all of them agree.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph import attributes, constant, makers, set_constant
from export.quantize.calibrate import channel_statistics

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
        if node.output[0] in group:
            set_constant(graph, node.input[1], constant(graph, node.input[1]) / factor[:, None, None, None])
            if len(node.input) == 3:
                set_constant(graph, node.input[2], constant(graph, node.input[2]) / factor)
        if node.input[0] in group:
            set_constant(graph, node.input[1], constant(graph, node.input[1]) * _along_inputs(node, weight, factor))


def _along_inputs(node: onnx.NodeProto, weight: NDArray, factor: NDArray) -> NDArray:
    """Factors of the input channels as the weight [out,in/groups,h,w] of a convolution has them."""
    groups = attributes(node).get("group", 1)
    assert isinstance(groups, int)
    by_group = factor.reshape(groups, -1)  # an output channel reads those of its group
    return np.repeat(by_group, weight.shape[0] // groups, axis=0)[:, :, None, None]


def give_biases(graph: onnx.GraphProto) -> None:
    """Give every convolution without a bias one of zeros, so that there is a place for the correction."""
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:
            weight = constant(graph, node.input[1])
            if weight is not None:
                name = f"{node.output[0]}_zero_bias"  # its own, where several convolutions share a weight
                graph.initializer.append(numpy_helper.from_array(np.zeros(len(weight), np.float32), name))
                node.input.append(name)


def correct_biases(
    quantised: onnx.GraphProto, original: onnx.GraphProto, means: Mapping[str, NDArray[np.float64]]
) -> None:
    """Correct the biases of all convolutions with 8-bit weights, in place.

    original: the graph that was quantised. means: mean `[C]` of every convolution's input, by the name it has there.
    """
    made_by = makers(quantised)
    values = {value.name: value for value in quantised.initializer}
    before = {node.name: node for node in original.node if node.op_type == "Conv"}
    for node in quantised.node:
        if node.op_type != "Conv" or node.input[1] not in made_by or node.name not in before:
            continue
        mean = means.get(before[node.name].input[0])
        weight = constant(original, before[node.name].input[1])
        if mean is None or weight is None:
            continue
        integers, scale, zero = (numpy_helper.to_array(values[name]) for name in made_by[node.input[1]].input)
        rounded = (integers.astype(np.float64) - zero.reshape(-1, 1, 1, 1)) * scale.reshape(-1, 1, 1, 1)
        error = rounded - weight
        sums = error.sum(axis=(2, 3))
        # Channels read those of their group: one each where the convolution is depthwise, all where it has one group.
        by_group = mean.reshape(-1, weight.shape[1])
        shift = (sums * np.repeat(by_group, len(weight) // len(by_group), axis=0)).sum(1)
        _subtract(made_by, values, node, shift)


def _subtract(made_by: Mapping[str, onnx.NodeProto], values: dict, node: onnx.NodeProto, shift: NDArray) -> None:
    maker = made_by.get(node.input[2])
    name = node.input[2] if maker is None else maker.input[0]
    bias = numpy_helper.to_array(values[name])
    if maker is None:
        corrected = (bias - shift).astype(np.float32)
    else:
        step = numpy_helper.to_array(values[maker.input[1]]).astype(np.float64)
        corrected = np.clip(bias - np.round(shift / step), -(2**31), 2**31 - 1).astype(np.int32)
    values[name].CopyFrom(numpy_helper.from_array(corrected, name))


LARGEST = 127  # of int8, symmetric

INT16 = 32767

VALUE = 255  # the largest uint8


def pair_reach(weight: NDArray) -> NDArray[np.float64]:
    """How far the sum of two neighbouring weights gets from 0, largest of each output channel of `weight` [O,I,kh,kw].

    A value of 0 drops its weight, so weights of either sign are summed apart. Kernels lay weights out channels last, in
    which input channels are neighbours, or channels first, in which the kernel's columns are; both are counted.

    Returns: float64 `[O]`, at least the largest magnitude of a single weight.
    """
    largest = np.zeros(len(weight))
    for order in ((0, 2, 3, 1), (0, 1, 2, 3)):
        rows = np.asarray(weight, np.float64).transpose(order).reshape(len(weight), -1)
        rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
        for signed in (rows, -rows):
            sums = np.maximum(signed, 0).reshape(len(rows), -1, 2).sum(2)
            largest = np.maximum(largest, sums.max(1))
    return largest


def safe_reach(weight: NDArray) -> NDArray[np.float64]:
    """The real value `[O]` that the integer 127 shall stand for in each output channel of `weight` [O,I,kh,kw].

    Rounding adds a half to each of a pair, so sums of 127 before it are of 128 at most after it.
    """
    return np.maximum(pair_reach(weight), np.finfo(np.float32).tiny)


def is_depthwise(weight: NDArray) -> bool:
    """Whether `weight` [O,I,kh,kw] is of a convolution with a channel for each group."""
    return weight.shape[1] == 1 and len(weight) > 1


def saturates(integers: NDArray[np.int8]) -> bool:
    """Whether int8 weights `[O,I,kh,kw]` and some uint8 values overflow 16 bits in a pair of products."""
    return bool((VALUE * pair_reach(integers) > INT16).any())


def overflowing(graph: onnx.GraphProto) -> list[str]:
    """The convolutions of a graph in QDQ form whose 8-bit weights `saturates` holds for.

    uint8 weights never do: ONNX Runtime widens them before the product where it has no VNNI. Depthwise ones are
    multiplied in 32 bits.
    """
    made_by, found = makers(graph), []
    for node in graph.node:
        back = made_by.get(node.input[1]) if node.op_type == "Conv" else None
        if back is None or back.op_type != "DequantizeLinear":
            continue
        weight = constant(graph, back.input[0])
        if weight is not None and weight.dtype == np.int8 and not is_depthwise(weight) and saturates(weight):
            found.append(node.name)
    return found
