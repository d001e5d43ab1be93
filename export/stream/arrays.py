"""Raw outputs of a stream as NumPy files, one a frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export.stream.frame_log import Inferred
from export.stream.sinks import new_paths
from preprocessing.ground import InputError


def open_arrays(folder: Path) -> Callable[[Inferred], None]:
    """Return what writes `<name>.npz` into `folder` (made if missing) for every frame.

    Each holds, where the model has them, classes uint8 `[h, w]`, depth_m float32 `[h, w]`, offsets_px float32
    `[2, h, w]`, instances uint16 `[h, w]`, and index, timestamp_s (NaN where there is none), frame_size (w, h). Not
    compressed: that takes longer than the network. Raises: InputError where the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path_of = new_paths(folder, ".npz")
    except OSError as error:
        raise InputError(f"{folder}: not a folder to write to ({error.strerror or error})") from None

    def write(frame: Inferred) -> None:
        maps: dict[str, Any] = {
            "classes": frame.result.classes,
            "depth_m": frame.result.depth_m,
            "offsets_px": frame.result.offsets_px,
            "instances": frame.result.instances,
        }
        path = path_of(frame.name)
        # Whole or not there; not synced, which on a memory card takes longer than the network.
        temporary = path.with_name(f".{path.name}")
        with open(temporary, "wb") as file:
            np.savez(
                file,
                index=frame.index,
                timestamp_s=np.nan if frame.timestamp_s is None else frame.timestamp_s,
                frame_size=frame.frame_size,
                **{name: value for name, value in maps.items() if value is not None},
            )
        temporary.replace(path)

    return write
