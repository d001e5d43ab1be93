"""Metrics of a comparison: mean and deviation over seeds, Δm and win rate against single-task learning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev
from typing import Any, Literal

from advmtl.compare.configs import Difference
from advmtl.tasks import TASKS, Figure
from preprocessing.ground import InputError

REFERENCE = "single-task"
_SHOWN = 6  # differences in a note; comparison.json has all


@dataclass(frozen=True)
class Metric:
    """One metric of `evaluation.json`, written `task.metric`."""

    task: str
    figure: str

    @property
    def key(self) -> str:
        """As on the command line and in comparison.json."""
        return f"{self.task}.{self.figure}"

    @property
    def declared(self) -> Figure:
        """What its task says of it; metrics of a task outside the table are taken as those of the built-in ones."""
        tasks = [TASKS[self.task]] if self.task in TASKS else list(TASKS.values())
        return next(one for task in tasks for one in task.learning.figures if one.name == self.figure)

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return bool(self.declared.higher_is_better)

    @property
    def title(self) -> str:
        """As in the papers."""
        return self.declared.title or self.figure

    @property
    def scale(self) -> float:
        """Factor of the tables: shares are shown in percent."""
        return 100.0 if self.declared.unit == "1" and self.higher else 1.0

    @property
    def unit(self) -> str:
        """Unit of the tables."""
        return "%" if self.scale == 100 else self.declared.unit

    @property
    def digits(self) -> int:
        """Decimals of the tables."""
        return 2 if self.unit == "%" else 4 if self.unit == "1" else 3


def delta_metrics(tasks: Sequence[str], chosen: Sequence[str] = ()) -> list[Metric]:
    """The metrics of Δm and win rate: those chosen as `task.metric`, else as many of each task, two or one.

    Δm is a mean over metrics: with four of depth and one of segmentation it would be a metric of depth.
    Raises: InputError for an unknown one, or where a task has none.
    """
    if not chosen:
        names = {task: _of_delta_m(task) for task in tasks}
        count = min(map(len, names.values()))
        return [Metric(task, figure) for task in tasks for figure in names[task][:count]]
    metrics = []
    for text in chosen:
        task, _, figure = text.partition(".")
        if task not in tasks:
            raise InputError(f"--metrics {text}: no compared configuration has this task; there are {', '.join(tasks)}")
        if figure not in _ranked(task):
            known = ", ".join(f"{task}.{name}" for name in _ranked(task))
            raise InputError(f"--metrics {text}: no such metric; there are {known}")
        metrics.append(Metric(task, figure))
    without = [task for task in tasks if task not in {metric.task for metric in metrics}]
    if without:
        raise InputError(f"--metrics: names none of {without[0]}; name at least one of each task")
    return list(dict.fromkeys(metrics))


def shown_metrics(tasks: Sequence[str], chosen: Sequence[Metric]) -> list[Metric]:
    """The columns of the task tables: what Δm uses, then the other main metrics of each task."""
    more = [Metric(task, figure) for task in tasks for figure in _ranked(task)[: max(4, _main_count(task))]]
    return sorted(dict.fromkeys([*chosen, *more]), key=lambda metric: list(tasks).index(metric.task))


def _of_delta_m(task: str) -> list[str]:
    """What a network of this task alone can be measured by too: mIoU and pixel accuracy as in the tables of MTAN and of
    MAMO (Tan et al.), and of depth one relative error and one in metres.
    """
    return [one.name for one in TASKS[task].learning.figures if one.delta_m] or _ranked(task)[:2]


def _ranked(task: str) -> list[str]:
    """Metrics of a task that rank models and have a title, its main ones first."""
    figures = [one for one in TASKS[task].learning.figures if not one.per_class]
    ranking = [one for one in figures if one.higher_is_better is not None and one.title]
    return [one.name for one in ranking if one.main] + [one.name for one in ranking if not one.main]


def _main_count(task: str) -> int:
    return sum(one.main for one in TASKS[task].learning.figures)


def delta_m(multi: Sequence[float], single: Sequence[float], higher: Sequence[bool]) -> float | None:
    """Mean relative gain over single-task learning [%]: **plus is better**.

    Δ = 1/K Σ (−1)^{s_k} (M_k − S_k) / S_k · 100, s_k = 0 where more is better (Tan et al. 2024, Eq. 15; others, as the
    line of Nash-MTL, print it with the other sign). None where some S_k is 0 or there is no metric.
    """
    terms = list(zip(multi, single, higher, strict=True))
    if not terms or any(s == 0 for _, s, _ in terms):
        return None
    return 100 * mean((m - s) / s * (1 if more else -1) for m, s, more in terms)


def win_rate(multi: Sequence[float], single: Sequence[float], higher: Sequence[bool]) -> float | None:
    """Share of the metrics, 0..1, that are strictly better than single-task learning (Tan et al. 2024, §4.1)."""
    wins = [m > s if more else m < s for m, s, more in zip(multi, single, higher, strict=True)]
    return mean(wins) if wins else None


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n − 1; None for one value) over `count` seeds."""

    mean: float
    deviation: float | None
    count: int


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and deviation of the values there are; None without any."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(mean(known), stdev(known) if len(known) > 1 else None, len(known))


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run: values by metric key if it is done, the reason if it failed, "missing" if it has not run.

    `parameters`: of a network that grew in training, None for one that does not, or where no checkpoint tells.
    `left_out`: name and reason of each frame that was not learnt from, or not measured.
    """

    run: str
    seed: int
    status: Literal["done", "failed", "missing"]
    values: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    parameters: int | None = None
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StepTime:
    """Time of one training step, relative to the plain sum's, and both in seconds (medians)."""

    relative: float
    seconds: float
    plain_seconds: float


