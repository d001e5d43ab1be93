"""A study whose trials are made up: which are drawn, how each ends, what leads, what is written; no training."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from made_up_trials import MadeUp, Metrics, by_learning_rate, street_config
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from rich.console import Console

from advmtl.config.experiment import Config
from advmtl.config.files import load_config
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.guards import ExternalFailure
from advmtl.tune import outcome as outcome_module
from advmtl.tune import study as study_module
from advmtl.tune import trial as trial_module
from advmtl.tune.budget import Budget
from advmtl.tune.outcome import Tuned
from advmtl.tune.picture import write_picture
from advmtl.tune.space import space_of
from advmtl.tune.study import DEATHS, load_study
from advmtl.tune.tuning import tune
from preprocessing.ground.errors import InputError

RATES = {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
SPACE = {**RATES, "balance.method": ["sum", "famo"]}
Run = Callable[..., Tuned]


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


class Memory(InMemoryStorage):
    """In the place of the SQLite file, whose tables take a second to make: the same for all who open the file."""

    def remove_session(self) -> None:
        self.engine = SimpleNamespace(dispose=lambda: None)


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of this test by folder; files without content stand for them."""
    found: dict[Path, Memory] = {}

    def storage(path: Path) -> Memory:
        path.touch()
        return found.setdefault(path.parent, Memory())

    monkeypatch.setattr(study_module, "_storage", storage)


@pytest.fixture
def run_on_disk(streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: io.StringIO) -> Run:
    """A call of `tune` with made-up trials; `fit` in the place of the one that follows the learning rate."""

    def call(
        trials: int = 4,
        content: dict[str, Any] = SPACE,
        *,
        fit: MadeUp | None = None,
        out: str = "study",
        config: Config | None = None,
        drawn: bool = False,
        **options: Any,
    ) -> Tuned:
        monkeypatch.setattr(trial_module, "fit", fit or MadeUp())
        draw = write_picture if drawn else lambda *arguments: True  # it takes half of the time
        monkeypatch.setattr(outcome_module, "write_picture", draw)
        console = Console(file=said, width=250)
        used = config or street_config(streets)
        return tune(
            used,
            space_of(content, "space.yaml"),
            tmp_path / out,
            torch.device("cpu"),
            console,
            trials=trials,
            **options,
        )

    return call


@pytest.fixture
def run(run_on_disk: Run, in_memory: None) -> Run:
    """The same without SQLite."""
    return run_on_disk


def states(tuned: Tuned) -> list[str]:
    return [one.state for one in tuned.trials]


def test_the_first_trial_is_the_configuration_and_the_best_one_a_file_that_trains(run: Run, tmp_path: Path) -> None:
    tuned = run(5, objectives=["segmentation.miou"])
    first, best = tuned.trials[0], tuned.best
    assert first.own and first.values == {"train.learning_rate": 0.001, "balance.method": "sum"}
    assert best is not None and best.metrics["segmentation.miou"] == max(
        one.metrics["segmentation.miou"] for one in tuned.trials if one.metrics
    )
    again = load_config(tmp_path / "study" / "best.yaml")
    assert again.train.learning_rate == best.values["train.learning_rate"] and again.name == "street-tuned"
    assert again.hash == tuned.plan.config_of(best.number, best.values).hash


def test_what_is_written_says_what_was_done(run: Run, tmp_path: Path, said: io.StringIO) -> None:
    tuned = run(10, seed=5)
    run(10, seed=5, drawn=True)
    written = json.loads((tmp_path / "study" / "study.json").read_text())
    assert written["sampler"] == {"name": "tpe", "what": "TPE, the first 8 at random", "seed": 5}
    assert written["objectives"]["depth.abs_rel"] == {"direction": "minimize", "unit": "1"}
    assert written["counts"] == {"complete": 10} and [one["number"] for one in written["trials"]] == list(range(10))
    assert tuned.front is not None and written["front"]["trials"] == [one.number for one in tuned.front.trials]
    assert set(written["importances"]) == {"segmentation.miou", "depth.abs_rel"}
    assert sum(written["importances"]["depth.abs_rel"].values()) == pytest.approx(1)
    assert (tmp_path / "study" / "front.png").is_file()
    table = (tmp_path / "study" / "table.md").read_text()
    assert "| trial | segmentation.miou [1] ↑ | depth.abs_rel [1] ↓ | learning_rate | method | epochs |" in table
    text = said.getvalue()
    assert "sampler: TPE, the first 8 at random, seed 5 · pruner: no pruner" in text and "10/10 trial 0009: " in text
    assert "the configuration's own values: trial 0000" in text and "the worst of the complete trials" in text


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_with_breaks_draws_what_one_without_draws(run: Run, sampler: str) -> None:
    whole = run(10, out="whole", sampler=sampler, objectives=["depth.abs_rel"])
    for trials in (3, 9, 10):
        broken = run(trials, out="broken", sampler=sampler, objectives=["depth.abs_rel"])
        assert len(broken.trials) == trials
    assert [one.values for one in broken.trials] == [one.values for one in whole.trials]
    other = run(2, out="other", sampler=sampler, objectives=["depth.abs_rel"], seed=1)
    assert other.trials[1].values != whole.trials[1].values


