"""Threads of a training: chosen once, kept on resume, told where others compute beside it."""

import io
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tiny_run import make_config

from advmtl.doctor.machine import idle_line
from advmtl.training import threads
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.fitting import fit
from advmtl.training.threads import chosen_threads, computing_with, threads_for
from preprocessing.ground import idle_cores, let_threads_sleep, limits

CPU = torch.device("cpu")


def stat(folder: Path, *cores: tuple[int, int]) -> None:
    """Ticks at work and idle of each core."""
    rows = [f"cpu{n} {busy} 0 0 {idle} 0 0 0 0 0 0" for n, (busy, idle) in enumerate(cores)]
    (folder / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\n" + "\n".join(rows) + "\nintr 12\n")


def test_idle_cores_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 ticks the first core was idle in 30, the second in 10; a third one is not this process's."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    stat(tmp_path, (100, 50), (7, 9), (0, 0))
    monkeypatch.setattr(time, "sleep", lambda seconds: stat(tmp_path, (110, 80), (37, 19), (0, 40)))
    assert idle_cores(proc=tmp_path) == pytest.approx(0.75 + 0.25)
    assert idle_cores(proc=tmp_path / "nowhere") is None


def machine(monkeypatch: pytest.MonkeyPatch, usable: float, idle: float | None, default: int = 4) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: (usable, 64))
    monkeypatch.setattr(threads, "idle_cores", lambda: idle)
    monkeypatch.setattr(torch, "get_num_threads", lambda: default)
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)


def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, usable=2.5, idle=1.6)
    assert threads_for(None) == 2 and threads_for(7) == 7
    assert threads_for("idle") == 2 and threads_for("idle", recorded=3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads_for(None) == 4
    machine(monkeypatch, usable=8, idle=0.2)
    assert threads_for("idle") == 1 and threads_for(None) == 4
    machine(monkeypatch, usable=8, idle=7.8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert threads_for("idle") == 2
    machine(monkeypatch, usable=8, idle=None, default=3)
    assert threads_for("idle") == 3


def test_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    machine(monkeypatch, usable=2, idle=0.9, default=2)
    assert chosen_threads(None, 0, told.append) == 2 == chosen_threads(2, 0, told.append)
    assert len(told) == 1 and told[0].startswith("0.9 of the cores are idle, and a step of 2 threads waits")
    assert "set OMP_WAIT_POLICY=passive before torch is loaded, or train.threads=1 " in told.pop()
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert chosen_threads(None, 0, told.append) == 2 and told == []
    assert chosen_threads(1, 2, told.append) == 1
    assert told.pop().startswith("the run computed with 2 threads, now with 1: its weights will differ")
    machine(monkeypatch, usable=2, idle=1.9, default=2)
    assert chosen_threads(None, 2, told.append) == 2 and told == []
    machine(monkeypatch, usable=2, idle=0.1, default=1)  # one waits for nobody
    assert chosen_threads(None, 0, told.append) == 1 and told == []


def test_the_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with computing_with(before + 1):
        assert torch.get_num_threads() == before + 1
        with computing_with(0):
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_run_keeps_its_threads_in_its_state(streets: Path, tmp_path: Path) -> None:
    before, folder = torch.get_num_threads(), tmp_path / "run"
    text = io.StringIO()
    for number in (1, 2):
        console = Console(file=text, width=200)
        config = make_config(streets, critic=False, epochs=1, panels=0, threads=number)
        fit(config, folder, CPU, console)
    assert "the run computed with 1 thread, now with 2" in text.getvalue()
    assert load_checkpoint(folder / "checkpoints" / "last.pt")[0]["threads"] == 1  # nothing was left to learn
    assert torch.get_num_threads() == before
    assert config.hash == make_config(streets, critic=False, epochs=1, panels=0).hash


@pytest.mark.parametrize(
    ("idle", "environment", "expected"),
    [
        (0.9, {}, "passive"),
        (1.8, {}, None),
        (None, {}, None),
        (0.9, {"OMP_WAIT_POLICY": "active"}, "active"),
        (0.9, {"GOMP_SPINCOUNT": "5"}, None),
        (0.9, {"OMP_NUM_THREADS": "1"}, None),
    ],
)
def test_threads_sleep_where_cores_are_busy(
    idle: float | None, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "usable_cores", lambda: (2.0, 2))
    monkeypatch.setattr(limits, "idle_cores", lambda: idle)
    assert not let_threads_sleep(dict(environment))  # torch has been loaded
    monkeypatch.delitem(sys.modules, "torch")
    assert let_threads_sleep(environment) == (expected == "passive") and environment.get("OMP_WAIT_POLICY") == expected


def test_the_doctor_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    (line,) = idle_line(0.4, 2.0)
    assert line.status == "warning" and line.found == "0.4 of 2 now"
    assert line.remedy.startswith("OMP_WAIT_POLICY=passive or train.threads=1 while others compute")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert [one.status for one in idle_line(0.4, 2.0)] == ["ok"]
    (line,) = idle_line(1.8, 2.0)
    assert line.status == "ok" and line.facts["idle"] == 1.8
    assert list(idle_line(None, 2.0)) == []
