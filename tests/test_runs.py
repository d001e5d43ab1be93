"""A run folder: whose it is, what may differ on resume, and a log that survives accidents."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from street_set import TASKS

from advmtl.checkpoint import save_checkpoint
from advmtl.config import Config, validate
from advmtl.runs import Log, Run, clear_run, difference, open_run
from advmtl.signals import Interrupt
from advmtl.state import build
from preprocessing.errors import InputError

CPU = torch.device("cpu")


def make_config(**changes: object) -> Config:
    values = {
        "tasks": TASKS,
        "encoder": {"weights": None},
        "generator": {"channels": 8, "crp_stages": 0},
        "data": {"size": "64x32"},
        **changes,
    }
    return validate(Config, values, "test")


@pytest.fixture
def saved(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    config = make_config()
    state = build(config, CPU)
    state.step, state.log_bytes = 7, 40
    save_checkpoint(run.last, state.state_dict(), config)
    return run


def test_a_folder_with_another_run_is_left_alone(saved: Run) -> None:
    with pytest.raises(InputError, match=r"holds another run \(train.learning_rate is 0.001 there and 0.5 here\)"):
        open_run(make_config(train={"learning_rate": 0.5}), saved, CPU)


def test_keys_that_change_no_result_may_differ_on_resume(saved: Run) -> None:
    other = make_config(name="other", data={"size": "64x32", "workers": 0, "cache_mb": 5}, train={"log_every": 3})
    assert other.hash == make_config().hash
    state = open_run(other, saved, CPU)
    assert state.step == 7 and state.config.data.workers == 0


def test_overwrite_starts_anew(saved: Run) -> None:
    assert open_run(make_config(train={"learning_rate": 0.5}), saved, CPU, overwrite=True).step == 0
    assert not saved.last.exists()


def test_clear_run_removes_only_what_a_run_wrote(tmp_path: Path) -> None:
    for name in ("checkpoints/last.pt", "config.yaml", "notes.txt", "model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    clear_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "notes.txt"]


def test_the_log_drops_rows_after_the_checkpoint_and_never_pads(tmp_path: Path) -> None:
    run, state = Run(tmp_path), build(make_config(), CPU)
    log = Log(run, state)
    log.write("train", 1, 0, {"combined": 1.0, "gradient_norm": float("nan")})
    state.log_bytes = log.sync()
    log.write("train", 2, 0, {"combined": 2.0})
    log.close()
    Log(run, state).close()
    assert [json.loads(line) for line in run.metrics.open()] == [
        {"kind": "train", "step": 1, "epoch": 0, "combined": 1.0}
    ]
    state.log_bytes = 10**6
    Log(run, state).close()
    assert b"\0" not in run.metrics.read_bytes()


def test_interrupt_is_kept_and_a_second_one_acts_at_once() -> None:
    former = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is former


def test_difference_names_the_first_key() -> None:
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == "a.c is 2 there and 3 here"
    assert difference({"a": [1]}, {"a": [1]}) is None
