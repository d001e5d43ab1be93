"""What a study has come to, on disk and in the terminal: study.json, table.md, the picture, best.yaml."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from rich.console import Console

from advmtl.compare import Grid
from advmtl.tune.front import Front, front_of
from advmtl.tune.locks import locked
from advmtl.tune.picture import write_picture
from advmtl.tune.plan import Plan
from advmtl.tune.records import TrialRecord, importances, ranked, records_of
from advmtl.tune.samplers import words
from advmtl.tune.space import override
from advmtl.version import __version__
from preprocessing.ground import atomic_write, write_json

_SHOWN = 10
_NONE = "–"


@dataclass(frozen=True)
class Tuned:
    """A study so far.

    Attributes:
        plan: its settings.
        trials: all, by number.
        best: the complete trial with the best objective; of several objectives, the balanced one of the front. None
            while none is complete.
        front: of several objectives.
        importances: by objective and key, 0 to 1; empty where there are too few trials.
    """

    plan: Plan
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    front: Front | None
    importances: Mapping[str, Mapping[str, float]]

    def count(self, state: str) -> int:
        """Trials in a state."""
        return sum(one.state == state for one in self.trials)


def outcome_of(study: optuna.Study, plan: Plan, reference: Mapping[str, float] | None = None) -> Tuned:
    """Read a study as it stands."""
    records = records_of(study, plan)
    several = len(plan.objectives) > 1
    front = front_of(records, plan.objectives, reference) if several else None
    first = next(iter(ranked(records, plan)), None)
    best = front.balanced if front is not None else first
    return Tuned(plan, tuple(records), best, front, importances(study, plan))


def publish(study: optuna.Study, plan: Plan, reference: Mapping[str, float] | None = None) -> Tuned:
    """Write study.json, table.md, front.png or history.png, and best.yaml anew."""
    with locked(plan.lock):  # else an older state could be written over a newer one
        tuned = outcome_of(study, plan, reference)
        write_json(plan.folder / "study.json", to_dict(tuned))
        with atomic_write(plan.folder / "table.md") as temporary:
            temporary.write_text("\n\n".join(grid.markdown() for grid in grids(tuned)) + "\n")
        write_picture(plan, tuned.trials, tuned.front)
        if tuned.best is not None:
            _write_best(plan, tuned.best)
    return tuned


def _write_best(plan: Plan, best: TrialRecord) -> None:
    config = plan.config_of(best.number, best.values)
    train = config.train.model_copy(update=dict(best.train))
    config = config.model_copy(update={"name": f"{plan.config.name}-tuned", "train": train})
    figures = ", ".join(f"{key} {value:.6g}" for key, value in best.metrics.items())
    with atomic_write(plan.folder / "best.yaml") as temporary:
        temporary.write_text(f"# Trial {best.number:04d} of advmtl tune: {figures}\n{config.to_yaml()}")


def to_dict(tuned: Tuned) -> dict[str, Any]:
    """For study.json."""
    plan = tuned.plan
    return {
        "advmtl": __version__,
        "optuna": optuna.__version__,
        "configuration": {"name": plan.config.name, "hash": plan.config.hash},
        "space": plan.space.to_dict(),
        "objectives": {
            one.key: {"direction": "maximize" if one.higher else "minimize", "unit": one.unit}
            for one in plan.objectives
        },
        "sampler": {"name": plan.sampler, "what": words(plan.sampler), "seed": plan.seed},
        "pruner": {"name": plan.pruner, "what": words(plan.pruner)},
        "budget": plan.budget.to_dict(),
        "counts": dict(Counter(one.state for one in tuned.trials)),
        "best": None if tuned.best is None else tuned.best.number,
        "front": None if tuned.front is None else tuned.front.to_dict(),
        "importances": {key: dict(found) for key, found in tuned.importances.items()},
        "trials": [one.to_dict(plan.folder) for one in tuned.trials],
    }


def grids(tuned: Tuned) -> list[Grid]:
    """The best trials or the front, what the keys matter, and what failed and why."""
    plan, tables = tuned.plan, []
    order = ranked(tuned.trials, plan)
    if tuned.front is not None:
        title = f"Pareto front: {len(tuned.front.trials)} of {len(order)} complete trials; * the balanced one"
        tables.append(_trials(title, tuned.front.trials, tuned))
        own = [one for one in order if one.own and one not in tuned.front.trials]
        if own:
            tables.append(_trials("The configuration's own values", own, tuned))
    elif order:
        shown = order[:_SHOWN] + [one for one in order[_SHOWN:] if one.own]
        tables.append(
            _trials(f"The best of {len(order)} complete trials; = the configuration's own values", shown, tuned)
        )
    if tuned.importances:
        keys = [one.key for one in plan.space.dimensions]
        rows = tuple(
            (key, *(f"{found[key]:.2f}" if key in found else _NONE for found in tuned.importances.values()))
            for key in keys
        )
        tables.append(Grid("Importance of the keys (PED-ANOVA), 0 to 1", ("key", *tuned.importances), rows))
    failed = Counter(one.reason for one in tuned.trials if one.state == "failed")
    if failed:
        rows = tuple((str(count), reason) for reason, count in failed.most_common())
        tables.append(Grid("Failed trials (each in study.json)", ("trials", "reason"), rows, words=True))
    return tables


def _trials(title: str, shown: Sequence[TrialRecord], tuned: Tuned) -> Grid:
    plan = tuned.plan
    keys = [one.key for one in plan.space.dimensions]
    heads = ("trial", *(one.title for one in plan.objectives), *short(keys), "length", "time [s]")
    rows = tuple(
        (
            f"{one.number:04d}{'*' if one is tuned.best and tuned.front else ''}{'=' if one.own else ''}",
            *(f"{one.metrics[objective.key]:.4g}" for objective in plan.objectives),
            *(_value(one, key) for key in keys),
            one.length or _NONE,
            _NONE if one.seconds is None else f"{one.seconds:.0f}",
        )
        for one in shown
    )
    return Grid(title, heads, rows)


def short(keys: Sequence[str]) -> list[str]:
    """The last parts of keys, as many as tell them apart."""
    found = []
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        found.append(next((end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1), key))
    return found


def _value(one: TrialRecord, key: str) -> str:
    if key not in one.values:
        return _NONE
    value = one.values[key]
    return f"{value:.4g}" if isinstance(value, float) else override("", value).removeprefix("=")


def print_outcome(tuned: Tuned, console: Console) -> None:
    """Print the tables, and where everything is."""
    plan = tuned.plan
    for grid in grids(tuned):
        console.print(grid.within(console.width).rich())  # many keys are more columns than a terminal has
    if tuned.front is not None:
        where = ", ".join(f"{key} {value:.4g}" for key, value in tuned.front.reference.items())
        given = "the worst of the complete trials" if tuned.front.worst else "as given"
        console.print(
            f"hypervolume {tuned.front.hypervolume:.4g}, {100 * tuned.front.share:.1f} % of the box from the reference "
            f"point ({where}; {given}) to the best values",
            highlight=False,
        )
    states = ("complete", "pruned", "failed", "running", "waiting")
    counts = [f"{count} {state}" for state in states if (count := tuned.count(state))]
    console.print(f"{len(tuned.trials)} trials: {', '.join(counts)}", highlight=False)
    if tuned.best is not None:
        picture = "history.png" if tuned.front is None else "front.png"
        console.print(
            f"written: {plan.folder}/study.json, table.md, {picture}, best.yaml\n"
            f"next: advmtl train {plan.folder}/best.yaml",
            highlight=False,
        )
