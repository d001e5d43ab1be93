"""Latency of models, split into what happens before, in and after the network, measured in turn in one run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from export.bench.benchmark_report import BenchmarkReport, print_benchmark
from export.bench.memory import resident_mib
from export.bench.power import Meter, open_meters
from export.session.latency import summarise
from export.session.session import Session, add_instances, fit, prepare, unpack
from preprocessing.ground import InputError

__all__ = ["BenchmarkReport", "benchmark", "in_turn", "print_benchmark"]

# Each model is measured in so many blocks, in turn with the others: what the machine does meanwhile hits all of them.
ROUNDS = 10
STAGES = ("pre", "net", "post", "end to end")
Frames = Sequence[NDArray[np.uint8]]


@dataclass
class _Measured:
    """What was measured of one model so far, over all of its blocks."""

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
        image = prepare(frame, self.session.metadata.size)
        prepared = time.perf_counter()
        outputs = self.session.network(image)
        inferred = time.perf_counter()
        height, width = frame.shape[:2]
        fit(add_instances(unpack(outputs), self.session.metadata.things), (width, height))
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
            # Who goes first changes, so that none always follows the same one.
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
