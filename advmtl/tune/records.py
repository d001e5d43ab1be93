"""The trials of a study as plain values, and what can be said of them all."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from advmtl.tune.plan import Plan
from advmtl.tune.space import Values

State = Literal["complete", "pruned", "failed", "running", "waiting"]
_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
ENOUGH = 10
"""Complete trials from which on importances are told."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        values: of its keys of the space.
        metrics: by objective, of a complete one.
        own: whether its values are the configuration's own.
        reason: why it failed.
        epochs: that it was to train.
        pruned_after_epoch: where the pruner ended it.
        seconds: that it trained, measured and saved, by its timing.jsonl.
        resumed: how often it was gone on with after its process had ended.
    """

    number: int
    state: State
    folder: Path
    values: Values
    metrics: dict[str, float]
    own: bool = False
    reason: str = ""
    epochs: int | None = None
    pruned_after_epoch: int | None = None
    seconds: float | None = None
    resumed: int = 0

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state not in ("running", "waiting")

    def to_dict(self, root: Path) -> dict[str, Any]:
        """Plain values, the folder as seen from `root`."""
        return {**self.__dict__, "folder": self.folder.relative_to(root).as_posix()}


def records_of(study: optuna.Study, plan: Plan) -> list[TrialRecord]:
    """All trials by number."""
    return [_record(one, plan) for one in study.get_trials(deepcopy=False)]


def _record(trial: FrozenTrial, plan: Plan) -> TrialRecord:
    facts, by_key = trial.user_attrs, {one.key: one for one in plan.space.dimensions}
    metrics: dict[str, float] = {}
    if trial.state == TrialState.COMPLETE:
        metrics = dict(zip((one.key for one in plan.objectives), trial.values, strict=True))
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        folder=plan.run(trial.number).folder,
        values={key: by_key[key].value(value) for key, value in trial.params.items()},
        metrics=metrics,
        own=bool(facts.get("own")),
        **{key: facts[key] for key in ("reason", "epochs", "pruned_after_epoch", "seconds", "resumed") if key in facts},
    )


def ranked(records: Sequence[TrialRecord], plan: Plan) -> list[TrialRecord]:
    """Complete trials, the best by the first objective first."""
    first = plan.objectives[0]
    return sorted((one for one in records if one.metrics), key=lambda one: first.loss(one.metrics[first.key]))


def _known(losses: Mapping[int, float], trial: FrozenTrial) -> float:
    return losses[trial.number]


def importances(study: optuna.Study, plan: Plan) -> dict[str, dict[str, float]]:
    """By objective, each key's share in what sets the best tenth of the trials apart, 0 to 1, the largest first.

    PED-ANOVA (Watanabe et al. 2023). Empty with fewer than `ENOUGH` complete trials, or where all are alike.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < ENOUGH:
        return {}
    found: dict[str, dict[str, float]] = {}
    for number, one in enumerate(plan.objectives):
        losses = {trial.number: one.loss(trial.values[number]) for trial in complete}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                found[one.key] = get_param_importances(
                    study, evaluator=PedAnovaImportanceEvaluator(), target=partial(_known, losses)
                )
        except (ValueError, RuntimeError):  # no key that all trials have, or no difference between them
            continue
    return found
