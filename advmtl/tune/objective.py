"""What trials are compared by: metrics of their evaluations, each with its direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advmtl.config import Config
from advmtl.tasks import FigurePath, Task, figure_at
from advmtl.training import score
from preprocessing.ground import InputError

SCORE = "score"


@dataclass(frozen=True)
class Objective:
    """A metric of `evaluation.json`, or, without a path, the score that selects a run's best state.

    Attributes:
        path: of the metric.
        tasks: the configuration's table, by which the score is taken.
    """

    path: FigurePath | None
    tasks: Mapping[str, Task]

    @property
    def key(self) -> str:
        """As on the command line."""
        return SCORE if self.path is None else self.path.key

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return self.path is None or self.path.higher

    @property
    def unit(self) -> str:
        """Of its values; "1" = a share or ratio."""
        return "1" if self.path is None else self.path.figure.unit

    @property
    def title(self) -> str:
        """With the unit and the better direction, for a column or an axis."""
        return f"{self.key} [{self.unit}] {'↑' if self.higher else '↓'}"

    def of(self, metrics: Mapping[str, Any]) -> float | None:
        """Its value in an evaluation; None where it was not measured."""
        if self.path is not None:
            return self.path.of(metrics)
        found = score(metrics, self.tasks)
        return found if any(metrics.get(name) for name in self.tasks) else None

    def loss(self, value: float) -> float:
        """The value with a sign by which less is better."""
        return -value if self.higher else value


def objectives_of(texts: Sequence[str], config: Config) -> list[Objective]:
    """The objectives that are named; without any, of each task the first metric that Δm is taken over.

    Raises: InputError naming what is no metric of this configuration.
    """
    tasks = {name: config.task_table[name] for name in config.tasks}
    chosen = list(texts) or [f"{name}.{_first(task)}" for name, task in tasks.items()]
    if len(set(chosen)) < len(chosen):
        raise InputError(f"--objective {next(text for text in chosen if chosen.count(text) > 1)}: stands there twice")
    found = []
    for text in chosen:
        try:
            path = None if text == SCORE else figure_at(text, tasks, config.spec)
        except InputError as error:
            raise InputError(f"--objective {error}") from None
        found.append(Objective(path, config.task_table))
    return found


def _first(task: Task) -> str:
    ranking = [one for one in task.learning.figures if one.higher_is_better is not None and not one.per_class]
    chosen = [one for one in ranking if one.delta_m] or [one for one in ranking if one.main] or ranking
    if not chosen:
        raise InputError(f"--objective: name one; {task.name} has no metric that ranks models")
    return chosen[0].name
