"""The three stages of a stream and their shared state: decoding, inference, delivery.

Decoding and the network have threads of their own; the caller's takes the results, for windows and signals belong to
the main thread.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph import View
from export.session import WARM_UP, Session, Timer, fault_of, unpack
from export.sinks import Inferred, OnFrame, Record
from export.sources import Loaded, Lost, Notice, Reading, Skipped, Source
from export.stream.queue import LATEST, LENGTH, InFlight, Queue
from export.stream.report import KEPT, Listed
from export.stream.views import Views
from preprocessing.ground import InputError

# Where the time of a frame goes, in order: turn with several in flight, draw where there are outputs.
STAGES = ("decode", "wait", "net", "turn", "draw")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    frame: Loaded
    index: int
    view: View
    image: NDArray[np.uint8]  # [1, h, w, 3], network size
    started: float
    decoded: float


@dataclass
class StreamState:
    """State shared by the three threads. Each counter and timer is written by one thread only."""

    source: Source
    reading: Reading
    view: View | None = None  # of the first frame
    stop: threading.Event = field(default_factory=threading.Event)  # everything ends, output is discarded
    enough: threading.Event = field(default_factory=threading.Event)  # no more frames, output is finished
    asked: threading.Event | None = None  # the same, asked for by the caller
    error: BaseException | None = None
    timers: dict[str, Timer] = field(default_factory=lambda: {name: Timer() for name in STAGES})
    total: Timer = field(default_factory=Timer)
    first_done: list[float] = field(default_factory=list)  # when the first frames were done, WARM_UP + 1 at most
    last_done: float = 0.0
    skipped: Listed = field(default_factory=lambda: Listed("skipped"))
    faulty: Listed = field(default_factory=lambda: Listed("with invalid outputs"))
    damaged: Listed = field(default_factory=lambda: Listed("not whole"))
    notices: list[str] = field(default_factory=list)
    dropped: int = 0
    interrupted: bool = False
    lost: bool = False  # a live source ended by itself

    def ending(self) -> bool:
        """Whether no more frames are wanted."""
        return self.enough.is_set() or self.stop.is_set() or (self.asked is not None and self.asked.is_set())

    def interrupt(self) -> None:
        """End after the frames under way, and note it in the report."""
        self.interrupted = True
        self.enough.set()

    def notice(self, text: str) -> None:
        """Log a notice about the source at once, and keep it for the report."""
        log.warning("%s", text)
        if len(self.notices) < KEPT:
            self.notices.append(text)


def _thread(run: StreamState, name: str, body: Callable[[], None]) -> threading.Thread:
    """A thread whose error stops the others and waits in `run.error` for the main thread."""

    def guarded() -> None:
        try:
            body()
        except BaseException as error:
            run.error = run.error or error
            run.stop.set()

    return threading.Thread(target=guarded, name=name, daemon=True)


def _decode(run: StreamState, session: Session, jobs: Queue[_Job]) -> None:
    latest, limit = run.reading.takes_latest(run.source), run.reading.limit
    begun, index, views = time.perf_counter(), 0, Views(session, run.notice)
    with closing(run.source.frames()) as frames:
        while not run.ending() and (latest or limit is None or index < limit):
            start = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                break
            if isinstance(frame, Notice):
                run.lost = run.lost or isinstance(frame, Lost)
                if frame.text:
                    run.notice(frame.text)
                continue
            if isinstance(frame, Skipped):
                run.skipped.add(frame.name, frame.reason, run.source.description)
                continue
            started = start if frame.arrived is None else frame.arrived
            try:
                view = views.of(frame)
            except InputError as error:
                if run.view is None:
                    raise
                run.skipped.add(frame.name, str(error), run.source.description)
                continue
            run.view = run.view or view
            image, decoded = view.framing.picture(frame.image)[None], time.perf_counter()
            run.timers["decode"].add(decoded - started)
            early = begun + index / run.source.fps - decoded if latest and not run.source.live else 0.0
            if early > 0:  # a file played at its own rate: as of a camera, the waiting for a frame is none of its times
                run.enough.wait(early)
                waited = time.perf_counter() - decoded
                started, decoded = started + waited, decoded + waited
            job = _Job(frame, index, view, np.ascontiguousarray(image), started, decoded)
            if latest:
                run.dropped += jobs.offer(job)
            else:
                jobs.put(job)
            index += 1
    jobs.close()


def _network(run: StreamState, session: Session, decoded: Queue[_Job], done: Queue[Inferred]) -> None:
    names = [f"export-network-{i + 1}" for i in range(run.reading.in_flight)][1:]  # this thread is the first

    def hand(frame: Inferred, turn_s: float) -> None:
        run.timers["wait"].add(frame.wait_ms / 1e3)
        run.timers["net"].add(frame.net_ms / 1e3)
        if names:
            run.timers["turn"].add(turn_s)
            frame = replace(frame, turn_ms=1e3 * turn_s)
        done.put(frame)

    flight = InFlight[_Job, Inferred](lambda job: _infer(run, session, job), hand, run.stop, run.reading.limit)
    # A result that waits for a slow reader would age; the newest frame is taken when it has been taken.
    before = done.await_taken if run.reading.takes_latest(run.source) else None
    threads = [_thread(run, name, lambda: flight.run(decoded, before)) for name in names]
    for thread in threads:
        thread.start()
    try:
        flight.run(decoded, before)
        for thread in threads:
            thread.join()
    finally:
        run.enough.set()
    done.close()


def _infer(run: StreamState, session: Session, job: _Job) -> Inferred:
    start = time.perf_counter()
    result = unpack(session.infer(job.image, job.view.zoom), job.view.framing)
    end = time.perf_counter()
    height, width = job.frame.image.shape[:2]
    return Inferred(
        index=job.index,
        name=job.frame.name,
        image=job.image[0][job.view.framing.shown],
        result=result,
        frame_size=(width, height),
        timestamp_ns=job.frame.timestamp_ns,
        frame_id=job.frame.frame_id,
        lens=job.frame.lens,
        distortion=job.frame.distortion,
        damage=job.frame.damage,
        started=job.started,
        view=job.view,
        dropped=run.dropped,
        decode_ms=1e3 * (job.decoded - job.started),
        wait_ms=1e3 * (start - job.decoded),
        net_ms=1e3 * (end - start),
        fault=fault_of(result, session.metadata.sky),
    )


def _deliver(
    run: StreamState, done: Queue[Inferred], take: OnFrame | None, record: Record | None, advance: Callable[[], Any]
) -> None:
    """Deliver results until there are no more; runs in the caller's thread."""
    while (frame := done.get()) is not None:
        start = time.perf_counter()
        if frame.fault is not None:
            run.faulty.add(frame.name, frame.fault, run.source.description)
        if frame.damage:
            run.damaged.add(frame.name, frame.damage, run.source.description)
        if take is not None:
            take(frame)
        end = time.perf_counter()
        if take is not None:
            run.timers["draw"].add(end - start)
        run.total.add(end - frame.started)
        run.last_done = end
        if len(run.first_done) <= WARM_UP:
            run.first_done.append(end)
        if record is not None:
            record(frame.record(None if take is None else 1e3 * (end - start)))
        advance()


