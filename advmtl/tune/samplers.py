"""Samplers and pruners by name. Needs Optuna."""

import importlib.util
import random
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler

from advmtl.tune.space import Dimension, Space, Values
from preprocessing.ground import InputError

FIRST_RANDOM = 8
"""Trials that TPE draws at random before it has something to go by."""
GRID = "grid"
PARTS = 10
"""Into so many parts a trial's budget is divided; a pruner is told once in each."""


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(n_startup_trials=FIRST_RANDOM, seed=seed)


def _cmaes(seed: int) -> BaseSampler:
    return CmaEsSampler(n_startup_trials=FIRST_RANDOM, seed=seed, warn_independent_sampling=False)


# By seed. A grid is not drawn: its points are given out one by one.
SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "random": lambda seed: RandomSampler(seed=seed),
    GRID: lambda seed: RandomSampler(seed=seed),
    "cmaes": _cmaes,
}
PRUNERS: Mapping[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "median": lambda: MedianPruner(n_startup_trials=5, n_warmup_steps=3),
    "hyperband": lambda: HyperbandPruner(min_resource=1, max_resource=PARTS, reduction_factor=3),
}
_WORDS = {
    "tpe": f"TPE, the first {FIRST_RANDOM} at random",
    "random": "at random",
    GRID: "a grid, in random order",
    "cmaes": f"CMA-ES, the first {FIRST_RANDOM} at random",
    "none": "no pruner",
    "median": "median pruner (from three tenths of the budget and the sixth trial on)",
    "hyperband": "Hyperband pruner (tenths of the budget, factor 3)",
}


def words(name: str) -> str:
    """A sampler or pruner as it is told."""
    return _WORDS.get(name, name)


def check(sampler: str, pruner: str, objectives: int, space: Space) -> None:
    """Raises: InputError naming the option, where there is no such sampler or pruner, or it cannot do this."""
    for option, name, table in (("--sampler", sampler, SAMPLERS), ("--pruner", pruner, PRUNERS)):
        if name not in table:
            raise InputError(f"{option} {name!r}: there are {', '.join(table)}")
    if objectives > 1 and pruner != "none":
        raise InputError(
            f"--pruner {pruner}: with {objectives} objectives a trial can be neither ahead nor behind; none"
        )
    if sampler == "cmaes":
        if importlib.util.find_spec("cmaes") is None:
            raise InputError("--sampler cmaes: needs the package cmaes; pip install cmaes")
        if objectives > 1:
            raise InputError("--sampler cmaes: knows one objective only; name one --objective, or use tpe")
        listed = [one.key for one in space.dimensions if one.kind == "choice" or one.when]
        if listed:
            raise InputError(f"--sampler cmaes: {listed[0]} is a list or conditional, which it cannot learn; use tpe")
    if sampler == GRID:
        next(space.points())


def sampler_of(name: str, seed: int, number: int) -> BaseSampler:
    """The sampler for trial `number`: its draws are a function of the seed, the number and the trials before it.

    So a study that is continued draws what it would have drawn without a break, where one process works on it.
    """
    return SAMPLERS[name](random.Random(f"{seed} {number}").getrandbits(32))


def grid_of(space: Space, seed: int) -> list[Values]:
    """All points of a grid, shuffled. Raises: InputError."""
    points = list(space.points())
    random.Random(seed).shuffle(points)
    return points


def distribution_of(one: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it."""
    if one.kind == "choice":
        return CategoricalDistribution([one.label(value) for value in one.choices])
    # Optuna wants the upper end among the values.
    if one.kind == "int":
        return IntDistribution(int(one.low), int(one.last), log=one.log, step=int(one.step or 1))
    return FloatDistribution(one.low, one.last, log=one.log, step=one.step)


def draw(trial: optuna.Trial, space: Space) -> Values:
    """The values of a trial: those it has already, and drawn ones."""
    values: Values = {}
    for one in space.dimensions:
        if one.active(values):
            values[one.key] = one.value(_suggest(trial, one.key, distribution_of(one)))
    return values


def _suggest(trial: optuna.Trial, key: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def labels(space: Space, values: Values) -> dict[str, Any]:
    """Values of keys as Optuna keeps them."""
    by_key = {one.key: one for one in space.dimensions}
    return {key: by_key[key].label(value) for key, value in values.items()}
