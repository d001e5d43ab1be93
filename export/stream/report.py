"""The report of a stream as JSON and as a table, and the frames with problems."""

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from export.session import Latency, print_latencies
from preprocessing.ground import EXIT_LOST, EXIT_SKIPPED

if TYPE_CHECKING:  # a vehicle may have no rich
    from rich.console import Console


# A stream may run for weeks: of frames and notices the first are kept, all are counted. Of frames the first few are
# logged, then their number whenever it has a digit more.
KEPT = 200

LOGGED = 3

log = logging.getLogger(__name__)


@dataclass
class Listed:
    """Frames that are skipped, have invalid outputs or are not whole; `word` names the kind in the log. One thread adds
    them.
    """

    word: str
    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)  # name, reason

    def add(self, name: str, reason: str, source: str) -> None:
        """Count a frame of `source`; log it where it is among the first."""
        self.count += 1
        if self.count <= LOGGED:
            log.warning("%s %s: %s", self.word, name, reason)
        elif str(self.count).strip("0") == "1":
            log.warning("%s: %d frames %s so far", source, self.count, self.word)
        if len(self.first) < KEPT:
            self.first.append((name, reason))

    def sum_up(self, source: str) -> None:
        """Log how many there were, where not all were named."""
        if self.count > LOGGED:
            log.warning("%s: %d frames %s in all", source, self.count, self.word)


@dataclass(frozen=True)
class StreamReport:
    """The report of one stream: counts, latencies, problems.

    `stages` has decode (read and resize; of a live source not the waiting for its next frame), wait (for the network),
    net, with several frames in flight turn (waiting for those before it), where something takes the results draw (draw,
    encode, write, or the caller's own), and total, from the frame being there to all of it done. They overlap, so
    frames_per_second is more than total gives. The first `warm_up` frames count in `frames` only. `dropped` frames came
    too fast (policy "latest"). skipped: names and reasons of those that could not be read, the first of
    `skipped_frames`; faulty: the same of those whose result means nothing, NaN in it say, among `frames` and handed on
    with the others; damaged: the same of those that are not whole and are kept; lost: a live source ended by
    itself and stayed away; notices: what else happened to the source, the first of them, and whose lens the metres are
    of. view: how the first frame was shown (`View.facts`), None without a frame.
    version: of what its values mean.
    """

    source: str
    out: list[str]
    provider: str
    note: str
    model_size: tuple[int, int]
    policy: str
    frames: int
    dropped: int
    skipped_frames: int
    skipped: list[tuple[str, str]]
    faulty_frames: int
    faulty: list[tuple[str, str]]
    notices: list[str]
    interrupted: bool
    lost: bool
    warm_up: int
    frames_per_second: float
    stages: dict[str, Latency]
    view: dict[str, Any] | None = None
    damaged_frames: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)
    version: int = 2

    @property
    def complete(self) -> bool:
        """Whether every frame could be read whole and has valid outputs."""
        return not (self.skipped_frames or self.faulty_frames or self.damaged_frames)

    @property
    def exit_code(self) -> int:
        """Of the command: 4 where a live source ended by itself, 3 where a frame is missing or invalid, else 0."""
        if self.lost:
            return EXIT_LOST
        return 0 if self.complete else EXIT_SKIPPED

    def lost_lines(self) -> list[str]:
        """A line for every frame that was skipped, has invalid outputs or is not whole."""
        lines = [f"skipped {name}: {reason}" for name, reason in self.skipped]
        if self.skipped_frames > len(self.skipped):
            lines.append(f"and {self.skipped_frames - len(self.skipped)} more skipped")
        lines += [f"invalid outputs on {name}: {reason}" for name, reason in self.faulty]
        if self.faulty_frames > len(self.faulty):
            lines.append(f"and {self.faulty_frames - len(self.faulty)} more with invalid outputs")
        lines += [f"not whole: {name}: {reason}" for name, reason in self.damaged]
        if self.damaged_frames > len(self.damaged):
            lines.append(f"and {self.damaged_frames - len(self.damaged)} more not whole")
        return lines

    def summary(self) -> list[str]:
        """The lines below the latencies."""
        left_out = f"; {self.dropped} dropped" if self.dropped else ""
        left_out += f"; {self.faulty_frames} with invalid outputs" if self.faulty_frames else ""
        left_out += f"; {self.damaged_frames} not whole" if self.damaged_frames else ""
        return [
            *([self.note] if self.note else []),
            f"{self.frames} frames, {self.frames_per_second:.1f} frames/s with the stages overlapped"
            f" (first {self.warm_up} not timed){left_out}",
            *self.notices,
            *self.lost_lines(),
            *(["stopped early; finished frames are written"] if self.interrupted else []),
            *([f"written: {', '.join(self.out)}"] if self.out else []),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def print_report(report: StreamReport, console: "Console | None" = None) -> None:
    """Print the report as a table, and every skipped frame."""
    from rich.console import Console

    console = console or Console(emoji=False)
    size = f"{report.model_size[0]}x{report.model_size[1]}"
    print_latencies(console, f"{report.source} on {report.provider}, network {size}", report.stages)
    for line in report.summary():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
