"""Run a model over a stream: decoding, inference and drawing overlap in three threads.

`infer` is the command's way, with files and a progress bar; `run` gives every result to a function, for a node that
publishes them.
"""

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from export.session.latency import WARM_UP
from export.session.session import Session
from export.stream.outputs import OnFrame, Outputs, grouped, open_outputs
from export.stream.policy import Reading
from export.stream.signals import stop_requests
from export.stream.sources import Source
from export.stream.stages import Run, overlap
from export.stream.stream_report import StreamReport, print_report

__all__ = ["Outputs", "Reading", "StreamReport", "infer", "print_report", "run"]


def run(
    session: Session,
    source: Source | str | Path,
    on_frame: OnFrame | None = None,
    *,
    reading: Reading | None = None,
    stop: threading.Event | None = None,
) -> StreamReport:
    """Give every frame of `source` with its result to `on_frame`, in order and in this thread, until the stream ends.

    Nothing is copied: the arrays are those the network returned, of this frame alone, to be kept or published as they
    are. An error in `on_frame` ends the stream and is raised here. Setting `stop` ends it after what is under way; a
    report of no frames where it is set before the first.
    Raises: InputError for a source that cannot be opened, or where no frame can be read.
    """
    reading = reading or Reading()
    shared = Run(reading.open(source), reading, asked=stop)
    take = None if on_frame is None else grouped([on_frame], session.metadata)
    started = time.perf_counter()
    overlap(shared, session, take, None, _nobody)
    return _report(shared, session, [], started)


def infer(
    session: Session, source: Source | str | Path, outputs: Outputs | Path | None = None, reading: Reading | None = None
) -> StreamReport:
    """Run `session` over `source` into `outputs`; a path alone is where the drawn frames go.

    A frame that cannot be read is listed and left out. The first Ctrl-C or SIGTERM ends the stream and finishes the
    files, the second, like any error, leaves no video behind.
    Raises: InputError for a source or an output that cannot be opened, or where no frame can be read.
    """
    reading = reading or Reading()
    outputs = outputs if isinstance(outputs, Outputs) else Outputs(outputs)
    shared = Run(reading.open(source), reading)
    started = time.perf_counter()
    with (
        stop_requests(shared.interrupt),
        open_outputs(outputs, session.metadata, shared.source.fps, shared.enough.set) as (take, record),
        _progress(shared) as bar,
    ):
        overlap(shared, session, take, record, bar.advance if bar is not None else _nobody)
    return _report(shared, session, [outputs.drawn, outputs.arrays, outputs.records], started)


def _nobody() -> None:
    """Where nobody is told that a frame is done."""


def _progress(run: Run) -> AbstractContextManager[Any]:
    """A progress bar; None where there is no rich."""
    try:
        from preprocessing.ground import progress
    except ModuleNotFoundError:
        return nullcontext(None)

    total, limit = run.source.total, run.reading.limit
    return progress("infer", total if limit is None else min(limit, total or limit))


def _report(run: Run, session: Session, out: list[Path | None], started: float) -> StreamReport:
    frames = run.total.count
    warm_up = max(0, min(WARM_UP, frames - 1))
    since = run.first_done[warm_up - 1] if warm_up else started
    timers = {**run.timers, "total": run.total}
    return StreamReport(
        source=run.source.description,
        out=[str(path) for path in out if path is not None],
        provider=session.provider,
        note=session.note,
        model_size=session.metadata.size,
        policy="latest" if run.reading.takes_latest(run.source) else "every",
        frames=frames,
        dropped=run.dropped,
        skipped_frames=run.skipped.count,
        skipped=run.skipped.first,
        faulty_frames=run.faulty.count,
        faulty=run.faulty.first,
        notices=run.notices,
        interrupted=run.interrupted,
        warm_up=warm_up,
        frames_per_second=round((frames - warm_up) / (run.last_done - since), 2) if frames else 0.0,
        stages={name: timer.latency() for name, timer in timers.items() if timer.count},
    )
