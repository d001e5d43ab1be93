"""The graph's second input, the factor of the lens: an input with a value of its own, so that nobody has to give it.

ONNX lets an initializer be an input too (from IR 4 on): a runtime takes the value of the file where none is given.
Converters and quantisers know constants and inputs, and nothing between the two; so for them it is a constant.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from export.graph.edits import constant, set_constant
from export.graph.metadata import ZOOM


def offer_zoom(model: onnx.ModelProto, zoom: float | None = None) -> onnx.ModelProto:
    """Let the factor of the lens be given, `zoom` where it is not; None: as it is. The model itself, changed in place.

    A graph without it is left as it is.
    """
    graph = model.graph
    used = any(ZOOM in node.input for node in graph.node)
    if zoom is not None and used:
        set_constant(graph, ZOOM, np.full(_frames(graph), zoom, np.float32))
    held = constant(graph, ZOOM)
    if held is not None and used and all(one.name != ZOOM for one in graph.input):
        graph.input.append(helper.make_tensor_value_info(ZOOM, TensorProto.FLOAT, held.shape))
    return model


def _frames(graph: onnx.GraphProto) -> int:
    """How many frames the graph takes at a time: as many factors."""
    return int(graph.input[0].type.tensor_type.shape.dim[0].dim_value) or 1


def fix_zoom(model: onnx.ModelProto) -> onnx.ModelProto:
    """The opposite: the factor of the lens as a constant. The model itself, changed in place."""
    kept = [one for one in model.graph.input if one.name != ZOOM]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model
