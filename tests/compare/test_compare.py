"""Comparing on a tiny set: what is trained, what is skipped, what continues after a failure, what is written."""

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from run_parts import discriminators_of
from street_set import TASKS

from advmtl.compare import comparison as compare_module
from advmtl.compare import timing as compare_timing
from advmtl.compare.comparison import compare
from advmtl.compare.metrics import Comparison, StepTime
from advmtl.compare.picture import write_tradeoff
from advmtl.compare.plan import is_finished
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.training import loop as loop_module
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.run_folder import Run
from advmtl.training.state import State
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image

CPU = torch.device("cpu")
CRITIC = {"both": {"sees": ["segmentation", "depth"], "objective": "hinge", "channels": 4, "layers": 2}}
RUNS = ["single_segmentation_s4", "single_depth_s4", "plain_s4", "critic_s4"]


@pytest.fixture(scope="module")
def configs(streets: Path) -> list[Config]:
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    shared = {
        "seed": 4,
        "tasks": TASKS,
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 0},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 8},
        "train": {"epochs": 1, "log_every": 1, "warmup_steps": 1, "panels": 0},
    }
    return [
        validate(Config, {"name": "plain", **shared}, "test"),
        validate(Config, {"name": "critic", "discriminators": CRITIC, **shared}, "test"),
    ]


def run(configs: list[Config], out: Path, seeds: int = 1, **options: Any) -> Comparison:
    return compare(configs, seeds, out, CPU, Console(quiet=True), **{"timing": False, **options})


@pytest.fixture(scope="module")
def done(configs: list[Config], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    out = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare_timing, "STEPS", 2)
        comparison = run(configs, out, timing=True)
    assert not comparison.failed
    return out, comparison


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the run folders that are handed to `fit` from now on; figures are made up from the folder's name."""
    names: list[str] = []

    def fit(config: Config, folder: Path, *_: object) -> SimpleNamespace:
        names.append(folder.name)
        figures = {
            "segmentation": {"miou": 0.1 + 0.1 * config.seed, "pixel_accuracy": 0.5},
            "depth": {"abs_rel": 0.2, "rmse_m": 4.0 + config.seed, "delta1": 0.7},
        }
        return SimpleNamespace(metrics={task: figures[task] for task in config.tasks})

    monkeypatch.setattr(compare_module, "fit", fit)
    sizes: dict[str, int] = {}
    count = compare_module.parameters_of

    def counted_once(config: Config) -> int:  # building a network takes longer than all else here
        if config.hash not in sizes:
            sizes[config.hash] = count(config)
        return sizes[config.hash]

    monkeypatch.setattr(compare_module, "parameters_of", counted_once)
    return names


def test_every_configuration_and_task_has_a_run_folder(done: tuple[Path, Comparison]) -> None:
    out, _ = done
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == sorted(RUNS)
    for name in RUNS:
        assert (out / name / "evaluation.json").is_file()
        assert "1 epochs" in (out / name / "output.txt").read_text()
    evaluation = json.loads((out / "single_depth_s4" / "evaluation.json").read_text())
    assert "depth" in evaluation and "segmentation" not in evaluation


def test_frames_left_out_stand_beside_the_row_and_in_the_json(
    configs: list[Config], tmp_path: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compare_module.fit

    def without_frames(config: Config, folder: Path, *rest: object) -> Any:
        result = made(config, folder, *rest)  # type: ignore[call-arg]
        if config.name == "critic":
            result.metrics["skipped"] = [{"name": "f7", "reason": "f7.png: truncated"}]
            result.metrics["skipped_in_training"] = [{"name": "f1", "reason": "f1.png: truncated"}]
        return result

    monkeypatch.setattr(compare_module, "fit", without_frames)
    comparison = run(configs, tmp_path)
    assert comparison.left_out == [("f1", "f1.png: truncated"), ("f7", "f7.png: truncated")]
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["frames_left_out"] for row in found["configurations"]] == [0, 2]
    plain, critic = (row["runs"][0] for row in found["configurations"])
    assert "left_out" not in plain and [frame["name"] for frame in critic["left_out"]] == ["f1", "f7"]
    table = (tmp_path / "table.md").read_text()
    assert "| plain | 1 |" in table and "| critic | 1, 2 frames left out |" in table
    assert "**2 frames left out**" in table and "| f7 | f7.png: truncated |" in table


