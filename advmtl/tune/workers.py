"""Several processes on one study, each with one thread and a trial of its own."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import torch

from advmtl.training import ExternalFailure, Preempted
from advmtl.tune.locks import LOCKS
from advmtl.tune.plan import Plan, plan_of
from advmtl.tune.study import load_study, take
from advmtl.tune.trial import work_on
from preprocessing.ground import EXIT_INTERRUPTED, InputError, first_line, handled

_POLL_S = 0.5
_DEATHS = 12


def work_together(
    plan: Plan, wanted: int, device: str, processes: int, before: Collection[int], tell: Callable[[], int]
) -> None:
    """Let `processes` processes work on a study until all `wanted` trials are given out and done.

    One that dies is replaced; the trial it had is taken over. Ctrl-C and SIGTERM let them save and leave.

    Args: `before`: trials that were finished before; `tell`: called twice a second, gives how many are finished.
    Raises: InputError, ExternalFailure of a process; KeyboardInterrupt, Preempted.
    """
    if not LOCKS:
        raise InputError("--processes: this system has no file locks, so trials could not be told apart; leave it out")
    crew = Crew(plan, wanted, device, frozenset(before))

    def stop(*_: object) -> None:
        raise Preempted

    try:
        with handled(stop, "SIGTERM", "SIGUSR1"):
            for number in range(processes):
                crew.start(number)
            deaths, finished = 0, tell()
            while crew.running:
                time.sleep(_POLL_S)
                died = crew.replace_dead()
                done = tell()
                deaths, finished = (0 if done > finished else deaths) + died, done
                if deaths >= _DEATHS:
                    raise ExternalFailure(
                        f"{deaths} processes died and no trial was finished between, perhaps for lack of memory: use "
                        f"fewer --processes; what they said is in {plan.folder / 'processes'}"
                    )
    finally:
        crew.stop()
        tell()


class Crew:
    """The processes of one call, by number."""

    def __init__(self, plan: Plan, wanted: int, device: str, before: frozenset[int]) -> None:
        self._arguments = (plan.folder, plan.config.tables, wanted, device, before)
        self.running: dict[int, tuple[BaseProcess, Connection]] = {}

    def start(self, number: int) -> None:
        """Start one, with one thread from its first import on."""
        context = multiprocessing.get_context("spawn")  # a fork of a process with running threads may hang
        ours, theirs = context.Pipe(duplex=False)
        former = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            process = context.Process(target=_work, args=(number, *self._arguments, theirs))
            process.start()
        finally:
            if former is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = former
        theirs.close()
        self.running[number] = (process, ours)

    def replace_dead(self) -> int:
        """Forget who has left with nothing more to do, start another one for who was killed; how many were.

        Raises: what a process has reported.
        """
        died = 0
        for number, (process, answer) in list(self.running.items()):
            if process.is_alive():
                continue
            process.join()
            del self.running[number]
            if answer.poll():
                try:
                    kind, line = answer.recv()
                except EOFError:
                    kind, line = "", ""
                if kind:
                    raise InputError(line) if kind == "input" else ExternalFailure(line)
            if process.exitcode != 0:
                died += 1
                self.start(number)
        return died

    def stop(self) -> None:
        """Let all save and leave, and wait for it."""
        for process, _ in self.running.values():
            if process.is_alive():
                process.terminate()
        for process, _ in self.running.values():
            process.join()


def _work(
    number: int,
    folder: Path,
    tables: dict[str, Any],
    wanted: int,
    device: str,
    before: frozenset[int],
    answer: Connection,
) -> None:
    """A process's life: trial after trial, what it says in a file of its own."""
    log = folder / "processes" / f"{number}.txt"
    log.parent.mkdir(exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        study = load_study(folder / "study.db")
        plan = plan_of(folder, study.user_attrs["plan"], tables)
        while (taken := take(study, plan, wanted, before)) is not None:
            work_on(study, plan, taken, torch.device(device))
    except InputError as error:
        answer.send(("input", str(error)))
    except (ExternalFailure, OSError) as error:
        answer.send(("external", first_line(error)))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)  # by the parent, which waits for it, or alone, and then it is replaced


def _leave_with_parent() -> None:
    """Save and leave as soon as the parent is gone: whoever comes next starts as many as there are to be."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
