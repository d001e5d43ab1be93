"""Raw maps of each frame in a folder of `.npz` files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from export.sinks.folders import make_folder, unsynced
from export.sinks.inferred import RECORD_VERSION, Delivery, Inferred, Sink
from export.sinks.names import new_paths
from export.sinks.setting import Setting

NO_TIME = np.iinfo(np.int64).min


@contextmanager
def open_arrays(folder: Path, _: Setting | None = None) -> Iterator[Sink]:
    """Write `<name>.npz` into `folder` (made if missing) for every frame.

    Each holds the model's outputs and what was derived of them, by name, as classes uint8 `[h, w]`, depth_m float32
    `[h, w]`, +Inf where there is no distance (the sky), offsets_px float32 `[2, h, w]`, instances uint16 `[h, w]`; and
    version, index, timestamp_s (NaN where there is none), timestamp_ns (int64, the least of them where there is none),
    frame_size (w, h), shown (left, top, right, bottom: what of the frame the maps cover, in its pixels) and, of a model
    whose outputs depend on it, fx_px of the frame (NaN where nobody tells it) and zoom, the factor of its metres
    (`View.facts`). Not compressed: that takes longer than the
    network. Raises: InputError where the folder cannot be made.
    """
    make_folder(folder)
    path_of = new_paths(folder, ".npz")

    def write(delivery: Delivery) -> None:
        frame = delivery.frame
        maps: dict[str, Any] = {**frame.result.outputs}
        with unsynced(path_of(frame.name)) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                index=frame.index,
                timestamp_s=np.nan if frame.timestamp_s is None else frame.timestamp_s,
                timestamp_ns=NO_TIME if frame.timestamp_ns is None else frame.timestamp_ns,
                frame_size=frame.frame_size,
                **_of_view(frame),
                **maps,
            )

    yield write


def _of_view(frame: Inferred) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": RECORD_VERSION, "shown": frame.view.shown}
    if frame.view.metadata.of_lens:
        lens = frame.view.lens
        facts |= {"fx_px": np.nan if lens is None else lens.fx_px, "zoom": frame.view.zoom}
    return facts