def test_comparison_json_holds_figures_gains_and_their_sign(done: tuple[Path, Comparison]) -> None:
    out, _ = done
    found = json.loads((out / "comparison.json").read_text())
    assert found["complete"] and found["delta_m"]["sign"].startswith("+ is better")
    assert (
        found["width_px"] == 64
        and found["units"]["depth.rmse_m"] == "m"
        and found["higher_is_better"]["depth.rmse_m"] is False
    )
    plain, critic = found["configurations"]
    assert (plain["name"], critic["name"]) == ("plain", "critic")
    evaluation = json.loads((out / "critic_s4" / "evaluation.json").read_text())
    assert critic["figures"]["depth.rmse_m"]["mean"] == pytest.approx(evaluation["depth"]["rmse_m"])
    assert critic["runs"][0] | {"figures": {}, "delta_m_percent": 0, "win_rate": 0} == {
        **{"run": "critic_s4", "seed": 4, "status": "done", "reason": None},
        **{"figures": {}, "delta_m_percent": 0, "win_rate": 0},
    }
    single = {
        task: json.loads((out / f"single_{task}_s4" / "evaluation.json").read_text())[task]
        for task in ("segmentation", "depth")
    }
    signs = {"segmentation.miou": 1, "segmentation.pixel_accuracy": 1, "depth.abs_rel": -1, "depth.rmse_m": -1}
    gains = []
    for key, sign in signs.items():
        task, figure = key.split(".")
        gains.append(sign * (evaluation[task][figure] / single[task][figure] - 1))
    assert found["delta_m"]["metrics"] == list(signs)
    assert critic["delta_m_percent"]["mean"] == pytest.approx(100 * sum(gains) / 4)
    assert critic["win_rate"]["mean"] == pytest.approx(sum(gain > 0 for gain in gains) / 4)
    assert found["single_task"]["delta_m_percent"]["mean"] == pytest.approx(0, abs=1e-9)


def test_parameters_are_the_deployed_ones(done: tuple[Path, Comparison]) -> None:
    """The critic costs none; two single-task networks repeat what the heads share."""
    reference, plain, critic = done[1].everything
    assert plain.parameters == critic.parameters < reference.parameters < 2 * plain.parameters


def test_step_times_are_relative_to_the_plain_sum(done: tuple[Path, Comparison]) -> None:
    reference, plain, critic = (row.step_time for row in done[1].everything)
    assert plain is not None and plain.relative == 1  # it is the plain sum itself
    assert critic is not None and critic.relative == pytest.approx(critic.seconds / critic.plain_seconds)
    times = json.loads((done[0] / "timing.json").read_text())["times"]
    singles = [one for name, one in times.items() if name not in {row.hash for row in done[1].rows}]
    assert reference is not None and len(singles) == 2
    assert reference.relative == pytest.approx(sum(one["relative"] for one in singles))


