"""What a benchmark found, as JSON and as tables."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.bench.graph_cost import cost_of
from export.bench.memory import gpu_mib, resident_mib
from export.session.latency import Latency, print_latencies
from export.session.session import Session, open_session

if TYPE_CHECKING:  # a vehicle may have no rich
    from rich.console import Console


@dataclass(frozen=True)
class BenchmarkReport:
    """Latencies of `iterations` frames of `frame_size`, one after the other, after `warm_up` uncounted ones.

    pre: the camera frame to the network's size. net: the network with its normalisation and arg max, copies
    to and from the device included. post: offsets grouped into instances, where there are any, and all maps back to the
    frame's size. Sizes are (width, height). ratio: frames/s over those of the first model, the median of the blocks.
    cpu_ms: user and system time of all threads for a frame; cpu_ratio: that of the first model over it, which other
    processes disturb less. memory_mib: resident memory grown by the model, gpu_mib: GPU memory of the process. power_w
    and frame_mj by meter, everything else on the machine included; None: not measured.
    """

    provider: str
    note: str
    frame_size: tuple[int, int]
    model_size: tuple[int, int]
    warm_up: int
    iterations: int
    frames_per_second: float
    ratio: float
    cpu_ms: float
    cpu_ratio: float
    memory_mib: float | None
    power_w: dict[str, float] | None
    frame_mj: dict[str, float] | None
    stages: dict[str, Latency]
    model: str = ""
    precision: str = ""
    gmacs: float | None = None
    parameters: int | None = None
    gpu_mib: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def open_models(
    models: Sequence[Path], provider: str = "auto", threads: int = 0
) -> tuple[list[Session], list[dict[str, Any]]]:
    """Open every model, and tell of each what a report adds to its times: memory, cost, precision.

    Raises: InputError as `open_session` does.
    """
    sessions, facts = [], []
    for path in models:
        before = resident_mib()
        sessions.append(open_session(path, provider, threads))
        after = resident_mib()
        facts.append({"model": str(path), "memory_mib": None if before is None or after is None else after - before})
    # Counted when all are open: reading a graph takes memory of its own.
    for path, known in zip(models, facts, strict=True):
        cost = cost_of(path)
        known |= {"precision": cost.precision, "gmacs": cost.gmacs, "parameters": cost.parameters}
    return sessions, facts


def complete(report: BenchmarkReport, facts: dict[str, Any]) -> BenchmarkReport:
    """A report with what `open_models` told of its model; opening and warming up both take memory."""
    grown = None
    if report.memory_mib is not None and facts["memory_mib"] is not None:
        grown = round(report.memory_mib + facts["memory_mib"], 1)
    return replace(report, **(facts | {"memory_mib": grown, "gpu_mib": gpu_mib()}))


def print_benchmark(report: BenchmarkReport, console: "Console | None" = None) -> None:
    """Print the times of one model as a table."""
    from rich.console import Console

    console = console or Console()
    frame, model = (f"{width}x{height}" for width, height in (report.frame_size, report.model_size))
    heading = f"{report.model}: " if report.model else ""
    print_latencies(console, f"{heading}{report.provider}, frames {frame}, network {model}", report.stages)
    if report.note:
        console.print(report.note, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{report.frames_per_second:.1f} frames/s one after the other; {report.warm_up} first frames left out"
    )


def print_comparison(reports: Sequence[BenchmarkReport], console: "Console | None" = None) -> None:
    """Print a column a model: speed, ratio to the first, cost, memory, power."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    table = Table()
    table.add_column("end to end")
    for report in reports:
        # Most models are called model.onnx: the folder tells them apart.
        table.add_column("/".join(Path(report.model).parts[-2:]), justify="right", overflow="fold")
    for name, cell in _ROWS.items():
        table.add_row(name, *(cell(report) for report in reports))
    console.print(table)


def _or_unknown(value: float | int | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _power(figures: dict[str, float] | None) -> str:
    return "not measured" if figures is None else ", ".join(f"{name} {one:.1f}" for name, one in figures.items())


_ROWS: dict[str, Callable[[BenchmarkReport], str]] = {
    "frames/s": lambda report: f"{report.frames_per_second:.1f}",
    "times the first": lambda report: f"{report.ratio:.2f}",
    "p50, ms": lambda report: f"{report.stages['end to end'].p50_ms:.2f}",
    "p90, ms": lambda report: f"{report.stages['end to end'].p90_ms:.2f}",
    "p99, ms": lambda report: f"{report.stages['end to end'].p99_ms:.2f}",
    "processor time, ms": lambda report: f"{report.cpu_ms:.2f}",
    "the same by that time": lambda report: f"{report.cpu_ratio:.2f}",
    "precision": lambda report: report.precision or "unknown",
    "GMACs": lambda report: _or_unknown(report.gmacs, ".3f"),
    "parameters": lambda report: _or_unknown(report.parameters, ",d"),
    "memory, MiB": lambda report: _or_unknown(report.memory_mib, ".0f"),
    "GPU memory, MiB": lambda report: _or_unknown(report.gpu_mib, ".0f"),
    "power, W": lambda report: _power(report.power_w),
    "energy, mJ a frame": lambda report: _power(report.frame_mj),
}