def test_fewer_trials_than_there_are_change_nothing(run: Run) -> None:
    fit = MadeUp()
    assert len(run(4).trials) == 4 and len(run(2, fit=fit).trials) == 4 and fit.configs == []


def test_a_grid_is_every_point_once(run: Run) -> None:
    content = {"train.learning_rate": [1e-3, 3e-3], "train.ema_decay": {"low": 0.9, "high": 0.98, "step": 0.04}}
    first = run(4, content, sampler="grid", seed=3)
    tuned = run(None, content, sampler="grid", seed=3)  # type: ignore[arg-type]
    assert [one.values for one in tuned.trials[:4]] == [one.values for one in first.trials]
    assert len({tuple(one.values.values()) for one in tuned.trials}) == len(tuned.trials) == 6
    assert len(run(9, content, sampler="grid", seed=3).trials) == 6


def test_conditional_keys_are_drawn_with_what_they_wait_for(run: Run) -> None:
    content = {
        "balance.method": ["sum", "stch"],
        "balance.options.mu": {"low": 0.1, "high": 10, "when": {"balance.method": "stch"}},
    }
    fit = MadeUp()
    tuned = run(6, content, fit=fit)
    assert {one.values["balance.method"] for one in tuned.trials} == {"sum", "stch"}
    for one, config in zip(tuned.trials, fit.configs, strict=True):
        assert ("balance.options.mu" in one.values) == (one.values["balance.method"] == "stch")
        assert config.balance.options.get("mu") == one.values.get("balance.options.mu")


def broken_above(rate: float, error: Exception) -> Callable[[Config, int], None]:
    def fail(config: Config, epoch: int) -> None:
        if config.train.learning_rate > rate:
            raise error

    return fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NonFiniteLoss("step 3: depth/loss is nan"), "step 3: depth/loss is nan"),
        (InputError("data.size: too small"), "data.size: too small"),
        (RuntimeError("shapes\ndo not fit"), "RuntimeError: shapes"),
    ],
)
def test_a_trial_that_fails_is_written_down_with_its_reason_and_the_study_goes_on(
    run: Run, error: Exception, reason: str, said: io.StringIO
) -> None:
    tuned = run(6, fit=MadeUp(fails=broken_above(0.002, error)))
    failed = [one for one in tuned.trials if one.state == "failed"]
    assert 0 < len(failed) < 6 and {one.reason for one in failed} == {reason}
    assert all(one.values["train.learning_rate"] > 0.002 and not one.metrics for one in failed)
    assert "Failed trials" in said.getvalue() and f"failed: {reason}" in said.getvalue()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("objectives", [["depth.abs_rel"], ["segmentation.miou", "depth.abs_rel"]])
def test_a_diverged_trial_never_leads(run: Run, value: float, objectives: list[str], tmp_path: Path) -> None:
    """Above 0.002 AbsRel is no number, which Optuna would keep on its front, or, −∞, take for the best."""

    def metrics(config: Config, epoch: int) -> Metrics:
        found = by_learning_rate(config, epoch)
        if config.train.learning_rate > 0.002 and epoch == 2:
            found["depth"]["abs_rel"] = value
        return found

    tuned = run(6, fit=MadeUp(metrics), objectives=objectives)
    failed = [one for one in tuned.trials if one.state == "failed"]
    assert failed and {one.reason for one in failed} == {f"depth.abs_rel is {value} after epoch 2"}
    leading = [tuned.best] if tuned.front is None else list(tuned.front.trials)
    assert leading and all(one is not None and one.values["train.learning_rate"] <= 0.002 for one in leading)
    study = load_study(tmp_path / "study" / "study.db")
    best = [study.best_trial] if len(objectives) == 1 else study.best_trials
    assert all(math.isfinite(number) for one in best for number in one.values)


def test_an_objective_that_was_not_measured_fails_the_trial(run: Run) -> None:
    """No frame has a bus: its IoU is None."""
    tuned = run(2, objectives=["segmentation.iou_per_class.bus"], config=None)
    assert {one.reason for one in tuned.trials} == {"segmentation.iou_per_class.bus could not be measured"}
    assert tuned.best is None


