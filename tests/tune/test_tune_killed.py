"""A study is killed in a trial and continued: real trials, a real SQLite file, a real SIGKILL.

The script of docs/tuning.md does it ten times, with two processes.
"""

import io
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from made_up_trials import street_config
from rich.console import Console

from advmtl.tune.outcome import Tuned
from advmtl.tune.space import space_of
from advmtl.tune.tuning import tune

if sys.platform == "win32":
    pytest.skip("there is no SIGKILL", allow_module_level=True)

SPACE = {"train.learning_rate": {"low": 1e-4, "high": 3e-3, "log": True}}


def study(streets: Path, out: Path, trials: int = 2, processes: int = 1) -> Tuned:
    """Trials of two epochs; the first with the configuration's own rate."""
    torch.set_num_threads(1)
    config = street_config(streets)
    space, console = space_of(SPACE, "space.yaml"), Console(file=io.StringIO())
    return tune(config, space, out, torch.device("cpu"), console, trials=trials, sampler="random", processes=processes)


def evaluation(tuned: Tuned, number: int) -> object:
    return json.loads((tuned.trials[number].folder / "evaluation.json").read_text())


def test_a_killed_trial_goes_on_from_its_checkpoint_and_none_is_lost(streets: Path, tmp_path: Path) -> None:
    """The kill comes after the first trial's first epoch. What is gone on with ends in the same bits."""
    killed = tmp_path / "killed"
    # Not a fork: threads that former tests have left would be missing in it, and their locks held.
    process = multiprocessing.get_context("spawn").Process(target=study, args=(streets, killed))
    process.start()
    saved = killed / "trials" / "0000" / "checkpoints" / "last.pt"
    deadline = time.monotonic() + 120
    while not saved.is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join()
    assert saved.is_file() and not (saved.parents[1] / "evaluation.json").exists()
    continued, alone = study(streets, killed), study(streets, tmp_path / "alone", trials=1)
    assert [(one.state, one.resumed) for one in continued.trials] == [("complete", 1), ("complete", 0)]
    assert "resumed at step" in (saved.parents[1] / "output.txt").read_text()
    assert continued.trials[0].values == alone.trials[0].values
    assert evaluation(continued, 0) == evaluation(alone, 0)
    assert sorted(path.name for path in (killed / "trials").iterdir()) == ["0000", "0001"]


@pytest.mark.slow
def test_two_processes_share_the_trials(streets: Path, tmp_path: Path) -> None:
    together, alone = study(streets, tmp_path / "two", processes=2), study(streets, tmp_path / "alone")
    assert [one.state for one in together.trials] == ["complete"] * 2
    assert [one.metrics for one in together.trials] == [one.metrics for one in alone.trials]
    assert sorted(path.name for path in (tmp_path / "two" / "processes").iterdir()) == ["0.txt", "1.txt"]
