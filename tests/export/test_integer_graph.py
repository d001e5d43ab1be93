"""Each change of the graph must leave the function as it was."""

import copy
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantize.calibrate import channel_statistics
from export.quantize.int8 import Target, layers_of, read_floats, separate_pooling, shield_float_convolutions
from export.quantize.weights import correct_biases, equalize, give_biases, scalable_groups

FRAMES = [np.random.default_rng(i).integers(0, 256, (20, 28, 3), dtype=np.uint8) for i in range(3)]


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def inverted_residual() -> onnx.ModelProto:
    """Frame, stem, hard swish, squeeze-and-excitation, projection, residual around a pooling and a convolution."""
    arrays = {
        "stem": weights(0, 6, 3, 3, 3) / 100,
        "squeeze": weights(1, 4, 6, 1, 1),
        "excite": weights(2, 6, 4, 1, 1),
        "project": weights(3, 5, 6, 1, 1) * np.geomspace(0.01, 30, 5, dtype=np.float32)[:, None, None, None],
        "project_bias": weights(4, 5),
        "top": weights(5, 5, 5, 1, 1),
        "deep": weights(6, 5, 1, 3, 3),
        "last": weights(7, 2, 5, 1, 1),
        "axes": np.array([2, 3], np.int64),
    }

    def make(operator: str, ins: str, out: str, **values: object) -> onnx.NodeProto:
        return helper.make_node(operator, ins.split(), [out], f"n_{out}", **values)

    nodes = [
        make("Transpose", "image", "planes", perm=[0, 3, 1, 2]),
        make("Cast", "planes", "x", to=TensorProto.FLOAT),
        make("Conv", "x stem", "a", pads=[1, 1, 1, 1], strides=[2, 2]),
        make("HardSwish", "a", "b"),
        make("ReduceMean", "b axes", "mean"),
        make("Conv", "mean squeeze", "c"),
        make("Relu", "c", "d"),
        make("Conv", "d excite", "e"),
        make("HardSigmoid", "e", "gate", alpha=1 / 6, beta=0.5),
        make("Mul", "gate b", "f"),
        make("Conv", "f project project_bias", "g"),
        make("Relu", "g", "r"),
        make("MaxPool", "r", "pooled", kernel_shape=[5, 3], pads=[2, 1, 2, 1], strides=[1, 1]),
        make("Conv", "pooled top", "h"),
        make("Add", "r h", "sum"),
        make("Conv", "sum deep", "i", group=5, pads=[1, 1, 1, 1]),
        make("Conv", "i last", "out"),
    ]
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 20, 28, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 2, 10, 14])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [session.run(None, {"image": frame[None]})[0] for frame in FRAMES]


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("change", [separate_pooling, give_biases])
def test_equal_forms(change: Callable[[onnx.GraphProto], None]) -> None:
    model = inverted_residual()
    wanted, before = run(model), model.SerializeToString()
    change(model.graph)
    assert model.SerializeToString() != before
    for ours, theirs in zip(run(model), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_pooling_by_rows_and_columns_is_exact() -> None:
    model = inverted_residual()
    wanted = run(model)
    separate_pooling(model.graph)
    kernels = [list(n.attribute[0].ints) for n in model.graph.node if n.op_type == "MaxPool"]
    assert kernels == [[1, 3], [5, 1]]
    for ours, theirs in zip(run(model), wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_equalized_channels() -> None:
    """The depthwise convolution's output, in a group of its own, ends with channels of one range; no output changes."""
    model = inverted_residual()
    give_biases(model.graph)
    groups = [set(group) for group in scalable_groups(model.graph)]
    assert {"i"} in groups and {"g", "r", "pooled", "h", "sum"} in groups
    assert not any(group & {"a", "x", "out", "gate"} for group in groups)
    even = copy.deepcopy(model)
    equalize(even, FRAMES)
    for ours, theirs in zip(run(even), run(model), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())
    before, after = (channel_statistics(one, ["i"], FRAMES)["i"].largest for one in (model, even))
    assert before.max() / before.min() > 2
    np.testing.assert_allclose(after, after[0], rtol=1e-3)


@pytest.mark.parametrize(("target", "there"), [("cpu", False), ("gpu", True)])
@pytest.mark.parametrize("part", ["encoder.features.4.block.0.0", "kernels.grown.stage2_depth.body.2"])
def test_the_encoder_and_what_grew_beside_it_stay_in_float_on_processors(
    part: str, target: Target, there: bool
) -> None:
    model = inverted_residual()
    name = f"generator.{part}.weight"
    for value in model.graph.initializer:
        value.name = name if value.name == "project" else value.name
    for node in model.graph.node:
        node.input[:] = [name if one == "project" else one for one in node.input]
    found = {layer.name for layer in layers_of(onnx.shape_inference.infer_shapes(model), target)}
    assert "top" in found and "deep" in found
    assert (name.removeprefix("generator.").removesuffix(".weight") in found) == there


def rounded_pooling() -> onnx.ModelProto:
    """The block with a pooled map in 8 bits before the convolution that reads it."""
    model = inverted_residual()
    graph = model.graph
    for name, array in (("s", np.array(0.5, np.float32)), ("z", np.array(3, np.uint8))):
        graph.initializer.append(numpy_helper.from_array(array, name))
    at = next(i for i, node in enumerate(graph.node) if node.name == "n_h")
    graph.node[at].input[0] = "dequantised"
    graph.node.insert(at, helper.make_node("DequantizeLinear", ["quantised", "s", "z"], ["dequantised"], "dq"))
    graph.node.insert(at, helper.make_node("QuantizeLinear", ["pooled", "s", "z"], ["quantised"], "q"))
    return model


@pytest.mark.parametrize(("kept", "same"), [({"n_pooled", "n_h"}, True), ({"n_h"}, False), ({"n_pooled"}, False)])
def test_floats_read_what_floats_made(kept: set[str], same: bool) -> None:
    """Not where an integer made it, nor where an integer reads it."""
    model = rounded_pooling()
    read_floats(model.graph, kept)
    wanted = run(inverted_residual() if same else rounded_pooling())
    for ours, theirs in zip(run(model), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_kept_layers_are_shielded() -> None:
    model = rounded_pooling()
    graph = model.graph
    wanted = run(model)
    shield_float_convolutions(graph)
    assert operators(model).count("Max") == 1
    for ours, theirs in zip(run(model), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_channels_of_grouped_convolutions(groups: int) -> None:
    """Evened out and corrected by the channels each output reads: all, those of its group, its own."""
    arrays = {
        "stem": weights(0, 6, 3, 3, 3) * np.geomspace(0.01, 1, 6, dtype=np.float32)[:, None, None, None],
        "grouped": weights(1, 12, 6 // groups, 3, 3),
        "shift": weights(2, 12),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], "t", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["x"], "c", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "stem"], ["a"], "n_a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "n_b"),
        helper.make_node("Conv", ["b", "grouped", "shift"], ["out"], "n_out", group=groups),
    ]
    graph = helper.make_graph(
        nodes,
        "grouped",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 20, 28, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 12, 18, 26])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    give_biases(model.graph)
    even = copy.deepcopy(model)
    equalize(even, FRAMES)
    wanted, found = run(model)[0], run(even)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    before, after = (channel_statistics(one, ["b"], FRAMES)["b"].largest for one in (model, even))
    assert before.max() / before.min() > 20 > 5 > after.max() / after.min()
    # A weight rounded coarsely: behind the correction, the mean output is what it was for an input of equal pixels.
    coarse, mean = copy.deepcopy(model), np.arange(1.0, 7)
    integers = np.round(arrays["grouped"] / 0.5).astype(np.int8)
    for name, array in (("q", integers), ("s", np.array(0.5, np.float32)), ("z", np.array(0, np.int8))):
        coarse.graph.initializer.append(numpy_helper.from_array(array, name))
    coarse.graph.node.insert(0, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["rounded"], "dq"))
    coarse.graph.node[-1].input[1] = "rounded"
    correct_biases(coarse.graph, model.graph, {"b": mean})
    bias = {one.name: numpy_helper.to_array(one) for one in coarse.graph.initializer}["shift"]
    error = integers * 0.5 - arrays["grouped"].astype(np.float64)
    for channel in range(12):
        group = channel * groups // 12
        read = mean[group * 6 // groups : (group + 1) * 6 // groups]
        assert bias[channel] == pytest.approx(arrays["shift"][channel] - error[channel].sum((1, 2)) @ read, abs=1e-4)
