"""Frames to outcomes: in this process, or in a pool that outlives the death of its workers."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import cv2

from preprocessing.ground.workers import WorkerDied, worker_pool
from preprocessing.job.convert import convert_frame
from preprocessing.job.outcome import Outcome, record_problem
from preprocessing.job.plan import FrameTask, Job


def run(job: Job, tasks: list[FrameTask]) -> Generator[Outcome, None, None]:
    """Yield the outcome of each task as it comes; stop early where the disk is full.

    With one worker this process does it. A frame whose process dies (killed, or for want of memory) is tried once
    more on its own, then listed as bad; the others go on.
    """
    workers = min(job.settings.workers, len(tasks))
    outcomes = _here(job, tasks) if workers == 1 else _pooled(job, tasks, workers)
    for outcome in outcomes:
        yield outcome
        if outcome.disk_full:
            outcomes.close()


def _here(job: Job, tasks: list[FrameTask]) -> Generator[Outcome, None, None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for task in tasks:
            yield convert_frame(job, task)
    finally:
        cv2.setNumThreads(threads)


def _pooled(job: Job, tasks: list[FrameTask], workers: int) -> Generator[Outcome, None, None]:
    waiting = deque(tasks)
    while waiting:
        suspects: list[FrameTask] = []
        with worker_pool(workers) as pool:
            yield from _from_pool(pool, job, waiting, suspects, 2 * workers)
        for task in suspects:  # one of them brought the pool down: each alone
            yield from _alone(job, task)


def _from_pool(
    pool: ProcessPoolExecutor, job: Job, waiting: deque[FrameTask], suspects: list[FrameTask], most: int
) -> Generator[Outcome, None, None]:
    """Yield outcomes until nothing waits or the pool is broken; then `suspects` gets what was in its hands.

    Only a few frames are submitted at a time: less to finish on Ctrl-C, fewer suspects.
    """
    pending: dict[Future[Outcome], FrameTask] = {}
    try:
        while waiting or pending:
            while waiting and len(pending) < most:
                future = pool.submit(convert_frame, job, waiting[0])
                pending[future] = waiting.popleft()
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                outcome = future.result()
                del pending[future]
                yield outcome
    except BrokenProcessPool:
        if not pending:
            raise  # not a frame's doing: the processes do not even start
        suspects.extend(pending.values())
    except KeyboardInterrupt:
        # The workers finish the frames they are at, and what is written belongs into the count.
        pool.shutdown(cancel_futures=True)
        yield from (future.result() for future in pending if not future.cancelled())
        raise


def _alone(job: Job, task: FrameTask) -> Generator[Outcome, None, None]:
    try:
        with worker_pool(1) as pool:
            yield pool.submit(convert_frame, job, task).result()
    except WorkerDied:
        yield record_problem(job, task, {}, f"{task.frame.left}: its process died, killed or for want of memory")
