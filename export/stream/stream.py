"""Running a model on a stream: decoding, inference and drawing overlap in three threads.

`infer` is the command's way, with files and a progress bar; `run` gives every result to a function, for a node that
publishes them.
"""

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from advmtl.infer_options import InferOptions
from export.graph import told_lens
from export.session import WARM_UP, Session, open_session
from export.sinks import RECORD_VERSION, Inferred, OnFrame, Outputs, Setting, completed, open_outputs
from export.sources import Reading, Source
from export.stream.pipeline import StreamState, overlap
from export.stream.queue import session_threads
from export.stream.report import StreamReport
from preprocessing.ground import stop_requests


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
    shared = StreamState(reading.open(source), reading, asked=stop)

    def take(frame: Inferred) -> None:
        if on_frame is not None:
            on_frame(completed(frame, session.metadata, session.tasks))

    started = time.perf_counter()
    overlap(shared, session, None if on_frame is None else take, None, _nobody)
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
    results = [path for path in (outputs.out, outputs.arrays) if path is not None]
    shared = StreamState(reading.open(source, results), reading)
    setting = Setting(session.metadata, outputs.fps or shared.source.fps, session.tasks)
    started = time.perf_counter()
    with (
        stop_requests(shared.interrupt),
        open_outputs(outputs, setting, shared.enough.set) as (take, record),
        _progress(shared) as bar,
    ):
        overlap(shared, session, take, record, bar.advance if bar is not None else _nobody)
    return _report(shared, session, [outputs.out, outputs.arrays, outputs.log], started)


def infer_from(options: InferOptions) -> StreamReport:
    """Open model and source and `infer`, as the options of a command ask for it. Raises: InputError."""
    reading = Reading(options.policy, options.limit, options.loop, options.reconnect_seconds, options.in_flight)
    outputs = Outputs(options.out, options.fps, options.arrays, options.log, options.show)
    threads = session_threads(options.model, options.threads, options.in_flight)
    lens = told_lens(options.camera, options.fx_px, options.hfov_deg)
    session = open_session(
        options.model,
        options.provider,
        threads,
        lens=lens,
        fit=options.fit,  # type: ignore[arg-type]
        runtime=options.runtime,
    )
    return infer(session, options.source, outputs, reading)


def _nobody() -> None:
    """The default where no callback is given for finished frames."""


def _progress(run: StreamState) -> AbstractContextManager[Any]:
    """A progress bar; None where there is no rich."""
    try:
        from preprocessing.ground import progress
    except ModuleNotFoundError:
        return nullcontext(None)

    total, limit = run.source.total, run.reading.limit
    return progress("infer", total if limit is None else min(limit, total or limit))


def _report(run: StreamState, session: Session, out: list[Path | None], started: float) -> StreamReport:
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
        view=None if run.view is None else run.view.facts(),
        version=RECORD_VERSION,
    )
