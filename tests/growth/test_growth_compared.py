"""A comparison counts what has grown in each run, and times that network against a plain sum that does not grow."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from growing_runs import CPU, frames, fresh, grown_config, only, walk
from rich.console import Console

from advmtl.compare import timing
from advmtl.compare.comparison import _grown
from advmtl.compare.configs import plain_sum, single_task
from advmtl.compare.metrics import REFERENCE, Comparison, Outcome, Row, StepTime, against
from advmtl.compare.plan import Plan, architecture_of, measured_parameters, parameters_of
from advmtl.compare.table import grids, notes, to_dict
from advmtl.config.experiment import Config
from advmtl.networks.grown import Architecture, architecture
from advmtl.training.checkpoint import save_checkpoint
from advmtl.training.run_folder import Run
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
    assert architecture_of(state.config, folder.previous) is None  # it is not there
    assert architecture_of(plain_sum(state.config), folder.last) == []


def test_the_last_state_stands_in_for_a_damaged_best_one(run: tuple[Run, State], tmp_path: Path) -> None:
    """As where the figures are measured; without either there is no number, and not that of the ungrown network."""
    good, state = run
    assert state.growth is not None
    other = Run(shutil.copytree(good.folder, tmp_path / "run"))
    other.best.write_bytes(other.best.read_bytes()[:-9])
    assert measured_parameters(state.config, other) == state.growth.history[-1].parameters
    other.best.unlink()
    assert measured_parameters(state.config, other) == state.growth.history[-1].parameters
    other.last.write_bytes(b"")
    assert measured_parameters(state.config, other) is None


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


def test_times_are_kept_with_what_had_grown(
    run: tuple[Run, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another architecture under the same hash is measured, the same one is not; without one there is no time."""
    config, plain, file, timed = run[1].config, plain_sum(run[1].config), tmp_path / "t.json", []

    def in_turn(plain: Config, config: Config, device: object, batches: object, grown: Architecture) -> StepTime:
        timed.append((config.name, len(grown)))
        return StepTime(float(len(timed)), 1.0, 1.0)

    monkeypatch.setattr(timing, "_in_turn", in_turn)

    def relative(*grown: Architecture) -> dict[str, float]:
        by_hash = dict.fromkeys([config.hash], grown[0]) if grown else {}
        times = timing.step_times([config, plain], plain, CPU, file, Console(quiet=True), by_hash)
        return {name: time.relative for name, time in times.items()}

    pair = ["segmentation", "depth"]
    assert relative() == {plain.hash: 1}
    assert relative([]) == {config.hash: 2, plain.hash: 1}
    assert relative([[(4, pair)]]) == {config.hash: 3, plain.hash: 1}
    assert relative([[(4, pair)], [(2, pair)]]) == {config.hash: 4, plain.hash: 1}
    assert relative([[(2, pair)], [(4, pair)]]) == {config.hash: 4, plain.hash: 1}  # the same network in the end
    assert relative([[(4, pair)]]) == {config.hash: 3, plain.hash: 1} and relative() == {plain.hash: 1}
    assert timed == [(plain.name, 0), *((config.name, growths) for growths in (0, 1, 2))]


def test_only_a_finished_first_seed_says_what_has_grown(run: tuple[Run, State], tmp_path: Path) -> None:
    good, state = run
    plan = Plan([state.config, plain_sum(state.config)], {}, 2, tmp_path)
    first = plan.run_of(state.config, 0).run
    shutil.copytree(good.folder, first.folder)
    assert _grown(plan) == {}
    plan.metrics[plan.run_of(state.config, 1).run.folder] = {}
    assert _grown(plan) == {}
    plan.metrics[first.folder] = {}
    assert _grown(plan) == {state.config.hash: architecture(state.generator)}
    first.last.unlink()
    assert _grown(plan) == {}


def test_the_table_shows_them_as_they_differ_by_seed() -> None:
    outcomes = tuple(Outcome(f"r{size}", 0, "done", parameters=size) for size in (1_000_000, 1_040_000))
    grown = Row("mamo", "x", ("depth",), outcomes, 960_000, None, (), grows=True)
    unknown = replace(grown, name="damaged", outcomes=(Outcome("d", 0, "done"),))
    plain = Row("baseline", "y", ("depth",), (Outcome("b", 0, "done"),), 960_000, None, ())
    reference = Row(REFERENCE, "", ("depth",), (Outcome("s", 0, "done"),), 960_000, None, ())
    reference, grown, plain, unknown = (against(row, {}) for row in (reference, grown, plain, unknown))
    comparison = Comparison((), (), reference, (grown, plain, unknown), 64)
    cells = {row[0]: row[4] for row in grids(comparison)[0].rows}
    assert cells == {REFERENCE: "0.960", "mamo": "1.020 ± 0.028", "baseline": "0.960", "damaged": "–"}
    assert "Of a network that grows" in notes(comparison)
    assert "Of a network that grows" not in notes(Comparison((), (), reference, (plain,), 64))
    runs = to_dict(comparison)["configurations"]
    assert [one.get("parameters") for one in runs[0]["runs"]] == [1_000_000, 1_040_000]
    assert "parameters" not in runs[1]["runs"][0]
