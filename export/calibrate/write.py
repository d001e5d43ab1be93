"""Writing a factor on depth into a new file: into an ONNX graph, or beside the weights of a checkpoint."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import DEPTH, ZOOM, from_properties, to_properties
from preprocessing.ground import InputError, atomic_write

SCALE = "depth_scale"
"""The initializer, float32 [1], that depth is multiplied by."""
_SAME_VALUE = ("Cast", "Expand", "Identity", "Reshape", "Squeeze", "Unsqueeze")
_RAW = f"{DEPTH}_unscaled"


def write_scaled(model: Path, out: Path, factor: float, record: Mapping[str, Any]) -> None:
    """Write the model with all its metres times `factor`; `record` of how that was found goes into it.

    model: an exported `.onnx`, a run folder or a `.pt` checkpoint. Raises: InputError for a file without depth, or
    where the package onnx is missing.
    """
    if model.suffix == ".onnx":
        _write_onnx(model, out, factor, record)
    else:
        _write_checkpoint(model, out, factor, record)


def _write_onnx(path: Path, out: Path, factor: float, record: Mapping[str, Any]) -> None:
    try:
        import onnx
    except ModuleNotFoundError:
        raise InputError("calibrate: writing an .onnx file needs the package onnx; pip install onnx") from None
    proto = onnx.load(path)
    properties = {one.key: one.value for one in proto.metadata_props}
    metadata = from_properties(properties, path)
    scale_depth(proto, factor, metadata.depth_range_m)
    changed = replace(metadata, depth_scale=metadata.depth_scale * factor, calibration=dict(record))
    onnx.helper.set_model_props(proto, {**properties, **to_properties(changed)})
    onnx.checker.check_model(proto)
    with atomic_write(out) as temporary:
        onnx.save(proto, temporary)


def scale_depth(proto: Any, factor: float, range_m: tuple[float, float] | None) -> None:
    """Multiply the depth of an ONNX model (a `ModelProto`, which is changed), before it is clipped where that can be.

    A file with the input `lens_zoom` multiplies depth by that, then clips, then marks the sky: what depth reads of it
    is multiplied, so that another lens given at run time keeps the factor. In an older one the output itself is
    multiplied and clipped once more. A file that has a factor already gets the product.
    Raises: InputError where there is no depth.
    """
    from onnx import helper, numpy_helper

    graph = proto.graph
    for value in graph.initializer:
        if value.name == SCALE:
            array = numpy_helper.to_array(value)
            value.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), SCALE))
            return
    output = next((one for one in graph.output if one.name == DEPTH), None)
    if output is None:
        raise InputError("calibrate: this model has no depth")
    names = {value.name for value in (*graph.input, *graph.initializer)}
    if ZOOM in names:
        graph.initializer.append(numpy_helper.from_array(np.array([factor], np.float32), SCALE))
        _scale_reads(graph, helper)
        return
    kind = helper.tensor_dtype_to_np_dtype(output.type.tensor_type.elem_type)
    low, high = range_m or (0.0, np.inf)
    constants = {SCALE: [factor], f"{SCALE}_low": low, f"{SCALE}_high": high}
    graph.initializer.extend(numpy_helper.from_array(np.array(value, kind), name) for name, value in constants.items())
    for node in graph.node:
        for names_of in (node.input, node.output):
            names_of[:] = [_RAW if name == DEPTH else name for name in names_of]
    graph.node.extend(
        [
            helper.make_node("Mul", [_RAW, SCALE], [f"{_RAW}_times"], name=SCALE),
            helper.make_node("Clip", [f"{_RAW}_times", f"{SCALE}_low", f"{SCALE}_high"], [DEPTH], name=f"{SCALE}_clip"),
        ]
    )


def _scale_reads(graph: Any, helper: Any) -> None:
    """Let the nodes that only depth comes of read the product of zoom and factor; normals know no scale."""
    reach = _reached(graph)
    zooms, products, nodes = {ZOOM}, dict[str, str](), []
    for node, reached in zip(graph.node, reach, strict=True):
        copy = type(node).FromString(node.SerializeToString())
        read = [name for name in node.input if name in zooms]
        if read and reached == {DEPTH}:
            for name in read:
                if name not in products:
                    products[name] = f"{name}_times_{SCALE}"
                    nodes.append(helper.make_node("Mul", [name, SCALE], [products[name]], name=products[name]))
            copy.input[:] = [products.get(name, name) for name in node.input]
        elif read and node.op_type in _SAME_VALUE:
            zooms |= set(node.output)
        nodes.append(copy)
    if not products:
        raise InputError(f"calibrate: {ZOOM} is not read for depth alone in this graph; export the model again")
    del graph.node[:]
    graph.node.extend(nodes)


def _reached(graph: Any) -> list[set[str]]:
    """Of each node, the outputs of the graph that come of it."""
    of_value = {one.name: {one.name} for one in graph.output}
    found: list[set[str]] = []
    for node in reversed(graph.node):  # makers stand before readers
        reached = set[str]().union(*(of_value.get(name, set()) for name in node.output))
        found.append(reached)
        for name in node.input:
            of_value.setdefault(name, set()).update(reached)
    return found[::-1]


def _write_checkpoint(path: Path, out: Path, factor: float, record: Mapping[str, Any]) -> None:
    from advmtl.training import checkpoint_path, load_checkpoint, save_checkpoint

    state, config = load_checkpoint(checkpoint_path(path))
    depth = config.depth.model_copy(update={"scale": config.depth.scale * factor})
    save_checkpoint(out, {**state, "calibration": dict(record)}, config.model_copy(update={"depth": depth}))
