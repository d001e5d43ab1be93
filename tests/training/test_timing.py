"""Where the time goes, by a clock that is set by hand."""

import json
from pathlib import Path

import pytest

from advmtl.training import timing


class Clock:
    """Stands for `time.perf_counter`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", made)
    return made


def test_parts_inside_parts_count_once(clock: Clock, tmp_path: Path) -> None:
    """10 s: 3 waiting for two batches and for the end, 2 of a measurement of 4 s with 1.5 s of saving in it."""
    log = timing.Timing(tmp_path / "timing.jsonl")

    def batches():  # type: ignore[no-untyped-def]
        for _ in range(2):
            clock.now += 1
            yield [1, 2, 3]
        clock.now += 1

    for batch in log.waiting(batches()):
        clock.now += 1.5
        log.count(len(batch))
    with log.part("validation"):
        clock.now += 1
        with log.part("saving"):
            clock.now += 1.5
        clock.now += 1.5
    log.write(2, 0)
    clock.now += 2
    log.write(3, 0)
    first, second = (json.loads(line) for line in (tmp_path / "timing.jsonl").open())
    assert first == {
        **{"step": 2, "epoch": 0, "seconds": 10.0, "frames": 6, "frames_per_s": 1.0},
        **{"waiting_s": 3.0, "validation_s": 2.5, "saving_s": 1.5},
    }
    assert second["seconds"] == 2.0 and second["frames_per_s"] is None and second["waiting_s"] == 0


def test_frames_of_all_processes_count_and_one_writes(clock: Clock, tmp_path: Path) -> None:
    for path in (tmp_path / "timing.jsonl", None):
        log = timing.Timing(path, processes=3)
        log.count(4)
        clock.now += 6
        log.write(1, 0)
    row = json.loads((tmp_path / "timing.jsonl").read_text())
    assert (row["frames"], row["frames_per_s"]) == (12, 2.0)


def test_an_error_in_a_part_leaves_the_others_whole(clock: Clock, tmp_path: Path) -> None:
    log = timing.Timing(tmp_path / "timing.jsonl")
    with pytest.raises(KeyError), log.part("validation"):
        clock.now += 1
        raise KeyError
    with log.part("saving"):
        clock.now += 2
    log.write(1, 0)
    row = json.loads((tmp_path / "timing.jsonl").read_text())
    assert (row["validation_s"], row["saving_s"]) == (1.0, 2.0)
