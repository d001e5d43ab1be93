"""Worker processes leave Ctrl-C to their parent and say what to do when one dies."""

import os
import signal

import cv2
import pytest

from preprocessing.ground.workers import WorkerDied, worker_pool


def test_workers_ignore_ctrl_c_and_run_one_opencv_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    with worker_pool(1) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        assert pool.submit(cv2.getNumThreads).result() == 1
    assert signal.getsignal(signal.SIGINT) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_dead_worker_is_explained() -> None:
    with pytest.raises(WorkerDied, match="worker process died"), worker_pool(1) as pool:
        pool.submit(os._exit, 1).result()
