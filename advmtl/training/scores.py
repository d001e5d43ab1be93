"""From an evaluation to one metric per task, the figures that may choose the best state, and one line to print."""

from collections.abc import Mapping
from typing import Any

from advmtl.config import Config, ranking_figures
from advmtl.tasks import TASKS, Task
from advmtl.training.guards import LostDataError, lost


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


def checked(metrics: dict[str, Any], config: Config) -> dict[str, Any]:
    """The metrics themselves. Raises: LostDataError where nothing could be evaluated, as when the folder is gone."""
    if not task_scores(metrics, config.task_table):
        reason = next((frame["reason"] for frame in metrics.get("skipped", [])), "no label")
        raise LostDataError(lost(config, "val", "the validation sources", reason))
    return metrics
