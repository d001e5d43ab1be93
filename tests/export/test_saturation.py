"""Without VNNI, x86 adds pairs of 8-bit products in 16 bits and saturates; our weights never get there."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph.metadata import PRECISION, SAFE_INTEGERS
from export.quantize.weights import LARGEST, overflowing, pair_reach, safe_reach, saturates
from export.session.processor import Processor, integers_here

SHAPES = [(5, 7, 1, 1), (6, 8, 3, 3), (4, 3, 5, 1), (3, 1, 1, 1)]


def vpmaddubsw(values: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int64]:
    """Products of uint8 `[N,K]` and int8 `[O,K]`, as AVX2 adds them: pairs saturate at int16, the rest has 32 bits."""
    products = values[:, None].astype(np.int64) * weights
    products = np.pad(products, ((0, 0), (0, 0), (0, products.shape[2] % 2)))
    pairs = products.reshape(*products.shape[:2], -1, 2).sum(3)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(2)


def exact(values: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int64]:
    return values.astype(np.int64) @ weights.T.astype(np.int64)


def rounded(weight: NDArray, reach: NDArray) -> NDArray[np.int8]:
    """To integers, 127 standing for `reach` [O]."""
    return np.rint(weight / reach[:, None, None, None] * LARGEST).astype(np.int8)


def worst_values(rows: NDArray[np.int8], seed: int) -> NDArray[np.uint8]:
    """For each row of weights the values that bring its positive, then its negative sum to the top; and noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (20, rows.shape[1]))
    return np.concatenate([255 * (rows > 0), 255 * (rows < 0), noise]).astype(np.uint8)


def test_full_scale_products_saturate_without_vnni() -> None:
    values, weights = np.full((1, 8), 255, np.uint8), np.full((2, 8), 127, np.int8)
    weights[1] = -127
    assert exact(values, weights).tolist() == [[259080, -259080]]
    assert vpmaddubsw(values, weights).tolist() == [[4 * 32767, -4 * 32768]]
    assert saturates(weights.reshape(2, 8, 1, 1))


@pytest.mark.parametrize(
    ("pair", "wanted"),
    [((64, 64), False), ((127, 1), False), ((127, 2), True), ((-64, -64), False), ((-65, -64), True)],
)
def test_the_limit_is_128_in_either_direction(pair: tuple[int, int], wanted: bool) -> None:
    weight = np.array([[0, 0, *pair], [127, -127, -127, 127]], np.int8)
    assert saturates(weight.reshape(2, 4, 1, 1)) == wanted
    values = worst_values(weight, 0)
    assert (vpmaddubsw(values, weight) != exact(values, weight)).any() == wanted


def test_both_orders_of_weights_have_neighbours() -> None:
    """Channels last, 100 is beside the other channel's 5; channels first, beside 7 of the next column."""
    weight = np.array([[[[100.0, 7.0, 0.0, 0.0]], [[5.0, 0.0, 0.0, 0.0]]]])
    assert pair_reach(weight).tolist() == [107]
    assert pair_reach(weight[:, :, :, [0, 2, 1, 3]]).tolist() == [105]


@pytest.mark.parametrize("shape", SHAPES)
def test_rounded_weights_never_saturate(shape: tuple[int, ...]) -> None:
    """In either order, on the worst values; and no more of their range is given up than it takes."""
    for seed in range(20):
        weight = np.random.default_rng(seed).standard_t(3, size=shape)
        integers = rounded(weight, safe_reach(weight))
        assert not saturates(integers)
        assert (pair_reach(integers) >= LARGEST - 1).all()
        for order in ((0, 2, 3, 1), (0, 1, 2, 3)):
            rows = integers.transpose(order).reshape(len(integers), -1)
            values = worst_values(rows, seed)
            np.testing.assert_array_equal(vpmaddubsw(values, rows), exact(values, rows))
    full = rounded(weight, np.abs(weight).max((1, 2, 3)))
    assert saturates(full) == (shape[1:] != (1, 1, 1)), "the test must be able to fail"


def test_a_channel_of_zeros() -> None:
    weight = np.zeros((2, 4, 1, 1))
    weight[1, 0] = 3
    assert not rounded(weight, safe_reach(weight))[0].any()


