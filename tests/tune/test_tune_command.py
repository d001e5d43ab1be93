"""`advmtl tune` on the command line, and what it takes from there."""

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import advmtl
from made_up_trials import MadeUp, street_config

from advmtl.config.files import load_config
from advmtl.tune import trial as trial_module
from advmtl.tune.budget import Costs, _clock, measure

SPACE = "train.learning_rate: {low: 1e-4, high: 1e-2, log: true}\n"


@pytest.fixture
def files(streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "base.yaml").write_text(street_config(streets).to_yaml())
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.setattr(trial_module, "fit", MadeUp())
    return tmp_path


def test_a_search_from_the_command_line_ends_in_a_configuration_to_train(files: Path) -> None:
    arguments = ("tune", files / "base.yaml", files / "space.yaml", "train.weight_decay=0.01", "--out", files / "out")
    result = advmtl(*arguments, "--trials", 3, "--epochs", 4, "--objective", "depth.abs_rel", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "budget of each: 4 epochs" in result.output and "3/3 trial 0002: depth.abs_rel" in result.output
    assert f"next: advmtl train {files}/out/best.yaml" in result.output
    best = load_config(str(files / "out" / "best.yaml"))
    assert best.train.epochs == 4 and best.train.weight_decay == 0.01
    assert (files / "out" / "history.png").is_file()


def test_without_optuna_one_line_names_the_extra(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "optuna" else find(name, *rest)
    )
    result = advmtl("tune", files / "base.yaml", files / "space.yaml")
    assert result.exit_code == 2
    assert result.stderr == "error: tune: needs Optuna, which is not installed; pip install 'advmtl[tune]'\n"


def test_two_budgets_are_refused(files: Path) -> None:
    result = advmtl("tune", files / "base.yaml", files / "space.yaml", "--steps", 5, "--seconds", 5)
    assert (result.exit_code, result.stderr) == (2, "error: --steps and --seconds: give one budget\n")


def test_a_study_without_a_complete_trial_fails(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(trial_module, "fit", MadeUp(fails=fail))
    result = advmtl("tune", files / "base.yaml", files / "space.yaml", "--out", files / "out", "--trials", 2)
    assert result.exit_code == 1 and "2 trials: 2 failed" in result.output


def costs(**changes: Any) -> Costs:
    """Steps of 2 s, ten an epoch, nothing else."""
    plain: dict[str, Any] = {"step_s": {(False, 0): 2.0}, "starts": (), "small_share": 0.0, "measurement_s": 0.0}
    return Costs(**{**plain, "saving_s": 0.0, "batches": 10, "every": 1, **changes})


PHASES = {(True, 0): 1.0, (False, 0): 3.0, (True, 1): 2.0, (False, 1): 5.0}


@pytest.mark.parametrize(
    ("changes", "steps", "seconds"),
    [
        ({}, 25, 50),
        ({"measurement_s": 4.0}, 25, 50 + 3 * 4 + 4),  # after each begun epoch, and of the best state
        ({"measurement_s": 4.0, "every": 2}, 25, 50 + 2 * 4 + 4),
        ({"saving_s": 1.0, "every": 2}, 25, 50 + 3 + 2),  # last.pt an epoch, best.pt a measurement
        # Of 100 steps 60 are small; the term starts within them, or after them, or never.
        ({"step_s": PHASES, "starts": (20.0,), "small_share": 0.6}, 100, 20 * 1 + 40 * 2 + 40 * 5),
        ({"step_s": PHASES, "starts": (0.7,), "small_share": 0.6}, 100, 60 * 1 + 10 * 3 + 30 * 5),
        ({"step_s": PHASES, "starts": (2000.0,), "small_share": 0.6}, 100, 60 * 1 + 40 * 3),
    ],
)
def test_what_a_training_takes_and_how_much_of_it_fits(changes: dict[str, Any], steps: int, seconds: float) -> None:
    found = costs(**changes)
    assert found.seconds(steps) == pytest.approx(seconds)
    assert found.steps_in(seconds + 1e-6) == steps and found.steps_in(0.1) == 1


def test_every_kind_of_step_is_timed(streets: Path, tmp_path: Path) -> None:
    """A critic from the middle on, small pictures for half of the steps: four kinds. Nothing is left behind."""
    critic = {"sees": ["depth"], "objective": "hinge", "channels": 4, "layers": 2}
    train = {"small_share": 0.5, "adversarial_start_step": "50%"}
    small = street_config(streets, train=train, discriminators={"one": critic})
    config = load_config(small.model_dump(mode="json"), ["data.size=128x64"])
    found = measure(config, torch.device("cpu"), tmp_path)
    assert found.step_s.keys() == {(True, 0), (True, 1), (False, 0), (False, 1)}
    assert all(seconds > 0 for seconds in (*found.step_s.values(), found.measurement_s, found.saving_s))
    assert (found.starts, found.batches, list(tmp_path.iterdir())) == ((0.5,), 3, [])


def test_seconds_are_the_processor_s_where_the_work_is_the_process_s_own() -> None:
    """Else trials beside other work would be shorter than those on an idle machine, and seem worse."""
    taken = {}
    for workers in (0, 2):
        clock = _clock(load_config("demo", [f"data.workers={workers}"]), torch.device("cpu"))
        start = clock()
        time.sleep(0.3)
        taken[workers] = clock() - start
    assert taken[0] < 0.15 and taken[2] >= 0.3
