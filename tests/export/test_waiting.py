"""export.session.waiting: sleeping or spinning threads, chosen by what the frames take."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import make_frame, make_session, make_source

from export.session.open import open_session
from export.session.waiting import BLOCK, BLOCKS, WARM, MeasuredWaiting, spinning
from export.stream.stream import Outputs, Reading, infer
from preprocessing.ground.errors import InputError

IMAGE = np.zeros((1, 6, 10, 3), np.uint8)
MEASURED = 2 * (WARM + BLOCK * BLOCKS)


class Stream:
    """A clock, and networks that take so long [s]; after a frame of a way, so much passes before the next one."""

    def __init__(self, within: dict[str, float], after: dict[str, float]) -> None:
        self.now, self.within, self.after = 0.0, within, after
        self.ran: list[str] = []
        ways = [self.network(way) for way in ("sleep", "spin")]
        self.chooser = MeasuredWaiting(*ways, clock=lambda: self.now)

    def network(self, way: str):
        def run(image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray]:
            del zoom
            self.ran.append(way)
            self.now += self.within[way]
            return {"mean": image.mean()}

        return run

    def show(self, frames: int) -> None:
        for _ in range(frames):
            self.chooser(IMAGE)
            self.now += self.after[self.ran[-1]]


@pytest.mark.parametrize(
    ("spin_s", "after_spin_s", "chosen"),
    [
        (0.040, 0.010, "spin"),  # 20 % less in the network, and the rest as before
        (0.049, 0.010, "sleep"),  # 2 % less
        (0.070, 0.010, "sleep"),  # longer
        (0.040, 0.025, "sleep"),  # drawing waits for the cores: 65 ms a frame where there were 60
        (0.040, 0.020, "spin"),  # a camera: both at its rate
    ],
)
def test_the_faster_way_is_kept(spin_s: float, after_spin_s: float, chosen: str) -> None:
    stream = Stream({"sleep": 0.050, "spin": spin_s}, {"sleep": 0.010, "spin": after_spin_s})
    stream.show(MEASURED - 1)
    assert stream.chooser.chosen == stream.chooser.told == ""
    stream.show(1)
    assert stream.chooser.chosen == chosen
    assert stream.chooser.told == f"threads {chosen}: 50.0 ms in the network asleep, {1e3 * spin_s:.1f} spinning"
    assert stream.ran.count("sleep") == stream.ran.count("spin") == MEASURED / 2
    stream.show(20)
    assert set(stream.ran[MEASURED:]) == {chosen}


def test_what_comes_between_two_blocks_is_not_timed() -> None:
    """The pause after a block's last frame belongs to neither way, nor do the first frames."""
    stream = Stream({"sleep": 0.05, "spin": 0.04}, {"sleep": 0.01, "spin": 0.01})
    for place in range(MEASURED):
        stream.show(1)
        if place < 2 * WARM or (place - 2 * WARM) % BLOCK == BLOCK - 1:
            stream.now += 10
    times = stream.chooser._times
    assert [len(times[way].within) for way in ("sleep", "spin")] == [BLOCKS * (BLOCK - 1)] * 2
    assert max(max(times[way].between) for way in ("sleep", "spin")) < 1


def test_frames_that_overlap_sleep_and_are_not_timed() -> None:
    """A frame that comes while another one is in the network moves the plan nowhere."""
    stream = Stream({"sleep": 0.05, "spin": 0.04}, {"sleep": 0.0, "spin": 0.0})
    inner = stream.chooser._ways["spin"]
    asked: list[str] = []

    def nested(image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray]:
        if not asked:
            asked.append("once")
            stream.chooser(image)
        return inner(image, zoom)

    stream.chooser._ways["spin"] = nested
    stream.show(WARM)
    left = len(stream.chooser._plan)
    stream.chooser(IMAGE)
    assert stream.ran[-2:] == ["sleep", "spin"] and len(stream.chooser._plan) == left - 1


def test_a_frame_that_fails_is_measured_again() -> None:
    calls = 0

    def fails_once(image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("lost")
        return {}

    chooser = MeasuredWaiting(fails_once, lambda image, zoom=None, /: {})
    with pytest.raises(RuntimeError, match="lost"):
        chooser(IMAGE)
    for _ in range(MEASURED):
        chooser(IMAGE)
    assert chooser.chosen and calls >= MEASURED / 2 + 1


def test_words() -> None:
    assert [spinning(word, 1) for word in ("auto", "sleep", "spin")] == [None, False, True]
    assert [spinning(word, 2) for word in ("auto", "sleep", "spin")] == [False, False, True]
    with pytest.raises(InputError, match="waiting 'doze': choose auto, sleep, spin"):
        spinning("doze", 1)


def test_a_model_opened_so_gives_what_it_gives_asleep(model_path: Path) -> None:
    """With one thread there is nothing to wait for, and nothing is measured."""
    asleep, measured = (open_session(model_path, "cpu", 2, spin=spin) for spin in (False, None))
    assert isinstance(measured.network, MeasuredWaiting)
    assert not isinstance(open_session(model_path, "cpu", 1, spin=None).network, MeasuredWaiting)
    for place in range(MEASURED + 2):
        frame = make_frame(place % 3, (200, 120))
        wanted, found = asleep.run(frame), measured.run(frame)
        assert all(np.array_equal(one, found.outputs[name]) for name, one in wanted.outputs.items())
    assert measured.network.chosen in ("sleep", "spin") and measured.told.endswith(measured.network.told)


def test_the_report_says_what_was_chosen(tmp_path: Path) -> None:
    class Telling:
        told = "threads sleep: 2.0 ms in the network asleep, 3.0 spinning"

        def __init__(self, network) -> None:
            self.network = network

        def __call__(self, image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray]:
            return self.network(image)

    session = make_session()
    session = replace(session, note="a note", network=Telling(session.network))
    report = infer(session, make_source(3), Outputs(), Reading())
    assert report.note == f"a note; {Telling.told}"
