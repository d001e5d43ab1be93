"""Run a model over a stream: decoding, inference and drawing overlap in three threads."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from export.draw import Painter
from export.latency import Latency, print_latencies, summarise
from export.pipe import Pipe
from export.runtime import Result, Session, prepare, unpack
from export.sinks import Write, open_sink
from export.sources import Skipped, Source, open_source
from preprocessing.errors import InputError
from preprocessing.progress import progress

# The first frames pay for allocation, kernel choice and thread start; they are drawn but not timed.
WARM_UP = 3


@dataclass(frozen=True)
class StreamReport:
    """What a run over a stream did and how fast.

    `stages` has decode (read and resize; for a camera it includes waiting for the next frame), net, and,
    where something is written, draw (draw and encode). They overlap, so frames_per_second is more than their
    sum gives. The first `warm_up` frames count in `frames` only. `dropped` frames of a live source came too
    fast.
    """

    source: str
    out: str | None
    provider: str
    note: str
    model_size: tuple[int, int]
    frames: int
    dropped: int
    skipped: list[tuple[str, str]]
    interrupted: bool
    warm_up: int
    frames_per_second: float
    stages: dict[str, Latency]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class _Run:
    """What the three threads share. Each list and counter is written by one thread only."""

    stop: threading.Event = field(default_factory=threading.Event)  # everything ends, output is discarded
    enough: threading.Event = field(default_factory=threading.Event)  # no more frames, output is finished
    error: BaseException | None = None
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"decode": [], "net": [], "draw": []})
    done: list[float] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    dropped: int = 0
    interrupted: bool = False


@dataclass(frozen=True)
class _Job:
    name: str
    image: NDArray[np.uint8]  # [1, h, w, 3], network size
    result: Result | None = None


def _thread(run: _Run, name: str, body: Callable[[], None]) -> threading.Thread:
    """A thread whose error stops the others and waits in `run.error` for the main thread."""

    def guarded() -> None:
        try:
            body()
        except BaseException as error:
            run.error = run.error or error
            run.stop.set()

    return threading.Thread(target=guarded, name=name, daemon=True)


def _decode(run: _Run, source: Source, size: tuple[int, int], limit: int | None, pipe: Pipe[_Job]) -> None:
    decoded = run.seconds["decode"]
    with closing(source.frames()) as frames:
        while not (run.enough.is_set() or run.stop.is_set()) and (limit is None or len(decoded) < limit):
            start = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                break
            if isinstance(frame, Skipped):
                run.skipped.append((frame.name, frame.reason))
                continue
            job = _Job(frame.name, prepare(frame.image, size))
            decoded.append(time.perf_counter() - start)
            if source.live:
                run.dropped += pipe.offer(job)
            else:
                pipe.put(job)
    pipe.close()


def _draw(run: _Run, painter: Painter, write: Write, pipe: Pipe[_Job]) -> None:
    while (job := pipe.get()) is not None:
        assert job.result is not None
        start = time.perf_counter()
        write(job.name, painter.paint(job.image[0], job.result))
        end = time.perf_counter()
        run.seconds["draw"].append(end - start)
        run.done.append(end)


def _network(run: _Run, session: Session, decoded: Pipe[_Job], drawn: Pipe[_Job] | None, advance: Callable) -> None:
    while (job := decoded.get()) is not None:
        start = time.perf_counter()
        result = unpack(session.network(job.image))
        end = time.perf_counter()
        run.seconds["net"].append(end - start)
        if drawn is None:
            run.done.append(end)
        else:
            drawn.put(_Job(job.name, job.image, result))
        advance()


def infer(
    session: Session,
    source: Source | str | Path,
    out: Path | None = None,
    *,
    limit: int | None = None,
    fps: float = 0,
) -> StreamReport:
    """Run `session` over `source` and write drawn frames to `out` (`.mp4`, a folder, or None for nowhere).

    limit: frames at most. fps: rate of the written video, 0 = that of the source. A frame that cannot be read
    is listed and left out. Ctrl-C ends the run and finishes the file; any error leaves no video behind.
    Raises: InputError for a source or sink that cannot be opened, or where no frame can be read.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: give at least one frame")
    opened = source if isinstance(source, Source) else open_source(source)
    run = _Run()
    start = time.perf_counter()
    with open_sink(out, fps or opened.fps) as write:
        _overlap(run, session, opened, write, limit)
        if run.error is not None:
            raise run.error
        if not run.done and run.interrupted:
            raise KeyboardInterrupt
        if not run.done:
            first = f"; {run.skipped[0][1]}" if run.skipped else ""
            raise InputError(f"{opened.description}: no frame could be read{first}")
    return _report(run, session, opened, out, start)


def _overlap(run: _Run, session: Session, source: Source, write: Write | None, limit: int | None) -> None:
    """Start the threads, infer in this one, and wait; what went wrong in a thread is in `run.error`."""
    decoded: Pipe[_Job] = Pipe(run.stop)
    drawn: Pipe[_Job] | None = None
    threads = [_thread(run, "export-decode", lambda: _decode(run, source, session.metadata.size, limit, decoded))]
    if write is not None:
        painter, pipe = Painter(session.metadata), Pipe[_Job](run.stop)
        threads.append(_thread(run, "export-draw", lambda: _draw(run, painter, write, pipe)))
        drawn = pipe
    total = source.total if limit is None else min(limit, source.total or limit)
    for thread in threads:
        thread.start()
    try:
        with progress("infer", total) as bar:
            try:
                _network(run, session, decoded, drawn, bar.advance)
            except KeyboardInterrupt:
                run.interrupted = True
                run.enough.set()
            if drawn is not None:
                drawn.close()
                threads[-1].join()
    finally:
        run.stop.set()
        for thread in threads:
            # A camera may block in its read for long; its thread is a daemon and is not awaited then.
            thread.join(timeout=2.0)


def _report(run: _Run, session: Session, source: Source, out: Path | None, start: float) -> StreamReport:
    frames = len(run.done)
    warm_up = min(WARM_UP, frames - 1)
    since = run.done[warm_up - 1] if warm_up else start
    return StreamReport(
        source=source.description,
        out=None if out is None else str(out),
        provider=session.provider,
        note=session.note,
        model_size=session.metadata.size,
        frames=frames,
        dropped=run.dropped,
        skipped=run.skipped,
        interrupted=run.interrupted,
        warm_up=warm_up,
        frames_per_second=round((frames - warm_up) / (run.done[-1] - since), 2),
        stages={name: summarise(times[warm_up:frames]) for name, times in run.seconds.items() if times},
    )


def print_report(report: StreamReport, console: Console | None = None) -> None:
    """Print the report as a table, and every frame that was left out."""
    console = console or Console()
    size = f"{report.model_size[0]}x{report.model_size[1]}"
    print_latencies(console, f"{report.source} on {report.provider}, network {size}", report.stages)
    left_out = f"; {report.dropped} dropped" if report.dropped else ""
    console.print(
        f"{report.frames} frames, {report.frames_per_second:.1f} frames/s with the stages overlapped"
        f" (first {report.warm_up} not timed){left_out}"
    )
    for name, reason in report.skipped:
        console.print(f"skipped {name}: {reason}", highlight=False, markup=False)
    if report.interrupted:
        console.print("stopped by Ctrl-C; what was done is written")
    if report.out is not None:
        console.print(f"written: {report.out}", highlight=False, markup=False)
