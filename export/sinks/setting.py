"""What a sink is opened for."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from advmtl.tasks import TASKS, Task
from export.graph import Metadata
from export.sources import DEFAULT_FPS

MapSize = Literal["network", "frame"]
MAP_SIZES: tuple[MapSize, ...] = get_args(MapSize)

log = logging.getLogger(__name__)


def _to_log(text: str) -> None:
    """The default where nobody else wants to be told."""
    log.warning("%s", text)


@dataclass(frozen=True)
class Setting:
    """The stream that a sink will be given.

    metadata: of the model. fps: the rate of a film, as asked for or that of the source. tasks: what the model learnt.
    constant: whether films have frames at that rate, whatever the source's times. codec: of films, "auto" or of
    `CODECS`. map_size: whether maps are written at the network's size or at their frame's. notice: is told, at most
    once each, what a user should know of what is written.
    """

    metadata: Metadata
    fps: float = DEFAULT_FPS
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    constant: bool = False
    codec: str = "auto"
    map_size: MapSize = "network"
    notice: Callable[[str], None] = _to_log
