"""`tune`: the search from its settings to its tables."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
import torch
from rich.console import Console
from rich.markup import escape

from advmtl.compare import time_left
from advmtl.config import Config
from advmtl.data import survey_data, train_loader, val_loaders
from advmtl.training import label_counts
from advmtl.tune.budget import Budget
from advmtl.tune.check import check_space, doubts, own_values
from advmtl.tune.front import read_reference
from advmtl.tune.objective import Objective, objectives_of
from advmtl.tune.outcome import Tuned, print_outcome, publish
from advmtl.tune.plan import Plan
from advmtl.tune.records import TrialRecord, records_of
from advmtl.tune.samplers import GRID, PARTS, check, grid_of, words
from advmtl.tune.space import Space
from advmtl.tune.study import open_study, take
from advmtl.tune.trial import work_on
from advmtl.tune.workers import work_together
from preprocessing.ground import Bar, InputError, progress

TRIALS = 20


def tune(
    config: Config,
    space: Space,
    folder: Path,
    device: torch.device,
    console: Console,
    *,
    objectives: Sequence[str] = (),
    trials: int | None = None,
    budget: Budget | None = None,
    sampler: str = "tpe",
    pruner: str | None = None,
    seed: int = 0,
    processes: int = 1,
    reference: Sequence[str] = (),
) -> Tuned:
    """Search the space: train trials of the configuration with drawn values, the same budget each; tabulate, draw.

    Each trial is an ordinary run folder `folder/trials/NNNN`; what it says goes to output.txt there. The first has the
    configuration's own values, where the space has them. The study may be worked on by several processes and calls at
    once, and is continued by the next call whenever and however one ends: a trial that was being trained goes on from
    its checkpoint, and the number of trials is exact.

    Args:
        config: what trials begin with.
        space: the keys that they change.
        folder: of the study.
        objectives: paths of metrics (`depth.abs_rel`), or `score`; none: the first of Δm's of each task.
        trials: how many there shall be, those of former calls included; None: all of a grid, else `TRIALS`.
        budget: of each trial; None: the configuration's epochs.
        sampler, pruner: of the tables in `samplers`; no pruner named: median for one objective, none for several.
        seed: of the sampler.
        processes: that work at the same time, each with one thread; 1: this one, with all threads.
        reference: `OBJECTIVE=VALUE`, what the hypervolume of several objectives is measured from.
    Raises: InputError before the first trial where the space, an option or the data are wrong, or the folder holds
        another study, and after `SAME_FAILURES` trials where all have failed alike; ExternalFailure, KeyboardInterrupt.
    """
    chosen = objectives_of(objectives, config)
    pruner = pruner or ("median" if len(chosen) == 1 else "none")
    space, budget = check_space(space, config), budget or Budget()
    check(sampler, pruner, len(chosen), space)
    if budget.unit is not None and any(one.key == "train.epochs" for one in space.dimensions):
        raise InputError(f"{space.file}: train.epochs: each trial has {budget.text}; leave out one of both")
    if config.train.max_steps is not None or any(one.key == "train.max_steps" for one in space.dimensions):
        raise InputError("train.max_steps: trials are measured by epochs; leave it out, and give the budget in steps")
    point = read_reference(reference, chosen)
    wanted = trials or (len(grid_of(space, seed)) if sampler == GRID else TRIALS)
    _check_data(config, chosen)
    study, plan = open_study(Plan(folder, config, space, tuple(chosen), sampler, pruner, seed, budget))
    before = records_of(study, plan)
    _introduce(plan, wanted, before, console)
    with progress("tuning", wanted, "trials") as bar:
        teller = Teller(study, plan, wanted, console, bar, point)
        if processes > 1:
            work_together(plan, wanted, str(device), processes, teller.known, teller.tell)
        else:
            while (taken := take(study, plan, wanted, teller.begun_with)) is not None:
                bar.advance(0, f"trial {taken.trial.number:04d}{teller.left()}")
                work_on(study, plan, taken, device)
                teller.tell()
    tuned = publish(study, plan, point)
    print_outcome(tuned, console)
    return tuned


class Teller:
    """Says what has been finished, by whichever process: a line each, the bar, the files."""

    def __init__(
        self,
        study: optuna.Study,
        plan: Plan,
        wanted: int,
        console: Console,
        bar: Bar,
        reference: Mapping[str, float],
    ) -> None:
        self._study, self._plan, self._console, self._bar = study, plan, console, bar
        self._wanted, self._reference, self._began = wanted, reference, time.monotonic()
        self.known = {one.number for one in records_of(study, plan) if one.finished}
        self.begun_with = frozenset(self.known)
        bar.advance(len(self.known))

    def left(self) -> str:
        """Time left, for the note of the bar."""
        done = len(self.known) - len(self.begun_with)
        return time_left(time.monotonic() - self._began, done, self._wanted - len(self.begun_with))

    def tell(self) -> int:
        """Tell of what is new. Returns: how many trials are finished."""
        new = [one for one in records_of(self._study, self._plan) if one.finished and one.number not in self.known]
        for one in new:
            self.known.add(one.number)
            text = f"{len(self.known)}/{self._wanted} trial {one.number:04d}: {_line(one)}"
            self._console.print(text, markup=False, highlight=False)
        if new:
            self._bar.advance(len(new), f"trial {new[-1].number:04d}{self.left()}")
            publish(self._study, self._plan, self._reference)
        return len(self.known)


def _line(one: TrialRecord) -> str:
    minutes = "" if one.seconds is None else f" ({one.seconds / 60:.1f} min)"
    if one.state == "failed":
        return f"failed: {one.reason}"
    if one.state == "pruned":
        return f"pruned after epoch {one.pruned_after_epoch} of {one.epochs}{minutes}"
    return " · ".join(f"{key} {value:.4g}" for key, value in one.metrics.items()) + minutes


def _check_data(config: Config, objectives: Sequence[Objective]) -> None:
    """Find what would end every trial at its start. Raises: InputError."""
    found = survey_data(config, train_loader(config), [loader for _, loader in val_loaders(config)])
    label_counts(config, found)
    for one in objectives:
        if one.path is not None and not found.val[one.path.task].labelled:
            raise InputError(f"--objective {one.key}: no validation frame has the label of {one.path.task}")


def _introduce(plan: Plan, wanted: int, before: Sequence[TrialRecord], console: Console) -> None:
    """Say what will be done, and what of it has been."""
    console.print(
        f"{wanted} trials of {plan.config.name} in {plan.folder}, budget of each: {plan.budget.text}\n"
        f"objectives: {', '.join(one.title for one in plan.objectives)}\n"
        f"sampler: {words(plan.sampler)}, seed {plan.seed} · pruner: {words(plan.pruner)}",
        markup=False,
        highlight=False,
    )
    for line in doubts(plan.space):
        console.print(f"[yellow]warning[/] {escape(line)}", highlight=False)
    epochs = plan.budget.amount if plan.budget.unit == "epochs" else plan.config.train.epochs
    measured = epochs / plan.config.train.evaluate_every_epochs
    if plan.pruner != "none" and plan.budget.unit in (None, "epochs") and measured < PARTS / 3:
        console.print(
            f"[yellow]warning[/] the pruner sees {measured:.0f} measurements of each trial; lower "
            "train.evaluate_every_epochs, or take --pruner none",
            highlight=False,
        )
    if before and any(one.state != "waiting" for one in before):
        finished = sum(one.finished for one in before)
        running = sum(one.state == "running" for one in before)
        console.print(f"continued: {finished} finished, {running} begun and not finished", highlight=False)
    elif plan.sampler != GRID:
        _, why = own_values(plan.space, plan.config)
        said = f"not tried: {why}" if why else "trial 0000"
        console.print(f"the configuration's own values: {said}", markup=False, highlight=False)
