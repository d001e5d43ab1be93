"""Scales of 8-bit weights with which no processor's products overflow.

x86 without VNNI multiplies uint8 values by int8 weights with `vpmaddubsw`, which adds two neighbouring products in 16
bits and saturates (Intel's Software Developer's Manual, volume 2). With VNNI the sum has 32 bits. ONNX Runtime takes
what the processor has, so the same file would give other numbers on another one. Where the weights of each pair sum to
128 at most in either direction, 255 * 128 = 32640 fits, and all of them agree.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.edits import constant, makers

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
