"""What a network's metres at another size are multiplied by, so that they are those of the trained size.

A network learns from zooms that larger means nearer, and holds to it in part only: where a thing stands in the picture
tells of distance, too, and gates look at the whole of it. How far it is off at a size needs no label to be seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from advmtl.config import Config
from advmtl.data import index_source
from advmtl.tasks import teller
from export.graph import Metadata, describe
from export.session import Session, fit, session_of_network, unpack
from preprocessing.ground import InputError, read_image

FRAMES = 24
MOST = 2.0
"""A larger factor, or one over it, is none: the network does not know what it sees."""
_PIXELS = 20_000  # of a frame, evenly spaced


def size_factor(
    generator: nn.Module, config: Config, metadata: Metadata, lenses: Mapping[str, Any] | None = None
) -> float:
    """The median over frames of a network's metres at the trained size over those at the size of `metadata`, behind the
    same lens: training frames, else validation frames. 1 at the trained size, and where there is no frame or no depth.

    lenses: those of its training, on record.
    """
    task = teller(config.task_table, "distance")
    same = metadata.size == config.data.size and metadata.fit == config.data.fit
    if same or task is None or task not in config.tasks or not metadata.of_lens:
        return 1.0
    name = config.task_table[task].arrays.outputs[0].name
    sizes = (describe(config, lenses=lenses), metadata)
    sessions = [session_of_network(generator, _without_sky(one), config.task_table) for one in sizes]
    logs = []
    for picture in _pictures(config):
        trained, here = (_metres(session, name, picture) for session in sessions)
        least, most = metadata.depth_range_m or (0.0, np.inf)
        inside = (trained > 1.01 * least) & (trained < 0.99 * most) & (here > 1.01 * least) & (here < 0.99 * most)
        if inside.any():
            logs.append(float(np.median(np.log(trained[inside] / here[inside]))))
    factor = float(np.exp(np.median(logs))) if logs else 1.0
    return round(factor, 4) if 1 / MOST <= factor <= MOST else 1.0


def _without_sky(metadata: Metadata) -> Metadata:
    return replace(metadata, sky=(), size_factor=1.0)


def _metres(session: Session, name: str, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """On the picture's own pixels, so that both sizes are compared at the same places; NaN where it was cut off."""
    frame = (picture.shape[1], picture.shape[0])
    framing = session.view(frame).framing
    found = unpack(session.infer(framing.picture(picture)[None], session.view(frame).zoom), framing)
    metres = fit(found, frame, session.tasks).outputs[name].ravel()
    return np.asarray(metres[:: metres.size // _PIXELS + 1 | 1], np.float64)


def _pictures(config: Config) -> Sequence[NDArray[np.uint8]]:
    for role, sources in (("train", config.data.train), ("val", config.data.val)):
        paths = []
        for source in sources:
            try:
                paths += [record.image for record in index_source(source, config.data.classes, role)]  # type: ignore[arg-type]
            except (InputError, OSError, RuntimeError):
                continue
        found = []
        for place in sorted(set(np.linspace(0, len(paths) - 1, min(FRAMES, len(paths))).astype(int).tolist())):
            try:
                found.append(read_image(paths[place]))
            except InputError:
                continue
        if found:
            return found
    return []
