"""The maps of each frame as PNG files that other programs read, and what all sinks of maps share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import MapFile, Task
from export.graph import DEPTH
from export.session import Result, fit, uncropped, unknown
from export.sinks.folders import make_folder, unsynced
from export.sinks.inferred import Delivery, Inferred, Sink
from export.sinks.names import new_paths
from export.sinks.setting import MAP_SIZES, Setting
from preprocessing.ground import DRAWN, MAX_STORED_DEPTH_M, PICTURE, InputError, encode_png, is_free


def map_files(name: str, tasks: Mapping[str, Task], outputs: Mapping[str, NDArray[Any]]) -> dict[str, MapFile]:
    """The files of a frame's maps by the ending of their names, as `TaskArrays.files` says.

    Raises: InputError for values that a file cannot hold.
    """
    files: dict[str, MapFile] = {}
    for which, task in tasks.items():
        try:
            files |= task.arrays.files(outputs)
        except ValueError as error:  # clipping it would give a file of wrong values that looks right
            raise InputError(f"--raw: the {which} of {name} cannot be written, {error}; leave --raw out") from None
    return files


def check_map_size(setting: Setting) -> None:
    """Raise InputError where maps are asked for at a size that there is not."""
    if setting.map_size not in MAP_SIZES:
        raise InputError(f"--raw-size {setting.map_size}: choose {' or '.join(MAP_SIZES)}")


def check_depth(option: str, setting: Setting) -> None:
    """Raise InputError where the model has no depth, or its range is beyond what 16 bits of 1/256 m hold."""
    check_map_size(setting)
    if DEPTH not in setting.metadata.outputs:
        raise InputError(f"{option}: this model gives no depth; leave it out")
    check_range(option, setting)


def check_range(option: str, setting: Setting) -> None:
    """The range alone, at once and not in the middle of a drive."""
    reach = setting.metadata.depth_range_m
    if reach is not None and reach[1] > MAX_STORED_DEPTH_M:
        raise InputError(
            f"{option}: this model's depth reaches {reach[1]:g} m, 16-bit files hold {MAX_STORED_DEPTH_M:.3f} m; take"
            " --arrays"
        )


def sized(frame: Inferred, setting: Setting, *, padded: bool = False) -> Result:
    """The frame's maps at the size that the setting asks for; nothing known of a frame whose result means nothing.

    padded: at the network's size all of it, so that every frame has the same.
    """
    result = frame.result
    if frame.fault is not None:
        blank = {name: np.full_like(one, unknown(name, one.dtype)) for name, one in result.outputs.items()}
        result = Result(blank, result.framing)
    if setting.map_size == "frame":
        return fit(result, frame.frame_size, setting.tasks)
    return uncropped(result) if padded else result


@contextmanager
def open_maps(folder: Path, setting: Setting) -> Iterator[Sink]:
    """Write the files of `TaskArrays.files` for every frame into `folder`, made where missing: `<name>_classes.png`
    (uint8 ids, 255 none), `<name>_depth.png` (uint16 = metres * 256, 0 none) and so on, as `predict --raw` does.

    Raises: InputError where the folder cannot be made or the model's depth is too far for these files.
    """
    check_map_size(setting)
    check_range("--raw", setting)
    make_folder(folder)
    tasks, path_of, first = setting.tasks, None, ""

    def beside(path: Path, ending: str) -> Path:
        return path.with_name(f"{path.name.removesuffix(first)}_{ending}.png")

    def write(delivery: Delivery) -> None:
        nonlocal path_of, first
        frame = delivery.frame
        outputs = sized(frame, setting).outputs
        of_frame = {name: task for name, task in tasks.items() if all(o.name in outputs for o in task.arrays.outputs)}
        files = map_files(frame.name, of_frame, outputs)
        if path_of is None:
            first = f"_{next(iter(files))}.png"
            path_of = new_paths(folder, first)
        # One number for all files of a frame, found by the first of them; what no stream wrote stays.
        path, number = path_of(frame.name), 0
        while not all(is_free(beside(path, ending), PICTURE) for ending in files):
            path, number = path_of(f"{frame.name}_{number:06d}"), number + 1
        for ending, file in files.items():
            with unsynced(beside(path, ending)) as temporary:
                temporary.write_bytes(encode_png(file.array, {**DRAWN, **file.text}))

    yield write
