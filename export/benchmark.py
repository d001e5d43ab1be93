"""Latency of a model, split into what happens before, in and after the network."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from export.latency import Latency, print_latencies, summarise
from export.runtime import Session, add_instances, fit, prepare, unpack
from preprocessing.errors import InputError


@dataclass(frozen=True)
class BenchmarkReport:
    """Latencies of `iterations` frames of `frame_size`, one after the other, after `warm_up` uncounted ones.

    pre: the camera frame to the network's size. net: the network with its normalisation and arg max, copies
    to and from the device included. post: offsets grouped into instances, where there are any, and all maps back to the
    frame's size. Sizes are (width, height).
    """

    provider: str
    note: str
    frame_size: tuple[int, int]
    model_size: tuple[int, int]
    warm_up: int
    iterations: int
    frames_per_second: float
    stages: dict[str, Latency]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def benchmark(
    session: Session,
    frames: Sequence[NDArray[np.uint8]] | None = None,
    *,
    frame_size: tuple[int, int] | None = None,
    warm_up: int = 10,
    iterations: int = 100,
) -> BenchmarkReport:
    """Time `session` on `frames` (uint8 `[H, W, 3]` RGB of one size, in turn), or on noise of `frame_size`.

    Without either, frames have the network's size and pre and post have nothing to resize. A session returns
    only when its outputs are on the host, so each time is that of finished work.
    """
    if iterations < 1 or warm_up < 0:
        raise InputError(f"{iterations} iterations after {warm_up} to warm up: measure at least one")
    if not frames:
        width, height = frame_size or session.metadata.size
        random = np.random.default_rng(0)
        frames = [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(4)]
    height, width = frames[0].shape[:2]
    times: dict[str, list[float]] = {"pre": [], "net": [], "post": [], "end to end": []}
    for i in range(warm_up + iterations):
        start = time.perf_counter()
        image = prepare(frames[i % len(frames)], session.metadata.size)
        prepared = time.perf_counter()
        outputs = session.network(image)
        inferred = time.perf_counter()
        fit(add_instances(unpack(outputs), session.metadata.things), (width, height))
        done = time.perf_counter()
        if i >= warm_up:
            spans = (prepared - start, inferred - prepared, done - inferred, done - start)
            for stage, span in zip(times.values(), spans, strict=True):
                stage.append(span)
    return BenchmarkReport(
        provider=session.provider,
        note=session.note,
        frame_size=(width, height),
        model_size=session.metadata.size,
        warm_up=warm_up,
        iterations=iterations,
        frames_per_second=round(iterations / sum(times["end to end"]), 2),
        stages={name: summarise(stage) for name, stage in times.items()},
    )


def print_benchmark(report: BenchmarkReport, console: Console | None = None) -> None:
    """Print the report as a table."""
    console = console or Console()
    frame, model = (f"{width}x{height}" for width, height in (report.frame_size, report.model_size))
    print_latencies(console, f"{report.provider}, frames {frame}, network {model}", report.stages)
    if report.note:
        console.print(report.note, highlight=False)
    console.print(
        f"{report.frames_per_second:.1f} frames/s one after the other; {report.warm_up} first frames left out"
    )
