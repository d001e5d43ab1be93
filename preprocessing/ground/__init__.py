"""What everything stands on: files that are whole or absent, depth and disparity maps, labels, cameras, bars, pages.

Each name is imported with its module when it is first asked for: who needs `InputError` waits for no OpenCV or Pillow.
"""

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all of this
if TYPE_CHECKING:  # the same names as below, for type checkers; a test compares the two
    from preprocessing.ground.depth import (  # noqa: F401
        DEPTH_SCALE,
        MAX_STORED_DEPTH_M,
        depth_to_disparity,
        disparity_to_depth,
        read_depth,
        read_depth_clip,
        resize_disparity,
        resize_nearest,
        write_depth,
    )
    from preprocessing.ground.disparity import (  # noqa: F401
        DISPARITY_SCALE,
        MAX_STORED_PX,
        Bool,
        Float32,
        read_disparity,
        write_disparity,
    )
    from preprocessing.ground.errors import InputError  # noqa: F401
    from preprocessing.ground.files import (  # noqa: F401
        TRAILERS,
        atomic_write,
        encode_png,
        names_in,
        read_grey_or_index,
        read_image,
        read_json,
        remove_leftovers,
        sha256_of,
        sync_folder,
        write_bytes,
        write_json,
        write_png,
    )
    from preprocessing.ground.frame import Camera, Frame  # noqa: F401
    from preprocessing.ground.labels import (  # noqa: F401
        CATEGORIES_OF,
        IGNORE,
        LABEL_SETS,
        UNKNOWN,
        LabelSet,
        UInt8,
        colorize,
        lookup_table,
        map_labels,
    )
    from preprocessing.ground.page import Headline, Picture, Section, Table, render  # noqa: F401
    from preprocessing.ground.progress_bar import Bar, progress, track  # noqa: F401
    from preprocessing.ground.workers import WorkerDied, worker_pool  # noqa: F401

_NAMES = {
    "depth": "DEPTH_SCALE MAX_STORED_DEPTH_M depth_to_disparity disparity_to_depth read_depth read_depth_clip "
    "resize_disparity resize_nearest write_depth",
    "disparity": "DISPARITY_SCALE MAX_STORED_PX Bool Float32 read_disparity write_disparity",
    "errors": "InputError",
    "files": "TRAILERS atomic_write encode_png names_in read_grey_or_index read_image read_json remove_leftovers "
    "sha256_of sync_folder write_bytes write_json write_png",
    "frame": "Camera Frame",
    "labels": "CATEGORIES_OF IGNORE LABEL_SETS UNKNOWN LabelSet UInt8 colorize lookup_table map_labels",
    "page": "Headline Picture Section Table render",
    "progress_bar": "Bar progress track",
    "workers": "WorkerDied worker_pool",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return found