@pytest.mark.parametrize("shape", [(16, 8, 1, 1), (5, 7, 1, 1), (8, 4, 3, 3)])
def test_onnx_runtime_agrees_with_integer_arithmetic(shape: tuple[int, int, int, int]) -> None:
    """A convolution at the edge of 16 bits, on whatever processor runs this; its scales are powers of two."""
    weight = np.random.default_rng(shape[1]).standard_t(3, size=shape)
    integers = rounded(weight, safe_reach(weight))
    out, into, high, wide = shape
    image = np.random.default_rng(1).choice([0, 255], (1, into, 6, 10)).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(image[0], (high, wide), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
    sums = exact(windows.reshape(-1, into * high * wide), integers.reshape(out, -1)).T
    scale = 2.0 ** -np.ceil(np.log2(np.abs(sums).max() / 100))
    wanted = np.clip(np.rint(sums * scale) + 128, 0, 255).astype(np.uint8)
    found = run_convolution(image, integers, scale)[0].reshape(out, -1)
    np.testing.assert_array_equal(found, wanted)
    assert wanted.min() < 110 and wanted.max() > 146


@pytest.mark.parametrize("channels", [5, 16])
def test_depthwise_products_have_32_bits(channels: int) -> None:
    """At full scale, on whatever processor runs this: so their weights keep their range."""
    weight = np.full((channels, 1, 3, 5), 127, np.int8)
    found = run_convolution(np.full((1, channels, 6, 10), 255, np.uint8), weight, 2.0**-13)
    assert found.shape == (1, channels, 4, 6) and (found == round(15 * 255 * 127 / 2**13) + 128).all()


def run_convolution(image: NDArray[np.uint8], weight: NDArray[np.int8], scale: float) -> NDArray[np.uint8]:
    """The integer sums times `scale` plus 128, as ONNX Runtime has them; one group, or one a channel."""
    arrays = {
        "xs": np.float32(1),
        "xz": np.uint8(0),
        "w": weight,
        "ws": np.ones(len(weight), np.float32),
        "wz": np.zeros(len(weight), np.int8),
        "ys": np.float32(1 / scale),
        "yz": np.uint8(128),
    }
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", ["x", *arrays], ["y"], group=image.shape[1] // weight.shape[1])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, image.shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.uint8] = session.run(None, {"x": image})[0]
    return found


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [
        (np.full((2, 4, 1, 1), 127, np.int8), ["conv"]),
        (np.full((2, 4, 1, 1), 64, np.int8), []),
        (np.full((4, 1, 1, 3), 127, np.int8), []),
        (np.full((2, 4, 1, 1), 255, np.uint8), []),
    ],
)
def test_overflowing_convolutions_are_found(weight: NDArray, wanted: list[str]) -> None:
    """Not depthwise ones, which are multiplied in 32 bits, nor those with uint8 weights."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["wide"], "back"),
        helper.make_node("Conv", ["x", "wide"], ["y"], "conv", group=len(weight) if weight.shape[1] == 1 else 1),
    ]
    arrays = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32(1), "s")]
    assert overflowing(onnx.GraphProto(node=nodes, initializer=arrays)) == wanted


@pytest.mark.parametrize(
    ("vnni", "safe", "wanted"),
    [
        (True, True, "int8 with VNNI: exact"),
        (None, True, "int8: exact"),
        (False, True, "int8 without VNNI: exact, but fp32 may be as fast here"),
        (False, False, "int8 without VNNI: products overflow and numbers differ"),
        (True, False, "int8 with VNNI: exact, but not without VNNI"),
    ],
)
def test_a_session_says_what_integers_do_here(vnni: bool | None, safe: bool, wanted: str) -> None:
    properties = {PRECISION: "int8"} | ({SAFE_INTEGERS: "yes"} if safe else {})
    note = integers_here(properties, Processor("Quick", "x86_64", vnni))
    assert note.startswith(wanted) and ("export it again" in note) == (not safe)
    assert integers_here({PRECISION: "fp16"}, Processor("Quick", "x86_64", vnni)) == ""
