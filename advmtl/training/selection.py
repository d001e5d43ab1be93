"""Which measured state is the best one, and which others are kept; part of the checkpoint.

All measurements are remembered, with their figures, so that they can be scored anew. The best state is chosen among
those whose checkpoints are there: the newest one and those kept. By task-wise ranks, which are taken among all
measurements, a later one may change the order of earlier ones: best.pt is then another one of those that are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from advmtl.config import MEAN, RANKS, Config, ranking_figures
from advmtl.training.scores import figures_of, mean_score, task_scores

LOWEST = float("-inf")
_BEFORE = -1  # a step that no measurement has


@dataclass(frozen=True)
class Measurement:
    """What was measured at one step.

    Attributes:
        step, epoch: when; steps and epochs taken.
        weights: which network's figures count, "average" or "raw": the better one of those that may become the best.
        figures: by network, figures by path (`ranking_figures`).
        headlines: by network, one metric a task, more is better.
        file: name of its checkpoint among the kept ones, "" where it has none of its own.
    """

    step: int
    epoch: int
    weights: str
    figures: Mapping[str, Mapping[str, float]]
    headlines: Mapping[str, Mapping[str, float]]
    file: str = ""


@dataclass
class Selection:
    """All measurements so far, and which of their states are kept.

    Attributes:
        history: in order.
        kept: steps of those whose states are there, best first.
        stale: the figures are of other validation frames than those of now.
        dropped: files of those that have just ceased to be kept.
    """

    history: list[Measurement] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    stale: bool = False
    dropped: list[str] = field(default_factory=list)

    @property
    def best(self) -> Measurement | None:
        """The best one of those kept."""
        return self.at(self.kept[0]) if self.kept else None

    @property
    def weights(self) -> str:
        """Which network of the newest measurement counts."""
        return self.history[-1].weights if self.history else "average"

    def at(self, step: int) -> Measurement:
        """The measurement of a step."""
        return next(one for one in reversed(self.history) if one.step == step)

    def add(self, step: int, epoch: int, metrics: Mapping[str, Mapping[str, Any]], config: Config) -> bool:
        """Take in what was measured of the networks, by "average" and "raw". Returns: whether it is the best one."""
        table = {name: task for name, task in config.task_table.items() if name in config.tasks}
        new = Measurement(
            *(step, epoch, config.train.best_of[0]),
            figures={name: figures_of(found, config) for name, found in metrics.items()},
            headlines={name: task_scores(found, table) for name, found in metrics.items()},
        )
        # Equal ones: the average, which is the less noisy.
        views = [_with(new, weights=name) for name in sorted(config.train.best_of)]
        scored = scores([*self.history, *views], config)[len(self.history) :]
        new = views[max(range(len(views)), key=lambda place: scored[place])]
        shown = max(scored)
        if config.train.keep:
            new = _with(new, file=f"step_{step:07d}_{shown_score(shown, config):.4f}.pt")
        self.history.append(new)
        self._keep([*self.kept, step], config)
        return bool(self.kept) and self.kept[0] == step

    def _keep(self, steps: Sequence[int], config: Config) -> None:
        found = dict(zip([one.step for one in self.history], scores(self.history, config), strict=True))
        former, incumbent = self.kept, self.kept[:1]
        able = [step for step in steps if found[step] > LOWEST]
        order = sorted(able, key=lambda step: (-found[step], [step] != incumbent, step))
        # What has no file of its own is in best.pt alone, and goes with it.
        own = [step for step in order[1:] if self.at(step).file]
        self.kept = [*order[:1], *own][: max(1, config.train.keep)]
        self.dropped = [self.at(step).file for step in former if step not in self.kept and self.at(step).file]

    def choose_anew(self, config: Config) -> None:
        """Score what has been measured as the configuration now says; the best is one of those kept."""
        self._keep(self.kept, config)

    def restate(self, measured: Sequence[tuple[Measurement, Mapping[str, Any]]], config: Config) -> None:
        """Kept states have been measured on other frames: only that counts from here on."""
        table = {name: task for name, task in config.task_table.items() if name in config.tasks}
        gone = {self.at(step).file for step in self.kept} - {one.file for one, _ in measured}
        in_order = sorted(measured, key=lambda pair: pair[0].step)
        self.history = [
            _with(
                one,
                figures={one.weights: figures_of(found, config)},
                headlines={one.weights: task_scores(found, table)},
            )
            for one, found in in_order
        ]
        there = {one.step for one in self.history}
        self.kept, self.stale = [step for step in self.kept if step in there], False
        self._keep(self.kept, config)
        self.dropped += sorted(gone - {""})

    def forget(self) -> None:
        """Nothing that was measured can be compared with what comes."""
        self.dropped = [self.at(step).file for step in self.kept if self.at(step).file]
        self.history, self.kept, self.stale = [], [], False

    def lose(self, step: int) -> None:
        """The checkpoint of a kept one is no longer there; its figures still count."""
        self.kept = [one for one in self.kept if one != step]

    def score(self, step: int, config: Config) -> float:
        """A measurement's score as it is written for people."""
        found = dict(zip([one.step for one in self.history], scores(self.history, config), strict=True))
        return shown_score(found[step], config)

    def state_dict(self) -> dict[str, Any]:
        """Plain values. What has been dropped is gone once the state is saved."""
        return {"history": [asdict(one) for one in self.history], "kept": list(self.kept), "stale": self.stale}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave; {} is a fresh start. Raises: KeyError, TypeError for what it did not give."""
        known = {"history": [], "kept": [], "stale": False, **state}
        self.history = [Measurement(**one) for one in known["history"]]
        self.kept, self.stale, self.dropped = list(known["kept"]), bool(known["stale"]), []


def of_older(best: float, epoch: int) -> dict[str, Any]:
    """The state of a selection for a run from before measurements were remembered: the one score that it knows."""
    if best == LOWEST:
        return {}
    one = Measurement(_BEFORE, epoch, "average", {}, {"average": {"": best}})
    return {"history": [asdict(one)], "kept": [_BEFORE]}


def scores(history: Sequence[Measurement], config: Config) -> list[float]:
    """Of every measurement, more is better; −∞ where what is asked for was not measured."""
    best = config.train.best
    if best == MEAN:
        return [mean_score(one.headlines.get(one.weights, {})) for one in history]
    if best == RANKS:
        return _ranks(history, list(config.tasks))
    higher = ranking_figures(config.tasks, config.task_table, config.spec)
    weights = {best: 1.0} if isinstance(best, str) else best
    found = []
    for one in history:
        figures = one.figures.get(one.weights, {})
        if any(path not in figures for path in weights):
            found.append(LOWEST)
            continue
        parts = [weight * figures[path] * (1 if higher[path] else -1) for path, weight in weights.items()]
        found.append(sum(parts) / sum(weights.values()))
    return found


def shown_score(score: float, config: Config) -> float:
    """A score for people: a figure by itself, a mean rank (1 = first), else the mean that was asked for."""
    best = config.train.best
    if best == RANKS:
        return -score
    if isinstance(best, str) and best != MEAN:
        higher = ranking_figures(config.tasks, config.task_table, config.spec)
        return score if higher[best] else -score
    return score


def _ranks(history: Sequence[Measurement], tasks: Sequence[str]) -> list[float]:
    """Minus the mean over the tasks of 1 + how many measurements are better in it; equal ones share the middle."""
    rows = [one.headlines.get(one.weights, {}) for one in history]
    names = [task for task in tasks if any(task in row for row in rows)]
    found = []
    for row in rows:
        if not names or any(task not in row for task in names):
            found.append(LOWEST)
            continue
        places = []
        for task in names:
            others = [other[task] for other in rows if task in other]
            better = sum(other > row[task] for other in others)
            equal = sum(other == row[task] for other in others)
            places.append(better + (equal + 1) / 2)
        found.append(-sum(places) / len(places))
    return found


def _with(one: Measurement, **changes: Any) -> Measurement:
    return Measurement(**{**one.__dict__, **changes})
