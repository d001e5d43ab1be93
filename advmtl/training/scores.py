"""From an evaluation to one metric per task, the figures that may choose the best state, and one line to print."""

from collections.abc import Mapping, Sequence
from typing import Any

from advmtl.config import Config, Source, ranking_figures
from advmtl.data import source_name
from advmtl.tasks import TASKS, Task
from advmtl.training.guards import LostDataError, lost

NOTHING_MEASURED = "no label of these frames has a pixel that counts; name other validation sources"


def task_scores(metrics: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> dict[str, float]:
    """One metric per measured task, at most 1, higher is better: see the tasks' `headline`."""
    return {name: task.learning.headline(metrics[name]) for name, task in tasks.items() if metrics.get(name)}


def mean_score(headlines: Mapping[str, float]) -> float:
    """The mean of `task_scores`; −∞ where nothing was measured."""
    return sum(headlines.values()) / len(headlines) if headlines else float("-inf")


def score(metrics: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> float:
    """`mean_score` of an evaluation: what chooses the best state unless `train.best` says otherwise."""
    return mean_score(task_scores(metrics, tasks))


def figures_of(metrics: Mapping[str, Any], config: Config) -> dict[str, float]:
    """The measured ones of `ranking_figures`, by path."""
    found = {}
    for path in ranking_figures(config.tasks, config.task_table, config.spec):
        task, figure, *part = path.split(".", 2)
        value = metrics.get(task, {}).get(figure)
        if part:
            value = (value or {}).get(part[0])
        if value is not None:
            found[path] = float(value)
    return found


def headline(metrics: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> str:
    """One line of the main metrics, with units."""
    return " · ".join(task.learning.line(metrics[name]) for name, task in tasks.items() if metrics.get(name))


def checked(metrics: dict[str, Any], config: Config, sources: Sequence[Source] | None = None) -> dict[str, Any]:
    """The metrics themselves. Raises: LostDataError where nothing could be evaluated, as when the folder is gone.

    `sources`: what was measured on, None: the configuration's validation sources.
    """
    if not task_scores(metrics, config.task_table):
        what = "data.val" if sources is None else ", ".join(map(source_name, sources))
        reasons = [frame["reason"] for frame in metrics.get("skipped", [])]
        if not reasons:
            raise LostDataError(f"{what}: {NOTHING_MEASURED}")
        raise LostDataError(lost(sources or config.data.val, what, "these sources", reasons[0]))
    return metrics
