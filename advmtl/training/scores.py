"""From an evaluation to one metric per task, the score that selects the best state, and one line to print."""

from collections.abc import Mapping, Sequence
from typing import Any

from advmtl.config import Config, Source
from advmtl.data import source_name
from advmtl.tasks import TASKS, Task
from advmtl.training.guards import LostDataError, lost

NOTHING_MEASURED = "no label of these frames has a pixel that counts; name other validation sources"


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
