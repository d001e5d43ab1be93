"""`advmtl tune` on the command line, and what it takes from there."""

import importlib.util
from pathlib import Path

import pytest
from command_line import advmtl
from made_up_trials import MadeUp, street_config

from advmtl.config.files import load_config
from advmtl.tune import trial as trial_module
from advmtl.tune.budget import fitting_epochs

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


@pytest.mark.parametrize(
    ("seconds", "epoch_s", "measurement_s", "every", "epochs"),
    [
        (100, 10, 0, 1, 10),
        (100, 9, 1, 1, 9),  # 9 x (9 + 1) + 1
        (100, 9, 1, 5, 10),  # 10 x 9, measured after 5 and 10, and once more
        (100, 200, 50, 1, 1),  # one at least
    ],
)
def test_as_many_epochs_as_fit(seconds: float, epoch_s: float, measurement_s: float, every: int, epochs: int) -> None:
    assert fitting_epochs(seconds, epoch_s, measurement_s, every) == epochs
