"""Worker processes for frames: spawned, one OpenCV thread each, and deaf to Ctrl-C, which is the parent's."""

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

import cv2


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of `count` processes; at the end, or on Ctrl-C, running jobs finish and waiting ones are dropped.

    Raises:
        RuntimeError: A worker died.
    """
    # Spawned, since a fork of a process with running threads (OpenCV's, embree's, torch's) may hang.
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_start)
    try:
        _launch(pool, count)
        yield pool
    except BrokenProcessPool as error:
        raise RuntimeError("a worker process died, perhaps for want of memory: run again with fewer workers") from error
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


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
