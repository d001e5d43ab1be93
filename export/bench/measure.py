"""Latency of models, split into what happens before, in and after the network, measured in turn in one run; and its
report, as JSON and as tables.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.bench.graph_cost import cost_of
from export.bench.meters import Meter, gpu_mib, open_meters, resident_mib
from export.session import Latency, Session, complete, file_of, fit, open_session, print_latencies, summarise, unpack
from preprocessing.ground import Fit, InputError
from preprocessing.sets import ToldLens

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
    models: Sequence[Path],
    provider: str = "auto",
    threads: int = 0,
    lens: ToldLens | None = None,
    fit: Fit | None = None,
    runtime: str = "onnxruntime",
) -> tuple[list[Session], list[dict[str, Any]]]:
    """Open every model, and give for each what a report adds to its times: memory, cost, precision.

    lens, fit: of the frames, as `open_session` takes them. Of a folder of exported files the one that runs is named.

    Raises: InputError as `open_session` does.
    """
    sessions, facts = [], []
    for path in models:
        before = resident_mib()
        sessions.append(open_session(path, provider, threads, lens=lens, fit=fit, runtime=runtime))
        after = resident_mib()
        facts.append({"model": str(path), "memory_mib": None if before is None or after is None else after - before})
    # Counted when all are open: reading a graph takes memory of its own.
    for path, session, known in zip(models, sessions, facts, strict=True):
        model = file_of(path, session)
        cost = cost_of(model)
        known |= {"model": str(model), "precision": cost.precision, "gmacs": cost.gmacs, "parameters": cost.parameters}
    return sessions, facts


def add_facts(report: BenchmarkReport, facts: dict[str, Any]) -> BenchmarkReport:
    """A report with what `open_models` found of its model; opening and warming up both take memory."""
    grown = None
    if report.memory_mib is not None and facts["memory_mib"] is not None:
        grown = round(report.memory_mib + facts["memory_mib"], 1)
    return replace(report, **(facts | {"memory_mib": grown, "gpu_mib": gpu_mib()}))


def print_benchmark(report: BenchmarkReport, console: "Console | None" = None) -> None:
    """Print the times of one model as a table."""
    from rich.console import Console

    console = console or Console(emoji=False)
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

    console = console or Console(emoji=False)
    table = Table()
    table.add_column("end to end")
    for report in reports:
        # Most models are called model.onnx: the folder distinguishes them.
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
    "GMACs": lambda report: "not in its metadata" if report.gmacs is None else f"{report.gmacs:.3f}",
    "parameters": lambda report: _or_unknown(report.parameters, ",d"),
    "memory, MiB": lambda report: _or_unknown(report.memory_mib, ".0f"),
    "GPU memory, MiB": lambda report: _or_unknown(report.gpu_mib, ".0f"),
    "power, W": lambda report: _power(report.power_w),
    "energy, mJ a frame": lambda report: _power(report.frame_mj),
}

# Each model is measured in so many blocks, in turn with the others: what the machine does meanwhile hits all of them.
ROUNDS = 10

STAGES = ("pre", "net", "post", "end to end")

Frames = Sequence[NDArray[np.uint8]]


@dataclass
class _Measured:
    """Measurements of one model so far, over all of its blocks."""

    session: Session
    times: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    rates: list[float] = field(default_factory=list)  # frames/s of each block
    cpu_s: float = 0.0
    joules: dict[str, float] = field(default_factory=dict)
    used: int = 0  # frames so far, those to warm up included

    def frame(self, frames: Frames) -> tuple[float, float, float, float]:
        """Seconds of pre, net, post and all of it for the next of `frames`."""
        frame = frames[self.used % len(frames)]
        self.used += 1
        start = time.perf_counter()
        view = self.session.view((frame.shape[1], frame.shape[0]))
        image = np.ascontiguousarray(view.framing.picture(frame))[None]
        prepared = time.perf_counter()
        outputs = self.session.infer(image, view.zoom)
        inferred = time.perf_counter()
        height, width = frame.shape[:2]
        own = self.session
        fit(complete(unpack(outputs, view.framing), own.metadata, own.tasks), (width, height), own.tasks)
        done = time.perf_counter()
        return prepared - start, inferred - prepared, done - inferred, done - start

    def block(self, frames: Frames, count: int, meters: Sequence[Meter]) -> None:
        """Time `count` frames one after the other."""
        before = {meter.name: meter.joules() for meter in meters}
        cpu = time.process_time()
        for _ in range(count):
            for stage, span in zip(self.times.values(), self.frame(frames), strict=True):
                stage.append(span)
        self.cpu_s += time.process_time() - cpu
        self.rates.append(count / sum(self.times["end to end"][-count:]))
        for meter in meters:
            self.joules[meter.name] = self.joules.get(meter.name, 0.0) + meter.joules() - before[meter.name]


def benchmark(
    session: Session,
    frames: Frames | None = None,
    *,
    frame_size: tuple[int, int] | None = None,
    warm_up: int = 10,
    iterations: int = 100,
) -> BenchmarkReport:
    """Time one session; see `in_turn`."""
    return in_turn([session], frames, frame_size=frame_size, warm_up=warm_up, iterations=iterations)[0]


def in_turn(
    sessions: Sequence[Session],
    frames: Frames | None = None,
    *,
    frame_size: tuple[int, int] | None = None,
    warm_up: int = 10,
    iterations: int = 100,
) -> list[BenchmarkReport]:
    """Time `sessions` on `frames` (uint8 `[H, W, 3]` RGB of one size, in turn), or on noise of `frame_size`.

    Without either, each has frames of its network's size, and pre and post have nothing to resize. The `iterations` of
    each are cut into blocks which take turns, so that a ratio holds where the machine's speed does not; with several
    sessions the first frame of a block, which pays for the change, is not timed. A session returns only when its
    outputs are on the host, so each time is that of finished work. Raises: InputError where there is nothing to time.
    """
    if iterations < 1 or warm_up < 0:
        raise InputError(f"{iterations} iterations after {warm_up} to warm up: measure at least one")
    taken = [frames or _noise(frame_size or session.metadata.size) for session in sessions]
    measured = [_Measured(session) for session in sessions]
    grown = []
    for one, pictures in zip(measured, taken, strict=True):
        before = resident_mib()
        for _ in range(warm_up):
            one.frame(pictures)
        after = resident_mib()
        grown.append(None if before is None or after is None else after - before)
    rounds = min(ROUNDS, iterations)
    with open_meters() as meters:
        for turn in range(rounds):
            count = iterations * (turn + 1) // rounds - iterations * turn // rounds
            # The order alternates, so that no model always follows the same one.
            for place in range(len(measured)):
                number = (turn + place) % len(measured)
                if len(measured) > 1:
                    measured[number].frame(taken[number])
                measured[number].block(taken[number], count, meters)
    return [
        _report(one, measured[0], pictures[0].shape[1::-1], warm_up, growth)
        for one, pictures, growth in zip(measured, taken, grown, strict=True)
    ]


def _noise(size: tuple[int, int]) -> Frames:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(4)]


def _report(
    one: _Measured, first: _Measured, frame_size: tuple[int, ...], warm_up: int, grown: float | None
) -> BenchmarkReport:
    whole = one.times["end to end"]
    seconds = sum(whole)
    return BenchmarkReport(
        provider=one.session.provider,
        note=one.session.note,
        frame_size=(frame_size[0], frame_size[1]),
        model_size=one.session.metadata.size,
        warm_up=warm_up,
        iterations=len(whole),
        frames_per_second=round(len(whole) / seconds, 2),
        ratio=round(median(a / b for a, b in zip(one.rates, first.rates, strict=True)), 3),
        cpu_ratio=round(first.cpu_s / one.cpu_s, 3),
        cpu_ms=round(1e3 * one.cpu_s / len(whole), 3),
        memory_mib=None if grown is None else round(grown, 1),
        power_w={name: round(joules / seconds, 2) for name, joules in one.joules.items()} or None,
        frame_mj={name: round(1e3 * joules / len(whole), 2) for name, joules in one.joules.items()} or None,
        stages={name: summarise(stage) for name, stage in one.times.items()},
    )
