"""From an evaluation to one metric per task, the score that selects the best state, and one line to print."""

from collections.abc import Mapping
from typing import Any

from advmtl.config import Config
from advmtl.tasks import TASKS, Task
from advmtl.training.guards import LostDataError, lost


def task_scores(metrics: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> dict[str, float]:
    """One metric per measured task, at most 1, higher is better: see the tasks' `headline`."""
    return {name: task.learning.headline(metrics[name]) for name, task in tasks.items() if metrics.get(name)}


def score(metrics: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> float:
    """The score that selects `best.pt`: the mean of the measured tasks' `task_scores`."""
    parts = task_scores(metrics, tasks).values()
    return sum(parts) / len(parts) if parts else float("-inf")


def headline(metrics: Mapping[str, Any], tasks: Mapping[str, Task] = TASKS) -> str:
    """One line of the main metrics, with units."""
    return " · ".join(task.learning.line(metrics[name]) for name, task in tasks.items() if metrics.get(name))


def checked(metrics: dict[str, Any], config: Config) -> dict[str, Any]:
    """The metrics themselves. Raises: LostDataError where nothing could be evaluated, as when the folder is gone."""
    if not task_scores(metrics, config.task_table):
        reason = next((frame["reason"] for frame in metrics.get("skipped", [])), "no label")
        raise LostDataError(lost(config, "val", "the validation sources", reason))
    return metrics
