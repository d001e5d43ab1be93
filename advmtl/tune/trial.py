"""One trial: an ordinary run, told to the study while it goes on and when it has ended."""

import json
import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import optuna
import torch
from optuna.trial import TrialState
from rich.console import Console

from advmtl.config import Config
from advmtl.training import Callback, ExternalFailure, LostDataError, NonFiniteLoss, Run, fit
from advmtl.tune.objective import Objective
from advmtl.tune.plan import Plan
from advmtl.tune.samplers import PARTS
from advmtl.tune.study import DEATHS, Taken, finish
from preprocessing.ground import InputError, first_line, usable_cores


class Pruned(Exception):
    """The pruner has ended a trial."""


class NoResult(Exception):
    """A trial's metric is infinite, no number, or was not measured; the message names it."""


class Watch(Callback):
    """Ends a run whose objectives are no numbers, and one that the pruner gives up.

    The pruner is told once in each tenth of the budget, so that trials of different numbers of epochs are compared at
    the same share of it. What it is told is read from metrics.jsonl: a run that was killed after a checkpoint and
    before it was told continues without measuring that epoch again.
    """

    def __init__(self, trial: optuna.Trial, run: Run, objectives: tuple[Objective, ...], config: Config) -> None:
        self._trial, self._run, self._objectives, self._train = trial, run, objectives, config.train
        self._tasks = list(config.tasks)
        self._told = dict(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def on_epoch(self, epoch: int, metrics: Mapping[str, Any]) -> bool | None:
        """Raises: NoResult, Pruned."""
        values_of(self._objectives, metrics, f" after epoch {epoch}")
        if len(self._objectives) == 1:
            self._tell(epoch)
        return None

    def _tell(self, epoch: int) -> None:
        part = 0
        for row in _measurements(self._run.metrics, self._tasks):
            if row["epoch"] > epoch:
                break
            part, value = self._part(row), self._objectives[0].of(row["metrics"])
            if part not in self._told and part > 0 and value is not None:
                self._trial.report(value, part)
                self._told[part] = value
        if part < PARTS and self._trial.should_prune():
            self._trial.set_user_attr("pruned_after_epoch", epoch)
            raise Pruned

    def _part(self, row: Mapping[str, Any]) -> int:
        """How many tenths of the budget are over."""
        if self._train.max_steps is not None:
            return int(PARTS * row["step"] // self._train.max_steps)
        return int(PARTS * row["epoch"] // self._train.epochs)


def _measurements(path: Path, tasks: list[str]) -> list[dict[str, Any]]:
    """Epochs, steps and metrics of the validation rows of a run, nested again."""
    found = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if row["kind"] == "validation":
            metrics: dict[str, Any] = {}
            for name, value in row.items():
                task, _, rest = name.partition("/")
                if rest and task in tasks:
                    figure, _, part = rest.partition("/")
                    if part:
                        metrics.setdefault(task, {}).setdefault(figure, {})[part] = value
                    else:
                        metrics.setdefault(task, {})[figure] = value
            found.append({"epoch": row["epoch"], "step": row["step"], "metrics": metrics})
    return found


def values_of(objectives: tuple[Objective, ...], metrics: Mapping[str, Any], when: str = "") -> list[float | None]:
    """The objectives' values, None of what was not measured. Raises: NoResult where one is no finite number."""
    values = [one.of(metrics) for one in objectives]
    for one, value in zip(objectives, values, strict=True):
        if value is not None and not math.isfinite(value):
            raise NoResult(f"{one.key} is {value}{when}")
    return values


def work_on(study: optuna.Study, plan: Plan, taken: Taken, device: torch.device) -> None:
    """Train a trial to its end, or from where it was left, and write down how it ended.

    What is the trial's own fault (a combination of values that cannot be, a loss that is no number, an error of the
    network) fails it, with the reason. What is not (a full disk, lost data, an interruption) leaves it as it is, to be
    gone on with. Raises: InputError, ExternalFailure, OSError, KeyboardInterrupt for these.
    """
    trial, run = taken.trial, plan.run(taken.trial.number)
    if "pruned_after_epoch" in trial.user_attrs:  # its process died before it was written down
        finish(study, plan, taken, TrialState.PRUNED)
        return
    if trial.user_attrs.get("deaths", 0) >= DEATHS:
        trial.set_user_attr("reason", f"its process died {DEATHS} times without a checkpoint between (out of memory?)")
        finish(study, plan, taken, TrialState.FAIL)
        return
    try:
        with (run.folder / "output.txt").open("a") as output:
            state, values = _train(plan, taken, run, device, output)
        trial.set_user_attr("seconds", _seconds(run.timing))
        finish(study, plan, taken, state, values)
    finally:
        taken.lock.close()


def _train(
    plan: Plan, taken: Taken, run: Run, device: torch.device, output: TextIO
) -> tuple[TrialState, list[float] | None]:
    """How the trial ended, and its values where it came to its end. Raises: what is not its own fault."""
    console = Console(file=output, width=160, soft_wrap=True, emoji=False)
    try:
        config = _config(plan, taken, device)
        watch = Watch(taken.trial, run, plan.objectives, config)
        fitted = fit(config, run.folder, device, console, callbacks=[watch])
        values = [value for value in values_of(plan.objectives, fitted.metrics) if value is not None]
        if len(values) == len(plan.objectives):
            return TrialState.COMPLETE, values
        missing = next(one.key for one in plan.objectives if one.of(fitted.metrics) is None)
        reason = f"{missing} could not be measured"
    except Pruned:
        return TrialState.PRUNED, None
    except (LostDataError, ExternalFailure, OSError):
        raise
    except (InputError, NonFiniteLoss, NoResult) as error:
        reason = first_line(error).replace(str(run.folder), "its folder")
    except Exception as error:
        traceback.print_exc(file=output)
        reason = f"{type(error).__name__}: {first_line(error)}"
    console.print(f"failed: {reason}", markup=False, highlight=False)
    taken.trial.set_user_attr("reason", reason)
    return TrialState.FAIL, None


def _config(plan: Plan, taken: Taken, device: torch.device) -> Config:
    """The trial's configuration. Its length is written down, since what fits into seconds is measured, and its threads:
    with as many it is gone on with to the same bits, whoever does it.
    """
    trial = taken.trial
    config, kept = plan.config_of(trial.number, taken.values), trial.user_attrs.get("train")
    if kept is None:
        kept = plan.budget.length(config, device, plan.run(trial.number).folder)
        trial.set_user_attr("threads", min(torch.get_num_threads(), max(1, int(usable_cores()[0]))))
        trial.set_user_attr("train", kept)
    threads = config.train.threads or trial.user_attrs["threads"]
    return config.model_copy(update={"train": config.train.model_copy(update={**kept, "threads": threads})})


def _seconds(timing: Path) -> float:
    """What a run took, steps that were taken again once."""
    if not timing.is_file():
        return 0.0
    rows = [json.loads(line) for line in timing.read_text().splitlines() if line.endswith("}")]
    latest = {(row["step"], row["frames"] > 0): row["seconds"] for row in rows}
    return round(sum(latest.values()), 1)
