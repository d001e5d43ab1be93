"""What a run over a stream did, as JSON and as a table."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from export.session.latency import Latency, print_latencies

if TYPE_CHECKING:  # a vehicle may have no rich
    from rich.console import Console


@dataclass(frozen=True)
class StreamReport:
    """What a run over a stream did and how fast.

    `stages` has decode (read and resize; of a live source not the waiting for its next frame), wait (for the network),
    net, with several frames in flight turn (waiting for those before it), where something takes the results draw (draw,
    encode, write, or the caller's own), and total, from the frame being there to all of it done. They overlap, so
    frames_per_second is more than total gives. The first `warm_up` frames count in `frames` only. `dropped` frames came
    too fast (policy "latest"). skipped: names and reasons of those that could not be read, the first of
    `skipped_frames`; faulty: the same of those whose result means nothing, NaN in it say, among `frames` and handed on
    with the others; notices: what else happened to the source, the first of them.
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
    warm_up: int
    frames_per_second: float
    stages: dict[str, Latency]

    @property
    def complete(self) -> bool:
        """Whether every frame could be read and has a sound result."""
        return not self.skipped_frames and not self.faulty_frames

    def lost_lines(self) -> list[str]:
        """A line for every frame that was left out or has no sound result."""
        lines = [f"skipped {name}: {reason}" for name, reason in self.skipped]
        if self.skipped_frames > len(self.skipped):
            lines.append(f"and {self.skipped_frames - len(self.skipped)} more skipped")
        lines += [f"without a sound result {name}: {reason}" for name, reason in self.faulty]
        if self.faulty_frames > len(self.faulty):
            lines.append(f"and {self.faulty_frames - len(self.faulty)} more without a sound result")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def print_report(report: StreamReport, console: "Console | None" = None) -> None:
    """Print the report as a table, and every frame that was left out."""
    from rich.console import Console

    console = console or Console()
    size = f"{report.model_size[0]}x{report.model_size[1]}"
    print_latencies(console, f"{report.source} on {report.provider}, network {size}", report.stages)
    if report.note:
        console.print(report.note, highlight=False, markup=False, soft_wrap=True)
    left_out = f"; {report.dropped} dropped" if report.dropped else ""
    left_out += f"; {report.faulty_frames} without a sound result" if report.faulty_frames else ""
    console.print(
        f"{report.frames} frames, {report.frames_per_second:.1f} frames/s with the stages overlapped"
        f" (first {report.warm_up} not timed){left_out}"
    )
    for text in report.notices:
        console.print(text, highlight=False, markup=False)
    for line in report.lost_lines():
        console.print(line, highlight=False, markup=False)
    if report.interrupted:
        console.print("stopped early; what was done is written")
    if report.out:
        console.print(f"written: {', '.join(report.out)}", highlight=False, markup=False)