def overlap(
    run: StreamState, session: Session, take: OnFrame | None, record: Record | None, advance: Callable[[], Any]
) -> None:
    """Start the threads, take their results in this one, and wait. Raises: the error of any of them."""
    if run.reading.in_flight > 1 and not session.concurrent:
        raise InputError(f"in flight: {session.provider} runs one frame at a time; give 1")
    length = LATEST if run.reading.takes_latest(run.source) else LENGTH
    decoded: Queue[_Job] = Queue(run.stop, run.ending, length)
    done: Queue[Inferred] = Queue(run.stop, length=length)
    threads = [
        _thread(run, "export-decode", lambda: _decode(run, session, decoded)),
        _thread(run, "export-network", lambda: _network(run, session, decoded, done)),
    ]
    for thread in threads:
        thread.start()
    try:
        _deliver(run, done, take, record, advance)
    finally:
        run.stop.set()
        run.enough.set()
        for thread in threads:
            # A camera may block in its read for long; its thread is a daemon and is not awaited then.
            thread.join(timeout=2.0)
    for listed in (run.skipped, run.faulty, run.damaged):
        listed.sum_up(run.source.description)
    if run.error is not None:
        raise run.error
    if not run.total.count and run.interrupted:
        raise KeyboardInterrupt
    if not run.total.count and not (run.asked is not None and run.asked.is_set()):
        first = f"; {run.skipped.first[0][1]}" if run.skipped.count else ""
        raise InputError(f"{run.source.description}: no frame could be read{first}")
