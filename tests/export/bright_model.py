"""An ONNX model whose depth is a quarter of the red value in metres, made by hand: any scale error can be painted."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.graph.metadata import DEPTH, ZOOM, Metadata, to_properties

SIZE = (24, 12)


def bright_graph(zoom: float | None, other: bool = False) -> onnx.ModelProto:
    """depth_m = clip(red / 4, 1, 80) `[1,12,24]`, of a file of format 1; with a `zoom`, clip(red / 4 * lens_zoom, 1,
    80), `lens_zoom` an input with that default, which goes through a node that nothing else reads. `other`: an output
    "other" that reads the zoom, too: red / lens_zoom.
    """
    width, height = SIZE
    constants = {"red": np.array([0], np.int64), "quarter": np.float32(0.25), "low": np.float32(1)}
    constants |= {"high": np.float32(80), "last": np.array([3], np.int64)}
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Gather", ["floats", "red"], ["picked"], axis=3, name="pick"),
        helper.make_node("Squeeze", ["picked", "last"], ["bright"], name="squeeze"),
        helper.make_node("Mul", ["bright", "quarter"], ["metres"], name="metres"),
    ]
    value, inputs = "metres", [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])]
    outputs = [helper.make_tensor_value_info(DEPTH, TensorProto.FLOAT, [1, height, width])]
    if zoom is not None:
        constants[ZOOM] = np.array([zoom], np.float32)
        constants["shape"] = np.array([1, 1, 1], np.int64)
        inputs.append(helper.make_tensor_value_info(ZOOM, TensorProto.FLOAT, [1]))
        nodes.append(helper.make_node("Reshape", [ZOOM, "shape"], ["shaped"], name="shape"))
        nodes.append(helper.make_node("Mul", ["metres", "shaped"], ["zoomed"], name="zoom"))
        value = "zoomed"
        if other:
            nodes.append(helper.make_node("Div", ["bright", "shaped"], ["other"], name="other"))
            outputs.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, height, width]))
    nodes.append(helper.make_node("Clip", [value, "low", "high"], [DEPTH], name="clip"))
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "bright", inputs, outputs, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def write_bright(path: Path, zoom: float | None = None) -> Path:
    """The model with its metadata, in a file."""
    version = {"format_version": 1} if zoom is None else {"zoom": zoom, "lens_outputs": (DEPTH,)}
    metadata = Metadata("0.1.0", SIZE, outputs=(DEPTH,), depth_range_m=(1.0, 80.0), **version)
    proto = bright_graph(zoom)
    helper.set_model_props(proto, to_properties(metadata))
    onnx.save(proto, path)
    return path


def painted(metres: NDArray[np.floating], scale: float) -> NDArray[np.uint8]:
    """A picture `[H,W,3]` of which the model says these metres `[H,W]` times `scale`."""
    red = np.clip(np.rint(4 * scale * metres), 0, 255).astype(np.uint8)
    return np.stack([red, np.zeros_like(red), np.zeros_like(red)], axis=2)