def test_the_same_failure_of_every_trial_ends_the_study(run: Run) -> None:
    always = MadeUp(fails=broken_above(0, InputError("encoder.weights: no such file")))
    with pytest.raises(InputError, match=r"all 3 trials failed alike: encoder.weights: no such file"):
        run(12, fit=always)
    # The fault mended, the same line goes on.
    assert states(run(6)) == ["failed"] * 3 + ["complete"] * 3


def test_what_is_not_the_trials_fault_leaves_it_to_be_gone_on_with(run: Run) -> None:
    with pytest.raises(ExternalFailure):
        run(3, fit=MadeUp(fails=broken_above(0, ExternalFailure("no space left"))))
    with pytest.raises(KeyboardInterrupt):
        run(3, fit=MadeUp(fails=broken_above(0, KeyboardInterrupt())))  # type: ignore[arg-type]
    tuned = run(3)
    assert states(tuned) == ["complete"] * 3 and [one.resumed for one in tuned.trials] == [2, 0, 0]


def test_a_trial_whose_process_dies_again_and_again_is_given_up(run: Run) -> None:
    for _ in range(DEATHS):
        with pytest.raises(KeyboardInterrupt):
            run(2, fit=MadeUp(fails=broken_above(0, KeyboardInterrupt())))  # type: ignore[arg-type]
    tuned = run(2)
    assert states(tuned) == ["failed", "complete"] and "died 12 times" in tuned.trials[0].reason


