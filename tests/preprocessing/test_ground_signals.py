"""Signals: taken while a block runs and given back, or ignored."""

import os
import signal
import threading

import pytest

from preprocessing.ground.signals import handled, ignore, stop_requests


@pytest.fixture(autouse=True)
def restored():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_request_asks_and_the_second_ends() -> None:
    before, asked = signal.getsignal(signal.SIGTERM), []
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with stop_requests(lambda: asked.append(1)):
            os.kill(os.getpid(), signal.SIGTERM)
            assert asked == [1]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert asked == [1] and signal.getsignal(signal.SIGTERM) == before


def test_what_is_ignored_stays_so_only_where_asked() -> None:
    ignore("SIGINT", "SIGNOTHING")
    seen: list[int] = []
    with handled(lambda number, _: seen.append(number), "SIGINT", "SIGNOTHING", unless_ignored=True):
        os.kill(os.getpid(), signal.SIGINT)
    assert seen == []
    with handled(lambda number, _: seen.append(number), "SIGINT"):
        os.kill(os.getpid(), signal.SIGINT)
    assert seen == [signal.SIGINT] and signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_given_back_after_an_error_and_left_alone_in_other_threads() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="broken"), handled(lambda *_: None, "SIGTERM"):
        assert signal.getsignal(signal.SIGTERM) != before
        raise ValueError("broken")
    assert signal.getsignal(signal.SIGTERM) == before
    found: list[object] = []

    def other() -> None:
        with handled(lambda *_: None, "SIGTERM"):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [before]
