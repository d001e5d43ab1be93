"""SIGTERM, SIGUSR1 and Ctrl-C: kept until the state is whole, with an exit code each."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from same_bits import assert_equal
from tiny_run import CPU, make_config, quiet
from typer.testing import CliRunner

from advmtl.cli.app import app
from advmtl.data.loading import train_loader
from advmtl.training import fitting as train_module
from advmtl.training import loop as loop_module
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.fitting import fit
from advmtl.training.run_folder import Run
from advmtl.training.signals import EXIT_PREEMPTED, Interrupt, Preempted


@pytest.fixture(scope="module")
def alone(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("alone") / "run")
    fit(make_config(streets, panels=1), run.folder, CPU, quiet())
    return run


def test_ctrl_c_is_kept_and_a_second_one_acts_at_once() -> None:
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked and type(interrupt.stop()) is KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == former


def test_a_repeated_sigterm_waits_and_ctrl_c_after_it_does_not() -> None:
    with Interrupt() as interrupt:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert interrupt.asked and isinstance(interrupt.stop(), Preempted)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_at_once_ends_its_block_also_for_a_signal_that_came_before() -> None:
    with Interrupt() as interrupt:
        with pytest.raises(Preempted), interrupt.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("not reached")
        os.kill(os.getpid(), signal.SIGTERM)  # outside of the block it is kept again
        with pytest.raises(Preempted), interrupt.at_once():
            raise AssertionError("not reached")


@pytest.mark.parametrize(
    ("moment", "number", "step"),
    [
        ("train_step", signal.SIGTERM, 1),
        pytest.param("train_step", signal.SIGUSR1, 1, marks=pytest.mark.slow),
        ("evaluate", signal.SIGTERM, 3),
        pytest.param("save_checkpoint", signal.SIGTERM, 3, marks=pytest.mark.slow),
        ("write_evaluation", signal.SIGTERM, 6),
    ],
)
def test_it_saves_and_the_same_command_gives_the_same_bits(
    moment: str, number: int, step: int, streets: Path, alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`write_evaluation` is the end of the run, when all is trained; `evaluate` must be left before it has measured."""
    config, run = make_config(streets, panels=1), Run(tmp_path / "run")
    module: Any = train_module if moment == "write_evaluation" else loop_module
    real, calls = getattr(module, moment), 0

    def asked(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        os.kill(os.getpid(), number)
        return real(*args, **options)

    monkeypatch.setattr(module, moment, asked)
    with pytest.raises(Preempted):
        fit(config, run.folder, CPU, quiet())
    monkeypatch.undo()
    assert load_checkpoint(run.last)[0]["step"] == step
    if moment == "evaluate":
        assert (
            calls == 1 and load_checkpoint(run.last)[0]["batch"] == 3 and b"validation" not in run.metrics.read_bytes()
        )
    fit(config, run.folder, CPU, quiet())
    assert_equal(load_checkpoint(alone.last)[0], load_checkpoint(run.last)[0])
    for name in ("metrics.jsonl", "evaluation.json", "evolution.gif"):
        assert (run.folder / name).read_bytes() == (alone.folder / name).read_bytes(), name


def test_the_command_has_an_exit_code_of_its_own(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop_module.train_step

    def asked(*args: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    small = ["encoder.weights=null", "generator.channels=16", "data.size=64x32", "data.batch_size=2", "data.workers=0"]
    command = ["train", "demo", "--data", f"cityscapes:{streets}", "--out", str(tmp_path / "run"), *small]
    monkeypatch.setattr(loop_module, "train_step", asked)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == EXIT_PREEMPTED == 143 and "interrupted" in result.stderr
    assert Run(tmp_path / "run").last.is_file()
    refused = CliRunner().invoke(app, [*command, "--no-resume"])
    assert refused.exit_code == 2 and "holds a run; omit --no-resume" in refused.stderr


def test_loader_processes_outlive_the_signals_of_a_scheduler(streets: Path) -> None:
    """It sends SIGTERM to every process of the job; with a dead worker the step in hand could not be finished."""
    config = make_config(streets)
    loader = train_loader(config.model_copy(update={"data": config.data.model_copy(update={"workers": 2})}))
    batches = iter(loader)
    next(batches), next(batches)  # both have started
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(worker.pid or 0, number)
    time.sleep(0.2)
    assert len(list(batches)) == 1 and all(worker.is_alive() for worker in workers)
    del batches, loader
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()
