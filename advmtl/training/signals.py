"""Signals from the terminal or a batch scheduler, deferred until the step is complete. Imports no torch."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from preprocessing.ground import EXIT_PREEMPTED, handled


class Preempted(KeyboardInterrupt):
    """Stopped by a scheduler (SIGTERM, SIGUSR1); the state is saved and the same command resumes.

    A KeyboardInterrupt, so that whatever lets Ctrl-C pass lets this pass.
    """

    exit_code = EXIT_PREEMPTED


class Interrupt:
    """Ctrl-C, SIGTERM and SIGUSR1, kept until the state is whole again, between two steps.

    A second Ctrl-C acts at once: what the step in hand had changed is not saved, the last checkpoint stands. A second
    SIGTERM does not: schedulers repeat it.

    Attributes:
        asked: whether the run shall stop.
        preempted: whether a scheduler asked, not a person.
    """

    def __init__(self) -> None:
        self.asked = False
        self.preempted = False
        self._at_once = False
        self._taken = ExitStack()

    def __enter__(self) -> "Interrupt":
        self._taken.enter_context(handled(self._ask, "SIGINT", "SIGTERM", "SIGUSR1"))
        return self

    def __exit__(self, *_: object) -> None:
        self._taken.close()

    def stop(self, preempted: bool | None = None) -> KeyboardInterrupt:
        """The exception to raise once the state is saved; `preempted`: what another process was stopped by."""
        scheduler = self.preempted if preempted is None else preempted
        return Preempted() if scheduler else KeyboardInterrupt()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While the block runs a signal ends it at once, also a pending one: nothing in it changes the state."""
        if self.asked:
            raise self.stop()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _ask(self, number: int, _: object) -> None:
        again = self.asked and number == signal.SIGINT
        self.asked = True
        self.preempted = self.preempted or number != signal.SIGINT
        if again or self._at_once:
            self._at_once = False
            raise KeyboardInterrupt if again else self.stop()
