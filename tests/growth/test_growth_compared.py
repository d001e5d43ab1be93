"""A comparison counts what has grown in each run, and times that network against a plain sum that does not grow."""

from pathlib import Path
from typing import Any

import pytest
from growing_runs import CPU, frames, fresh, grown_config, only, walk
from rich.console import Console

from advmtl.comparison import timing
from advmtl.comparison.configs import plain_sum, single_task
from advmtl.comparison.figures import REFERENCE, Comparison, Outcome, Row, against
from advmtl.comparison.grown import architecture_of, measured_parameters, parameters_of
from advmtl.comparison.table import grids, notes, to_dict
from advmtl.growth.grow import architecture
from advmtl.training.checkpoint import save_checkpoint
from advmtl.training.runs import Run
from advmtl.training.state import State


def test_references_do_not_grow() -> None:
    config = grown_config(2)
    assert plain_sum(config).growth is None and plain_sum(config).balance.method == "sum"
    assert all(one.growth is None for one in single_task([config]).values())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, State]:
    """Best before the second growth, last after it."""
    run, state = Run(tmp_path_factory.mktemp("run")), fresh(grown_config(2))
    walk(state, 4)
    save_checkpoint(run.best, state.state_dict(), state.config)
    walk(state, 6)
    save_checkpoint(run.last, state.state_dict(), state.config)
    return run, state


def test_parameters_are_those_of_the_measured_state(run: tuple[Run, State]) -> None:
    folder, state = run
    assert state.growth is not None
    first, second = (detection.parameters for detection in state.growth.history)
    assert parameters_of(state.config) < measured_parameters(state.config, folder) == first < second
    assert parameters_of(state.config, architecture_of(state.config, folder.last)) == second
    assert architecture_of(state.config, folder.previous) == []  # it is not there
    assert architecture_of(plain_sum(state.config), folder.last) == []


def test_the_step_that_is_timed_is_that_of_the_grown_network(
    run: tuple[Run, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state = run
    seen: dict[str, set[Any]] = {}

    def step(one: State, batch: object) -> None:
        size = sum(p.numel() for p in one.generator.parameters())
        seen.setdefault(one.config.name, set()).add((size, one.growth, one.optimizer.param_groups[-1]["lr"]))

    monkeypatch.setattr(timing, "train_step", step)
    monkeypatch.setattr(timing, "_batch", lambda config, device, batches: only(frames(0), config))
    config, recorded = state.config, architecture(state.generator)
    plain = plain_sum(config)
    timing.step_times([config], plain, CPU, tmp_path / "t.json", Console(quiet=True), {config.hash: recorded})
    assert seen[config.name] == {(sum(p.numel() for p in state.generator.parameters()), None, 0.0)}
    assert seen["plain sum"] == {(parameters_of(plain), None, 0.0)}


def test_the_table_shows_them_as_they_differ_by_seed() -> None:
    outcomes = tuple(Outcome(f"r{size}", 0, "done", parameters=size) for size in (1_000_000, 1_040_000))
    grown = Row("mamo", "x", ("depth",), outcomes, 960_000, None, ())
    plain = Row("baseline", "y", ("depth",), (Outcome("b", 0, "done"),), 960_000, None, ())
    reference = Row(REFERENCE, "", ("depth",), (Outcome("s", 0, "done"),), 960_000, None, ())
    reference, grown, plain = (against(row, {}) for row in (reference, grown, plain))
    comparison = Comparison((), (), reference, (grown, plain), 64)
    cells = {row[0]: row[4] for row in grids(comparison)[0].rows}
    assert cells == {REFERENCE: "0.960", "mamo": "1.020 ± 0.028", "baseline": "0.960"}
    assert "Of a network that grows" in notes(comparison)
    assert "Of a network that grows" not in notes(Comparison((), (), reference, (plain,), 64))
    runs = to_dict(comparison)["configurations"]
    assert [one.get("parameters") for one in runs[0]["runs"]] == [1_000_000, 1_040_000]
    assert "parameters" not in runs[1]["runs"][0]
