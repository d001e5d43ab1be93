"""Points with class and colour, a PLY file a frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.graph import CLASSES, IGNORED_CLASS, Metadata
from export.sinks.folders import make_folder, unsynced
from export.sinks.inferred import Delivery, Inferred, Sink, lens_of_maps
from export.sinks.maps import check_depth
from export.sinks.names import WRITTEN, new_paths
from export.sinks.setting import Setting
from preprocessing.ground import InputError, Lens, atomic_write

_POINT = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
_NAMES = {"<f4": "float", "u1": "uchar"}


def _lens(frame: Inferred) -> Lens:
    lens = lens_of_maps(frame)
    if lens is None:
        raise InputError(
            f"{frame.name}: points need the lens, which neither the model nor anybody tells; give --camera, --fx-px or"
            " --hfov-deg"
        )
    return lens


def points_of(frame: Inferred, metadata: Metadata) -> NDArray[np.void]:
    """One point a pixel that has a distance and is no sky, row by row: x to the right, y down, z along the optical
    axis, float32 metres from the camera; red, green, blue of the picture; class where the model has classes.

    Raises: InputError where the lens is unknown.
    """
    lens, depth, classes = _lens(frame), frame.result.depth_m, frame.result.classes
    assert depth is not None
    seen = np.isfinite(depth) & (depth > 0)
    if frame.fault is not None:  # its numbers mean nothing
        seen[:] = False
    if classes is not None:
        seen &= ~np.isin(classes, [*metadata.sky, *_skies(metadata), IGNORED_CLASS])
    v, u = np.nonzero(seen)
    z = depth[seen].astype(np.float64)
    points = np.empty(len(z), [*_POINT, ("class", "u1")] if classes is not None else _POINT)
    points["x"], points["y"], points["z"] = (u - lens.cx_px) / lens.fx_px * z, (v - lens.cy_px) / lens.fy_px * z, z
    for number, name in enumerate(("red", "green", "blue")):
        points[name] = frame.image[..., number][seen]
    if classes is not None:
        points["class"] = classes[seen]
    return points


def _skies(metadata: Metadata) -> list[int]:
    """Of a file from before it told which classes have no distance."""
    return [number for number, name in enumerate(metadata.class_names) if name == "sky"]


def ply_of(frame: Inferred, metadata: Metadata) -> bytes:
    """`points_of` as a binary PLY file. Raises: InputError where the lens is unknown."""
    points = points_of(frame, metadata)
    stamp = [] if frame.timestamp_ns is None else [f"comment timestamp_ns {frame.timestamp_ns}"]
    named = metadata.class_names if CLASSES in metadata.outputs else ()
    fields = [(name, points.dtype[name].str.lstrip("|")) for name in points.dtype.names or ()]
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {WRITTEN}; camera axes: x right, y down, z forward, metres",
        *stamp,
        *(f"comment class {number} {name}" for number, name in enumerate(named)),
        f"element vertex {len(points)}",
        *(f"property {_NAMES[kind]} {name}" for name, kind in fields),
        "end_header",
    ]
    return "".join(f"{line}\n" for line in lines).encode("ascii", "replace") + points.tobytes()


@contextmanager
def open_cloud(path: Path, setting: Setting) -> Iterator[Sink]:
    """The points of one frame in one file. Raises: InputError where there comes a second one, or there is no lens."""
    check_depth("--out", setting)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give another name for the points")
    with atomic_write(path) as temporary:
        count = 0

        def write(delivery: Delivery) -> None:
            nonlocal count
            if count:
                raise InputError(f"{path}: holds the points of one frame; for all give --clouds FOLDER, else --limit 1")
            temporary.write_bytes(ply_of(delivery.frame, setting.metadata))
            count += 1

        yield write
        if not count:
            raise InputError(f"{path}: no frame to write")


@contextmanager
def open_clouds(folder: Path, setting: Setting) -> Iterator[Sink]:
    """Write `<name>.ply` into `folder`, made where missing, for every frame. Raises: InputError as `open_cloud`."""
    check_depth("--clouds", setting)
    make_folder(folder)
    path_of = new_paths(folder, ".ply")

    def write(delivery: Delivery) -> None:
        content = ply_of(delivery.frame, setting.metadata)
        with unsynced(path_of(delivery.frame.name)) as temporary:
            temporary.write_bytes(content)

    yield write
