"""What a training will do, and what of it was asked for and will not come: known before its first step."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rich.console import Console

from advmtl.config import Config, Plan, measured, value_at
from advmtl.data import EpochSampler, Labels, Line, TrainLoader
from advmtl.terms import Term
from advmtl.training.class_counts import describe_classes
from advmtl.training.class_doubts import class_doubts
from advmtl.training.loop import warn
from advmtl.training.optimizers import highest_rate
from advmtl.training.prepared import Prepared
from advmtl.training.setting_doubts import drowned, idle, setting_doubts
from advmtl.training.state import State
from advmtl.training.weather import restyle_lines, weather_lines


@dataclass(frozen=True)
class Foresight:
    """What is foreseen.

    Attributes:
        lines: in words, the doubtful ones first.
        caveats: those of the doubts that bear on what the run comes to, so that they belong beside its figures.
        facts: the same as numbers, JSON-able.
    """

    lines: tuple[Line, ...]
    caveats: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def doubts(self) -> list[str]:
        """The doubtful lines."""
        return [line.text for line in self.lines if line.doubtful]

    def to_dict(self) -> dict[str, Any]:
        """For plan.json."""
        return {**self.facts, "doubts": self.doubts, "caveats": list(self.caveats)}

    def print(self, console: Console, *, doubts_only: bool = False) -> None:
        """One block, a line each, doubtful ones as warnings and first."""
        for line in self.lines:
            if line.doubtful:
                warn(console, line.text)
            elif not doubts_only:
                console.print(line.text, markup=False, highlight=False)


def plan_of(config: Config, loader: TrainLoader, processes: int = 1) -> Plan:
    """The plan of a training on these batches by so many processes."""
    sampler, settings = loader.batch_sampler, config.train
    batches = sampler.batches
    steps, table = settings.steps(batches), {name: config.task_table[name] for name in config.tasks}
    epochs = math.ceil(steps / batches)
    own = [frozenset(name for name, task in table.items() if task.has(record)) for record in loader.dataset.records]
    return Plan(
        steps=steps,
        epochs=epochs,
        measurements=math.ceil(epochs / settings.evaluate_every_epochs),
        frames_per_step=config.data.batch_size * processes,
        labels=Counter(own),
        labelled_share=sampler.share_drawn([bool(one) for one in own]) if isinstance(sampler, EpochSampler) else 1.0,
        batches=batches,
    )


def small_steps(config: Config, steps: int) -> int:
    """How many of the first steps see pictures at half the size."""
    return math.ceil(config.train.small_share * steps)


def foresee(state: State, plan: Plan, prepared: Prepared | None = None) -> Foresight:
    """What the parts of a run say of a plan, its schedules, and what was found in the files of its data."""
    terms = {name: cast(Term, term) for name, term in state.terms.items()}
    doubts = {name: doubt for name, term in terms.items() if (doubt := term.foresee(plan))}
    config, balance = state.config, state.balancer.foresee(plan)
    found = [f"{name}: {doubt}" for name, doubt in doubts.items()]
    found += [] if balance is None else [f"balance.method: {_balancer(state)} {balance}"]
    found += [] if prepared is None else class_doubts(config, prepared.survey.train)
    found += [*_growth(config, plan), *_affinity(state, plan), *setting_doubts(config, plan)]
    lines = [Line(text, doubtful=True) for text in (*found, *idle(config, plan), *drowned(config, plan))]
    lines += restyle_lines(config)
    lines += weather_lines(config, plan)
    lines += [] if prepared is None else [*prepared.lines, *map(Line, describe_classes(state))]
    rate, highest = config.train.learning_rate, highest_rate(plan.steps, config)
    lines += [Line(_schedule(config, plan, highest)), Line(_terms(terms, doubts, plan))]
    facts = {
        "configuration": {"name": config.name, "hash": config.hash},
        "steps": plan.steps,
        "epochs": plan.epochs,
        "measurements": plan.measurements,
        "frames_per_step": plan.frames_per_step,
        "learning_rate": {"configured": rate, "highest": rate * highest[0], "highest_at_step": highest[1]},
        "half_size_steps": small_steps(config, plan.steps),
        "shares": {key: {"share": share, "steps": value_at(config, key)} for key, share in config.shares.items()},
        "labels": [{"tasks": sorted(own), "frames": count} for own, count in plan.labels.items()],
        "terms": {name: _term(term, doubts.get(name), plan) for name, term in terms.items()},
        "balance": {"method": _balancer(state), "doubt": balance},
        **({} if prepared is None else {"data": _data(prepared)}),
    }
    return Foresight(tuple(sorted(lines, key=lambda line: not line.doubtful)), tuple(found), facts)


def _data(prepared: Prepared) -> dict[str, Any]:
    """What the label files hold, by role and task, and what was found in them."""
    roles = {"train": prepared.survey.train, "val": prepared.survey.val}
    return {
        **{role: {task: _labels(labels) for task, labels in by_task.items()} for role, by_task in roles.items()},
        "found": [{"text": line.text, "doubtful": line.doubtful} for line in prepared.lines],
    }


def _labels(labels: Labels) -> dict[str, Any]:
    pixels = dict(zip(labels.classes, labels.class_pixels.tolist(), strict=True))
    return {
        "frames": labels.frames,
        "labelled": labels.labelled,
        "void": len(labels.void),
        **({"pixels": pixels} if pixels else {}),
    }


def _affinity(state: State, plan: Plan) -> list[str]:
    """So little is measured of a short training that its stages cannot be told apart."""
    if state.affinity is None:
        return []
    every = state.affinity.every
    count = sum(measured(step, every) for step in range(plan.steps))
    return (
        [
            f"affinity: every {every} steps are measured, {count} of the {plan.steps} steps of this training; raise "
            "affinity.share or train for longer"
        ]
        if count < 6
        else []
    )


def _balancer(state: State) -> str:
    return state.own.get("balancer", state.config.balance.method)


def _term(term: Term, doubt: str | None, plan: Plan) -> dict[str, Any]:
    begins = term.start_step < plan.steps
    return {
        "first_step": term.start_step + 1 if begins else None,
        "last_step": plan.steps if begins else None,
        "doubt": doubt,
    }


def _growth(config: Config, plan: Plan) -> list[str]:
    """Detections beyond the last step: their number and place are the configuration's, that one's not; and gradients
    of two tasks that no step has.
    """
    growth = config.growth
    if growth is None:
        return []
    made, found = growth.within(plan.steps), []
    if made < growth.detections:
        found.append(
            f"growth: {made} of {growth.detections} detections lie within the {plan.steps} steps of this training; "
            f"lower growth.start_step, growth.every_steps or growth.detections"
        )
    tasks = list(config.tasks)
    if not any(plan.meet(one, other) for one in tasks for other in tasks if one < other):
        found.append("growth: no step has labels of two tasks, so no conflict can be found; raise data.batch_size")
    return found


def _schedule(config: Config, plan: Plan, highest: tuple[float, int]) -> str:
    train = config.train
    warm = f", {train.warmup_steps} steps of warm-up" if train.warmup_steps else ""
    small = small_steps(config, plan.steps)
    parts = [f"until step {small}"] if small else []
    parts += [f"every {train.small_every} steps"] if train.small_every else []
    half = f"; pictures at half the size {', then '.join(parts)}" if parts else ""
    times = "once" if plan.measurements == 1 else f"{plan.measurements} times"
    shares = "".join(f"; {key} {share} = {value_at(config, key)}" for key, share in config.shares.items())
    return (
        f"schedule: {plan.steps} steps, measured {times}; learning rate up to {train.learning_rate * highest[0]:.3g} "
        f"at step {highest[1]} ({train.schedule}{warm}){half}{shares}"
    )


def _terms(terms: Mapping[str, Term], doubts: Mapping[str, str], plan: Plan) -> str:
    acting = {name: term for name, term in terms.items() if name not in doubts}
    parts = [
        name + (f" from step {term.start_step + 1} on" if term.start_step else "") for name, term in acting.items()
    ]
    return f"terms: {', '.join(parts)}" + (f"; {len(doubts)} more in doubt, see above" if doubts else "")
