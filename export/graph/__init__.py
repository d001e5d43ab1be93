"""The deployed network as one graph: inputs, outputs, metadata, and rearrangement for a target.

Each name is imported with its module when it is first asked for: a vehicle reads metadata without torch and onnx.
"""

TYPE_CHECKING = False  # as in `typing`
if TYPE_CHECKING:  # the same names as below, for type checkers; a test compares the two
    from export.graph.cost import gmacs_of
    from export.graph.cpu_graph import TARGETS, CpuDeployable, deployable_for
    from export.graph.deployable import Deployable
    from export.graph.description import describe
    from export.graph.edits import (
        attributes,
        before_convolutions,
        constant,
        consumers,
        drop_unused,
        in_order,
        makers,
        replace_nodes,
        set_constant,
    )
    from export.graph.lens_input import fix_zoom, offer_zoom
    from export.graph.metadata import (
        CLASSES,
        DEPTH,
        DEPTH_ERROR,
        IGNORED_CLASS,
        INPUT,
        JUDGED,
        KEY,
        MEASURED,
        OFFSETS,
        PRECISION,
        SAFE_INTEGERS,
        ZOOM,
        Metadata,
        from_json,
        from_properties,
        of_batch,
        to_properties,
    )
    from export.graph.properties import read_properties
    from export.graph.tensorrt_edits import fit_types, unsupported
    from export.graph.view import MAX_ZOOM, View, own_lens, told_lens, view_of

_NAMES = {
    "cost": "gmacs_of",
    "cpu_graph": "TARGETS CpuDeployable deployable_for",
    "deployable": "Deployable",
    "description": "describe",
    "edits": "attributes before_convolutions constant consumers drop_unused in_order makers replace_nodes set_constant",
    "lens_input": "fix_zoom offer_zoom",
    "metadata": "CLASSES DEPTH DEPTH_ERROR IGNORED_CLASS INPUT JUDGED KEY MEASURED OFFSETS PRECISION SAFE_INTEGERS "
    "ZOOM Metadata from_json from_properties of_batch to_properties",
    "properties": "read_properties",
    "tensorrt_edits": "fit_types unsupported",
    "view": "MAX_ZOOM View own_lens told_lens view_of",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return found
