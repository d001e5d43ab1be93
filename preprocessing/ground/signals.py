"""Signals of a terminal or a batch scheduler: handled while a block runs, then restored; or left to the parent."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Handler = Callable[[int, Any], None]


@contextmanager
def handled(handler: Handler, *names: str, unless_ignored: bool = False) -> Iterator[None]:
    """Let `handler` take the signals of these names while the block runs; those that the system lacks are left out.

    unless_ignored: a signal that is ignored, as Ctrl-C in a background job, stays so. Outside the main thread, where
    Python takes no signals, nothing is changed.
    """
    former: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _numbers(names):
            if not (unless_ignored and signal.getsignal(number) is signal.SIG_IGN):
                former[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before or signal.SIG_DFL)


@contextmanager
def stop_requests(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C or SIGTERM while the block runs; the second one raises KeyboardInterrupt."""
    asked: list[int] = []

    def handle(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        stop()

    with handled(handle, "SIGINT", "SIGTERM", unless_ignored=True):
        yield


def ignore(*names: str) -> None:
    """Ignore these signals from now on: they reach every process of a terminal or job, and the parent handles them."""
    for number in _numbers(names):
        signal.signal(number, signal.SIG_IGN)


def _numbers(names: tuple[str, ...]) -> list[int]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