def test_another_study_in_the_folder_is_refused_and_the_difference_named(run: Run, streets: Path) -> None:
    run(1)
    for changed, said in (
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"sampler": "random"}, "sampler is tpe there and random here"),
        ({"budget": Budget("epochs", 3)}, "budget.unit is None there and epochs here|budget.amount is 0 there"),
        ({"content": RATES}, "space.balance.method is .* there and None here"),
        ({"objectives": ["depth.abs_rel"]}, "objectives is .* there and .* here|pruner is"),
        ({"config": street_config(streets, train={"epochs": 7})}, "train.epochs is 2 there and 7 here"),
    ):
        with pytest.raises(InputError, match=f"holds another study \\(({said})"):
            run(2, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sampler": "tpee"}, "--sampler 'tpee': there are tpe, random, grid, cmaes"),
        ({"pruner": "medium"}, "--pruner 'medium': there are none, median, hyperband"),
        ({"pruner": "median"}, "--pruner median: with 2 objectives"),
        ({"objectives": ["depth.abs"]}, "--objective depth.abs: no metric"),
        ({"objectives": ["depth.abs_rel", "depth.abs_rel"]}, "--objective depth.abs_rel: stands there twice"),
        ({"objectives": ["instance.pq"]}, "--objective instance.pq: no task 'instance' here"),
        ({"sampler": "grid"}, "space.yaml: train.learning_rate: a grid needs a step"),
        ({"reference": ["miou=1"]}, "--reference miou=1: no objective of this study"),
        (
            {"content": {"train.epochs": [1, 2]}, "budget": Budget("steps", 10)},
            "space.yaml: train.epochs: each trial has 10 steps",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        run(2, **options)
    assert str(caught.value).startswith(said) and not (tmp_path / "study").exists()


def test_data_without_the_label_of_an_objective_are_refused(run: Run, streets: Path, tmp_path: Path) -> None:
    from street_set import write_folder

    write_folder(tmp_path / "flat", labels=True)
    source = [{"format": "folder", "root": str(tmp_path / "flat")}]
    config = load_config(street_config(streets).model_dump(mode="json"), [f"data.val={json.dumps(source)}"])
    with pytest.raises(InputError, match=r"--objective depth.abs_rel: no validation frame has the label of depth"):
        run(2, config=config)


def test_budgets_become_epochs(run: Run) -> None:
    """Three steps an epoch: ten steps are three epochs."""
    for budget, epochs in ((Budget(), 2), (Budget("epochs", 5), 5), (Budget("steps", 10), 3), (Budget("steps", 1), 1)):
        fit = MadeUp()
        run(1, fit=fit, budget=budget, out=budget.text)
        assert fit.configs[0].train.epochs == epochs


def test_epochs_that_fit_into_seconds_are_measured_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from advmtl.tune import budget as budget_module

    monkeypatch.setattr(budget_module, "measure", lambda config, device: (2.0, 1.0))
    with pytest.raises(KeyboardInterrupt):
        run(1, budget=Budget("seconds", 30), fit=MadeUp(fails=broken_above(0, KeyboardInterrupt())))  # type: ignore[arg-type]
    monkeypatch.setattr(budget_module, "measure", lambda config, device: (20.0, 1.0))  # the machine is busy now
    fit = MadeUp()
    # Nine epochs with a measurement each, and one more at the end: 9 x 3 + 1 <= 30.
    assert run(1, budget=Budget("seconds", 30), fit=fit).trials[0].epochs == fit.configs[0].train.epochs == 9


def test_a_pruned_trial_is_one_and_does_not_lead(run: Run, streets: Path, said: io.StringIO) -> None:
    config = street_config(streets, train={"epochs": 20})
    fit = MadeUp()
    tuned = run(16, RATES, config=config, fit=fit, objectives=["segmentation.miou"], sampler="random")
    pruned = [one for one in tuned.trials if one.state == "pruned"]
    assert pruned and not any(one.metrics for one in pruned) and tuned.best not in pruned
    # From three tenths on, which are 6 epochs, and from the sixth trial on.
    assert all(one.number >= 5 and one.pruned_after_epoch in range(6, 20) for one in pruned)
    assert f"pruned after epoch {pruned[0].pruned_after_epoch} of 20" in said.getvalue()
    assert "pruner: median pruner" in said.getvalue() and "the pruner sees" not in said.getvalue()


def test_the_pruner_sees_each_tenth_of_the_budget_once_also_after_a_kill(
    run: Run, streets: Path, tmp_path: Path
) -> None:
    """Killed after epoch 12 was logged and before it was told: it is told with the next one."""

    def killed(config: Config, epoch: int) -> None:
        if epoch == 13:
            raise KeyboardInterrupt

    class Silent(MadeUp):
        """Dies before the callbacks hear of epoch 12."""

        def __call__(self, *arguments: Any, callbacks: Any = (), **options: Any) -> Any:
            (watch,) = callbacks

            class Deaf:
                def on_epoch(self, epoch: int, metrics: Metrics) -> None:
                    if epoch < 12:
                        watch.on_epoch(epoch, metrics)

            return super().__call__(*arguments, callbacks=[Deaf()], **options)  # type: ignore[list-item]

    config = street_config(streets, train={"epochs": 30})
    options: dict[str, Any] = {"config": config, "objectives": ["segmentation.miou"]}
    run(1, RATES, out="whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(1, RATES, fit=Silent(fails=killed), **options)
    run(1, RATES, **options)
    told = [load_study(tmp_path / out / "study.db").trials[0].intermediate_values for out in ("whole", "study")]
    assert told[0] == told[1] and sorted(told[0]) == list(range(1, 11))
    # Of 30 epochs the first in each tenth: 3, 6, …
    assert told[0][4] == pytest.approx(by_learning_rate(config, 12)["segmentation"]["miou"])


def test_hyperband_prunes_and_score_is_an_objective(run: Run, streets: Path) -> None:
    def metrics(config: Config, epoch: int) -> Metrics:
        found = by_learning_rate(config, epoch)
        return found | {"depth": found["depth"] | {"delta1": 0.5}}

    config = street_config(streets, train={"epochs": 10})
    tuned = run(
        16, RATES, config=config, fit=MadeUp(metrics), objectives=["score"], pruner="hyperband", sampler="random"
    )
    assert {"complete", "pruned"} == set(states(tuned))
    assert tuned.best is not None and tuned.best.metrics.keys() == {"score"}


def test_a_pruned_trial_that_died_before_it_was_written_down_is_not_trained_again(
    run: Run, streets: Path, tmp_path: Path
) -> None:
    config = street_config(streets)
    with pytest.raises(KeyboardInterrupt):
        run(1, fit=MadeUp(fails=broken_above(0, KeyboardInterrupt())), objectives=["score"], config=config)  # type: ignore[arg-type]
    study = load_study(tmp_path / "study" / "study.db")
    optuna.trial.Trial(study, study.trials[0]._trial_id).set_user_attr("pruned_after_epoch", 1)
    fit = MadeUp()
    assert states(run(1, fit=fit, objectives=["score"], config=config)) == ["pruned"] and fit.configs == []


def test_the_file_is_an_ordinary_study_for_a_dashboard_or_a_script(run_on_disk: Run, tmp_path: Path) -> None:
    run_on_disk(6, fit=MadeUp(fails=broken_above(0.002, NonFiniteLoss("step 3: nan"))))
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{tmp_path}/study/study.db")
    assert {one.state for one in study.trials} == {TrialState.COMPLETE, TrialState.FAIL}
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    (tmp_path / "study" / "study.db").write_bytes(b"no database")
    with pytest.raises(InputError, match=r"study.db: holds no study of advmtl tune"):
        run_on_disk(7)
