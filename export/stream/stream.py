"""Running a model on a stream: decoding, inference and drawing overlap in three threads.

`infer` is the command's way, with files and a progress bar; `run` gives every result to a function, for a node that
publishes them.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from advmtl.infer_options import InferOptions, check_files, check_places
from export.graph import told_lens
from export.session import WARM_UP, Session, open_session, spinning
from export.sinks import RECORD_VERSION, Inferred, OnFrame, Outputs, Setting, completed, open_outputs
from export.sources import CameraSettings, Film, Preparing, Reading, Source, bag_of, crop_of, find_images
from export.stream.pipeline import StreamState, overlap
from export.stream.queue import session_threads
from export.stream.report import StreamReport
from preprocessing.ground import PICTURE, InputError, check_among, inputs_in, stop_requests


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
    session: Session,
    source: Source | str | Path,
    outputs: Outputs | Path | Sequence[Path] | None = None,
    reading: Reading | None = None,
) -> StreamReport:
    """Run `session` over `source` into `outputs`; paths alone are where the drawn frames go.

    A frame that cannot be read is listed and left out. The first Ctrl-C or SIGTERM ends the stream and finishes the
    files, the second, like any error, leaves no video behind.
    Raises: InputError for a source or an output that cannot be opened, or where no frame can be read.
    """
    reading = reading or Reading()
    outputs = outputs if isinstance(outputs, Outputs) else Outputs(outputs)
    check_own(source, outputs)
    shared = StreamState(reading.open(source, outputs.paths), reading)
    setting = Setting(
        session.metadata,
        outputs.fps or shared.source.fps,
        session.tasks,
        constant=bool(outputs.fps),
        codec=outputs.codec,
        map_size=outputs.raw_size,
        notice=shared.notice,
    )
    started = time.perf_counter()
    with (
        stop_requests(shared.interrupt),
        open_outputs(outputs, setting, shared.enough.set) as (take, record),
        _progress(shared) as bar,
    ):
        overlap(shared, session, take, record, bar.advance if bar is not None else _nobody)
    return _report(shared, session, outputs.paths, started)


def infer_from(options: InferOptions) -> StreamReport:
    """Open model and source and `infer`, as the options of a command ask for it. Raises: InputError."""
    check_files(options)
    lens = told_lens(options.camera, options.fx_px, options.hfov_deg)
    if options.undistort and options.camera is None:
        raise InputError("--undistort: tell the camera's calibration with --camera FILE")
    preparing = Preparing(options.camera if options.undistort else None, crop_of(options.crop), lens)
    reading = Reading(
        options.policy,
        options.limit,
        options.loop,
        options.reconnect_seconds,
        options.in_flight,
        camera=CameraSettings.of(
            options.camera_size, options.camera_fps, options.camera_format, options.camera_exposure
        ),
        live=options.live,
        preparing=None if preparing.nothing else preparing,
        topic=options.topic,
        own_lens=lens is None,
        film=Film(options.damaged, options.fps),
    )
    outputs = Outputs(**{one.name: getattr(options, one.name) for one in fields(Outputs)})
    threads = session_threads(options.model, options.threads, options.in_flight)
    if preparing.undistort is not None:  # each frame brings the lens that it was drawn for
        lens = None
    session = open_session(
        options.model,
        options.provider,
        threads,
        spin=spinning(options.waiting, options.in_flight),
        lens=lens,
        fit=options.fit,  # type: ignore[arg-type]
        runtime=options.runtime,
    )
    return infer(session, options.source, outputs, reading)


def check_own(source: Source | str | Path, outputs: Outputs) -> None:
    """Raise InputError where an output would replace the source, lie among its pictures or be another output."""
    if isinstance(source, Source):
        check_places(vars(outputs))
        return
    check_places(vars(outputs), inputs_in("the source", source))
    folder = Path(source).expanduser()
    bag = bag_of(source)
    for out in outputs.outs:
        if bag is not None:
            if bag.is_dir() and out.resolve().parent == bag.resolve():
                raise InputError(f"--out {out}: lies in the bag {bag}, as one of its files; give a place beside it")
            continue
        if not out.is_dir():
            continue
        if folder.is_file():
            check_among("--out", out, folder.parent, [(folder.stem, folder)], PICTURE)
        elif folder.is_dir():
            paths = find_images(folder)
            read = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths]
            check_among("--out", out, folder, read, PICTURE)


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


def _report(run: StreamState, session: Session, out: list[Path], started: float) -> StreamReport:
    frames = run.total.count
    warm_up = max(0, min(WARM_UP, frames - 1))
    since = run.first_done[warm_up - 1] if warm_up else started
    timers = {**run.timers, "total": run.total}
    return StreamReport(
        source=run.source.description,
        out=[str(path) for path in out],
        provider=session.provider,
        note=session.told,
        model_size=session.metadata.size,
        policy="latest" if run.reading.takes_latest(run.source) else "every",
        frames=frames,
        dropped=run.dropped,
        skipped_frames=run.skipped.count,
        skipped=run.skipped.first,
        faulty_frames=run.faulty.count,
        faulty=run.faulty.first,
        damaged_frames=run.damaged.count,
        damaged=run.damaged.first,
        notices=run.notices,
        interrupted=run.interrupted,
        lost=run.lost,
        warm_up=warm_up,
        frames_per_second=round((frames - warm_up) / (run.last_done - since), 2) if frames else 0.0,
        stages={name: timer.latency() for name, timer in timers.items() if timer.count},
        view=None if run.view is None else run.view.facts(),
        version=RECORD_VERSION,
    )
