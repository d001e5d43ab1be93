"""What a sink is opened for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from advmtl.tasks import TASKS, Task
from export.graph import Metadata
from export.sources import DEFAULT_FPS


@dataclass(frozen=True)
class Setting:
    """The stream that a sink will be given.

    metadata: of the model. fps: the rate of a film, as asked for or that of the source. tasks: what the model learnt.
    """

    metadata: Metadata
    fps: float = DEFAULT_FPS
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
