"""A budget of steps: where it cuts an epoch, what is measured, and resuming it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from same_bits import assert_equal
from tiny_run import CPU, make_config, quiet

from advmtl.compare.plan import is_finished
from advmtl.training import loop as loop_module
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.fitting import fit
from advmtl.training.run_folder import Run


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    return [row for row in found if row["kind"] == kind]


@pytest.fixture(scope="module")
def cut(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps, of three an epoch."""
    folder, output = tmp_path_factory.mktemp("runs") / "cut", io.StringIO()
    fit(make_config(streets, critic=False, max_steps=5), folder, CPU, Console(file=output, width=200))
    assert "3 steps an epoch, 2 frames a step, 5 steps (1.67 epochs)" in output.getvalue()
    return folder


def test_the_training_ends_after_so_many_steps_and_is_measured_there(cut: Path, streets: Path) -> None:
    assert [row["step"] for row in rows(cut, "train")] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in rows(cut, "validation")] == [3, 5]
    config = make_config(streets, critic=False, max_steps=5)
    assert is_finished(config, Run(cut))
    last = rows(cut, "train")[-1]["learning_rate"]
    assert last == pytest.approx(1e-3 * (1 / 5) ** 0.9)  # the schedule is that of five steps


def test_asked_again_it_is_only_evaluated(cut: Path, streets: Path) -> None:
    before = (cut / "metrics.jsonl").read_bytes()
    fit(make_config(streets, critic=False, max_steps=5), cut, CPU, quiet())
    assert (cut / "metrics.jsonl").read_bytes() == before


def test_whole_epochs_are_the_same_bits_as_a_budget_of_epochs(streets: Path, tmp_path: Path) -> None:
    fit(make_config(streets, critic=False), tmp_path / "epochs", CPU, quiet())
    fit(make_config(streets, critic=False, max_steps=6, epochs=9), tmp_path / "steps", CPU, quiet())
    (a, _), (b, _) = (load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("epochs", "steps"))
    assert_equal(a, b)


class _PulledPlugError(Exception):
    """Stands for a power loss."""


@pytest.mark.parametrize("moment", ["after step 4", "in the last measurement"])
def test_a_resume_gives_the_same_bits(
    moment: str, cut: Path, streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "train_step" if moment == "after step 4" else "evaluate"
    real, calls, allowed = getattr(loop_module, name), 0, 4 if name == "train_step" else 1

    def until_the_plug_is_pulled(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > allowed:
            raise _PulledPlugError
        return real(*args, **options)

    config = make_config(streets, critic=False, max_steps=5, checkpoint_every_steps=1)
    monkeypatch.setattr(loop_module, name, until_the_plug_is_pulled)
    with pytest.raises(_PulledPlugError):
        fit(config, tmp_path / "run", CPU, quiet())
    assert not is_finished(config, Run(tmp_path / "run"))
    monkeypatch.setattr(loop_module, name, real)
    fit(config, tmp_path / "run", CPU, quiet())
    (a, _), (b, _) = (load_checkpoint(path / "checkpoints" / "last.pt") for path in (cut, tmp_path / "run"))
    assert_equal(a, b)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (cut / "metrics.jsonl").read_bytes()


def test_a_plateau_stops_it_before(streets: Path, tmp_path: Path) -> None:
    """At this rate, with norms that keep their statistics, nothing that is measured changes."""
    output, rate = io.StringIO(), 1e-12
    config = make_config(
        streets, critic=False, max_steps=11, patience=1, learning_rate=rate, panels=0, batch_norm="frozen"
    )
    config = config.model_copy(update={"train": config.train.model_copy(update={"ema_decay": 0.0})})
    fit(config, tmp_path / "run", CPU, Console(file=output, width=200))
    stops = [line for line in output.getvalue().splitlines() if line.startswith("stopped after epoch")]
    assert len(stops) == 1 and "of 11): no better score" in stops[0]
