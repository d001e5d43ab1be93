"""Rounded weights shift a convolution's mean output; its bias takes the shift back.

The shift is the weights' rounding error times the mean of the inputs (Nagel et al. 2019, equation 17). It is far larger
than the rest of the error where a channel's mean is far above its deviation, as behind batch norms and pooling.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph.edits import constant, makers


def give_biases(graph: onnx.GraphProto) -> None:
    """Give every convolution without a bias one of zeros, so that there is a place for the correction."""
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 2:
            weight = constant(graph, node.input[1])
            if weight is not None:
                zeros = np.zeros(len(weight), np.float32)
                graph.initializer.append(numpy_helper.from_array(zeros, f"{node.input[1]}_zero_bias"))
                node.input.append(f"{node.input[1]}_zero_bias")


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
        depthwise = weight.shape[1] == 1 and len(weight) > 1
        shift = sums[:, 0] * mean if depthwise else sums @ mean
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