@dataclass(frozen=True)
class Row:
    """One configuration over its seeds; `step_time` and Δm are None where they are not known.

    Attributes:
        parameters: of a network that `grows`, before it does; its runs say what each has become.
        doubts: what its training said before its first step: what was asked for and never acts.
        differences: from the single-task references, beside what makes it another method.
    """

    name: str
    hash: str
    tasks: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    parameters: int
    step_time: StepTime | None
    metrics: tuple[Metric, ...]  # of Δm, those of its tasks
    delta_m: tuple[float | None, ...] = ()  # per outcome [%]
    win_rate: tuple[float | None, ...] = ()  # per outcome, 0..1
    grows: bool = False
    doubts: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said beside the row."""
        if not self.differences:
            return self.doubts
        shown = "; ".join(one.text for one in self.differences[:_SHOWN])
        more = f" and {len(self.differences) - _SHOWN} more" if len(self.differences) > _SHOWN else ""
        return (*self.doubts, f"differs from the single-task reference, so Δm counts that as well: {shown}{more}")

    def figure(self, metric: Metric) -> Spread | None:
        """Over its finished seeds."""
        return spread([outcome.values.get(metric.key) for outcome in self.outcomes])

    @property
    def left_out(self) -> int:
        """The most frames that one of its runs was without."""
        return max((len(outcome.left_out) for outcome in self.outcomes), default=0)


@dataclass(frozen=True)
class Comparison:
    """All rows; `reference` is the single-task networks together, whose means are what Δm is relative to."""

    metrics: tuple[Metric, ...]
    shown: tuple[Metric, ...]
    reference: Row
    rows: tuple[Row, ...]
    width_px: int  # of the network's input, which every value in px refers to

    @property
    def everything(self) -> tuple[Row, ...]:
        """The reference first."""
        return (self.reference, *self.rows)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """Name and reason of all frames that were left out of a run."""
        return list(dict.fromkeys(one for row in self.everything for run in row.outcomes for one in run.left_out))

    @property
    def failed(self) -> dict[str, str]:
        """Why each run failed that did, by its name."""
        outcomes = [one for row in self.everything for one in row.outcomes]
        return {one.run: one.reason or "" for one in outcomes if one.status == "failed"}


def values_of(evaluation: Mapping[str, Any], metrics: Sequence[Metric]) -> dict[str, float]:
    """The values of an `evaluation.json` by metric key, without those it lacks."""
    found = {metric.key: evaluation.get(metric.task, {}).get(metric.figure) for metric in metrics}
    return {key: float(value) for key, value in found.items() if value is not None}


def against(row: Row, single: Mapping[str, float]) -> Row:
    """The row with Δm [%] and win rate of each outcome against the single-task means; None where one is missing."""
    deltas: list[float | None] = []
    wins: list[float | None] = []
    for outcome in row.outcomes:
        complete = all(metric.key in outcome.values and metric.key in single for metric in row.metrics)
        metrics = row.metrics if complete else ()
        multi, reference = ([values[metric.key] for metric in metrics] for values in (outcome.values, single))
        higher = [metric.higher for metric in metrics]
        deltas.append(delta_m(multi, reference, higher))
        wins.append(win_rate(multi, reference, higher))
    return replace(row, delta_m=tuple(deltas), win_rate=tuple(wins))
