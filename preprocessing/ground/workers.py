"""Worker processes: spawned, one OpenCV thread each, ignoring Ctrl-C, exiting with their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import cv2

from preprocessing.ground.signals import ignore


class WorkerDied(RuntimeError):
    """A worker was killed from outside, most often for lack of memory."""


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of `count` processes; at the end, or on Ctrl-C, running jobs finish and waiting ones are dropped.

    Raises:
        WorkerDied: A worker died.
    """
    # Spawned, since a fork of a process with running threads (OpenCV's, embree's, torch's) may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(count,))
    try:
        _launch(pool, count)
        yield pool
    except BrokenProcessPool as error:
        raise WorkerDied("a worker process died, perhaps for lack of memory: run again with fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _launch(pool: ProcessPoolExecutor, count: int) -> None:
    """Start the processes with SIGINT blocked, which they inherit: while they import, no initializer has run yet."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(count):  # a job that finds no idle process starts one
            pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(count: int) -> None:
    ignore("SIGINT")
    threading.Thread(target=_follow_parent, daemon=True).start()
    # torch, where a matcher imports it, takes all cores in each process otherwise.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    cv2.setNumThreads(1)


def _follow_parent() -> None:
    """Exit as soon as the parent is gone: an orphan would write beside the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
