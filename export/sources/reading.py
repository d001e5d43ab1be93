"""How a source is read: every frame or the latest, how many, how often, and how long a lost one is tried again."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from export.sources.camera_settings import CameraSettings
from export.sources.frames import Source, looped, without_lens
from export.sources.opening import open_source
from export.sources.preparing import Preparing
from export.sources.video import Film
from preprocessing.ground import InputError

POLICIES = ("auto", "every", "latest")


@dataclass(frozen=True)
class Reading:
    """How a source is read.

    policy: `every` frame is inferred, however late; of `latest` those that come faster than the network, or than its
    results are taken, are dropped and counted, and a file is played at its own rate; `auto` is latest for live sources,
    else every. limit: frames at most. loop: how often a file is repeated, 0 = for ever. reconnect_s: how long a lost
    live source is tried again [s]. in_flight: frames in the network at once, of `every` frame only: of `latest` there
    is never more than one in it, and a session opened for several would be slower for it.
    camera: what is asked of a camera. live: yes or no says whether a URL or pipe is live; auto: by what it announces.
    preparing: what is done to each frame before it is shown.
    topic: of a bag, the pictures that are read; None = its only one. own_lens: False where a user tells another lens
    than the source does. film: how video files are read.
    Raises: InputError for values that cannot be.
    """

    policy: str = "auto"
    limit: int | None = None
    loop: int = 1
    reconnect_s: float = 30.0
    in_flight: int = 1
    camera: CameraSettings | None = None
    live: str = "auto"
    preparing: Preparing | None = None
    topic: str | None = None
    own_lens: bool = True
    film: Film = field(default_factory=Film)

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError(f"policy {self.policy!r}: choose {', '.join(POLICIES)}")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit {self.limit}: give at least one frame")
        if not (math.isfinite(self.reconnect_s) and self.reconnect_s >= 0):
            raise InputError(f"reconnect seconds {self.reconnect_s:g}: give seconds, 0 = not tried again")
        if self.in_flight < 1:
            raise InputError(f"in flight {self.in_flight}: give at least one frame")
        if self.in_flight > 1 and self.policy == "latest":
            raise InputError("in flight: with policy latest only the newest frame is in the network; give 1")

    def open(self, source: Source | str | Path, without: Sequence[Path] = ()) -> Source:
        """Open the source as it is to be read; `without`: as of `open_source`.

        Raises: InputError where it cannot be, or is live, so that `auto` is latest, with several frames in flight.
        """
        if isinstance(source, Source):
            opened = source
        else:
            opened = open_source(
                source,
                self.reconnect_s,
                without,
                camera=self.camera,
                live=self.live,
                topic=self.topic,
                film=self.film,
            )
        if not self.own_lens:
            opened = without_lens(opened)
        if self.preparing is not None:
            opened = self.preparing.of(opened)
        if self.in_flight > 1 and self.takes_latest(opened):
            raise InputError(
                f"in flight: {opened.description} is live, so only its newest frame is in the network; give 1 or policy"
                " every"
            )
        return looped(opened, self.loop)

    def takes_latest(self, source: Source) -> bool:
        """Whether frames are dropped."""
        return self.policy == "latest" or (self.policy == "auto" and source.live)