def test_steps_are_timed_in_turn_and_once(
    configs: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of the critic's takes 0.3 s, one of the plain sum 0.2 s, the warm-up longer: 1.5."""
    order: list[int] = []

    def timed(state: State, batch: Batch) -> float:
        order.append(len(discriminators_of(state)))
        assert state.optimizer.param_groups[0]["lr"] == 0 and len(batch.names) == 2
        return 9.0 if len(order) <= 6 else 0.2 + 0.1 * len(discriminators_of(state))

    def measure() -> dict[str, StepTime]:
        return compare_timing.step_times(configs[1:], configs[0], CPU, tmp_path / "t.json", Console(quiet=True))

    monkeypatch.setattr(compare_timing, "_timed", timed)
    found = measure()[configs[1].hash]
    assert order == [0, 1] * (len(order) // 2) and len(order) == 2 * 23
    assert (found.relative, found.seconds, found.plain_seconds) == (pytest.approx(1.5), pytest.approx(0.3), 0.2)
    assert measure() == {configs[1].hash: found} and len(order) == 2 * 23
    monkeypatch.setattr(compare_timing, "STEPS", 4)  # measured otherwise: not the same figure
    assert measure().keys() == {configs[1].hash} and len(order) == 2 * 23 + 2 * 7


def test_a_step_that_fails_leaves_the_row_without_a_time(
    configs: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(state: State, batch: Batch) -> float:
        if discriminators_of(state):
            raise NonFiniteLoss("step 0: combined is inf")
        return 0.1

    monkeypatch.setattr(compare_timing, "_timed", timed)
    console = Console(file=io.StringIO(), width=200)
    found = compare_timing.step_times(configs, configs[0], CPU, tmp_path / "t.json", console)
    assert list(found) == [configs[0].hash]
    assert "no step time of critic: step 0: combined is inf" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_units_and_the_sign(done: tuple[Path, Comparison]) -> None:
    text = (done[0] / "table.md").read_text()
    assert "| Δm [%], + is better | win rate [%] | params [M] | step time [× sum] |" in text
    assert "| mIoU [%] ↑ | pixel accuracy [%] ↑ |" in text and "| AbsRel [1] ↓ | RMSE [m] ↓ |" in text
    assert text.count("\n| critic | ") == 3 and "Failed" not in text


def test_the_picture_is_that_of_the_figures(done: tuple[Path, Comparison], tmp_path: Path) -> None:
    picture = read_image(done[0] / "tradeoff.png")
    assert write_tradeoff(done[1], tmp_path / "again.png")
    assert np.array_equal(picture, read_image(tmp_path / "again.png"))
    fewer = replace(done[1], rows=done[1].rows[:1])
    assert write_tradeoff(fewer, tmp_path / "fewer.png")
    assert not np.array_equal(picture, read_image(tmp_path / "fewer.png"))


def test_finished_runs_are_not_trained_again(
    done: tuple[Path, Comparison], configs: list[Config], fitted: list[str]
) -> None:
    out, comparison = done
    again = run(configs, out)
    assert fitted == []
    assert [row.outcomes for row in again.everything] == [row.outcomes for row in comparison.everything]
    run(configs, out, seeds=2)
    assert fitted == [name.replace("_s4", "_s5") for name in RUNS]


def test_a_run_whose_evaluation_is_missing_or_older_is_not_finished(
    done: tuple[Path, Comparison], configs: list[Config]
) -> None:
    folder = done[0] / "plain_s4"
    evaluation, best = folder / "evaluation.json", Run(folder).best
    config = configs[0]
    assert is_finished(config, Run(folder)) and not is_finished(config, Run(folder / "none"))
    before = evaluation.stat().st_mtime_ns
    os.utime(evaluation, ns=(0, best.stat().st_mtime_ns - 1))
    assert not is_finished(config, Run(folder))
    os.utime(evaluation, ns=(before, before))
    assert is_finished(config, Run(folder))


def test_another_run_under_the_same_name_is_told_before_anything_is_trained(
    done: tuple[Path, Comparison], configs: list[Config], fitted: list[str]
) -> None:
    changed = [
        config.model_copy(update={"depth": config.depth.model_copy(update={"max_m": 60.0})}) for config in configs
    ]
    with pytest.raises(
        InputError, match=r"holds another run \(depth.max_m is 80.0 there and 60.0 here\); choose another"
    ):
        run(changed, done[0])
    assert fitted == []


def test_an_interrupted_run_goes_on_and_what_is_finished_stays(
    configs: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = loop_module.train_step
    taken = 0

    def pulled(*args: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == 9:  # three steps each, so the last one of the third run
            raise KeyboardInterrupt
        return real(*args, **options)

    often = configs[0].train.model_copy(update={"checkpoint_every_steps": 1})
    configs = [configs[0].model_copy(update={"train": often})]
    monkeypatch.setattr(loop_module, "train_step", pulled)
    with pytest.raises(KeyboardInterrupt):
        run(configs, tmp_path)
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert not found["complete"] and found["single_task"]["runs"][0]["status"] == "done"
    assert [one["runs"][0]["status"] for one in found["configurations"]] == ["missing"]
    taken = 100
    comparison = run(configs, tmp_path)
    assert taken == 100 + 1  # the one step that was lost
    assert all(row.outcomes[0].status == "done" for row in comparison.everything)


def test_a_failed_run_is_listed_and_the_rest_goes_on(
    configs: list[Config], tmp_path: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compare_module.fit
    errors = {
        "plain": NonFiniteLoss("step 3: depth/berhu is nan; frames of the batch: a, b"),
        "single_depth": ArithmeticError("singular"),
    }

    def fit(config: Config, *args: Any) -> Any:
        metrics = real(config, *args)
        if config.name in errors and config.seed == 4:
            raise errors[config.name]
        return metrics

    monkeypatch.setattr(compare_module, "fit", fit)
    comparison = run(configs, tmp_path, seeds=2)
    assert len(fitted) == 8
    reasons = {"single_depth_s4": "ArithmeticError: singular", "plain_s4": str(errors["plain"])}
    assert comparison.failed == reasons
    reference, plain, critic = comparison.everything
    assert [[one.status for one in row.outcomes] for row in (reference, plain, critic)] == [
        *(["failed", "done"], ["failed", "done"], ["done", "done"])
    ]
    assert plain.delta_m[0] is None and None not in (plain.delta_m[1], *critic.delta_m)  # the reference: seed 5 alone
    text = (tmp_path / "table.md").read_text()
    assert "| plain | 1, 1 failed | " in text and "| plain_s4 | step 3: depth/berhu is nan |" in text
    kept = json.loads((tmp_path / "comparison.json").read_text())["configurations"][0]["runs"]
    assert [(one["status"], one["reason"]) for one in kept] == [("failed", reasons["plain_s4"]), ("done", None)]
    assert "Traceback" in (tmp_path / "single_depth_s4" / "output.txt").read_text()
    errors.clear()
    assert not run(configs, tmp_path, seeds=2).failed  # tried again


def test_what_is_missing_is_told_before_anything_is_trained(
    configs: list[Config], tmp_path: Path, fitted: list[str]
) -> None:
    encoder = configs[0].encoder.model_copy(update={"weights": "nowhere.pt"})
    with pytest.raises(InputError, match=r"nowhere\.pt"):
        run([configs[0], configs[1].model_copy(update={"encoder": encoder})], tmp_path)
    unlabelled = [one.model_copy(update={"depth": "none"}) for one in configs[0].data.train]
    data = configs[0].data.model_copy(update={"train": unlabelled})
    with pytest.raises(InputError, match=r"tasks\.depth: no training frame has this label"):
        run([configs[0].model_copy(update={"data": data})], tmp_path)
    assert fitted == []


def test_seeds_come_one_after_the_other_and_share_nothing(
    configs: list[Config], tmp_path: Path, fitted: list[str]
) -> None:
    """Figures are made up: mIoU 0.1 + 0.1 seed, so 0.5 and 0.6 against a mean of 0.55."""
    comparison = run(configs[:1], tmp_path, seeds=2, metrics=["segmentation.miou", "depth.abs_rel"])
    assert fitted == [f"{name}_s{seed}" for seed in (4, 5) for name in ("single_segmentation", "single_depth", "plain")]
    gain = 100 * (0.05 / 0.55) / 2
    assert comparison.rows[0].delta_m == (pytest.approx(-gain), pytest.approx(gain))
    assert comparison.rows[0].win_rate == (0, 0.5)
    assert comparison.reference.delta_m == comparison.rows[0].delta_m


def test_a_configuration_that_is_its_own_reference_is_trained_once(
    configs: list[Config], tmp_path: Path, fitted: list[str]
) -> None:
    alone = configs[0].model_copy(update={"name": "mine", "tasks": {"depth": configs[0].tasks["depth"]}})
    comparison = run([configs[0], alone], tmp_path)
    assert fitted == ["single_segmentation_s4", "single_depth_s4", "plain_s4"]
    mine = comparison.rows[1]
    assert (
        mine.name == "mine" and mine.delta_m == (pytest.approx(0),) and [m.task for m in mine.metrics] == ["depth"] * 2
    )
    assert "0.00 (of 2/4)" in (tmp_path / "table.md").read_text()
