"""A metric of `evaluation.json` by its path: `depth.abs_rel`, `segmentation.iou_per_class.person`."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preprocessing.ground import InputError

if TYPE_CHECKING:
    from advmtl.tasks import Task
    from advmtl.tasks.learning import Figure
    from advmtl.tasks.spec import TaskSpec


@dataclass(frozen=True)
class FigurePath:
    """A metric of a task that ranks models, or one class of it.

    Attributes:
        task: its task's name.
        figure: what its task says of it.
        part: the class, where the metric is given per class.
    """

    task: str
    figure: "Figure"
    part: str = ""

    @property
    def key(self) -> str:
        """As it is written."""
        return ".".join(filter(None, (self.task, self.figure.name, self.part)))

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return bool(self.figure.higher_is_better)

    def of(self, metrics: Mapping[str, Any]) -> float | None:
        """Its value in an evaluation, nested as in `evaluation.json`; None where it was not measured."""
        found = metrics.get(self.task, {}).get(self.figure.name)
        if self.part and isinstance(found, Mapping):
            found = found.get(self.part)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def figure_at(path: str, tasks: Mapping[str, "Task"], spec: "TaskSpec") -> FigurePath:
    """The metric that a path names.

    Args: `tasks`: those of the configuration. `spec`: names its classes.
    Raises: InputError naming the path and what there is instead.
    """
    name, _, rest = path.partition(".")
    if name not in tasks:
        raise InputError(f"{path}: no task {name!r} here; there are {', '.join(tasks)}")
    figure_name, _, part = rest.partition(".")
    ranking = {one.name: one for one in tasks[name].learning.figures if one.higher_is_better is not None}
    if figure_name not in ranking:
        close = difflib.get_close_matches(figure_name, ranking, 1)
        hint = f"did you mean {name}.{close[0]}? " if close else ""
        raise InputError(f"{path}: no metric that ranks models; {hint}{name} has {', '.join(ranking)}")
    figure = ranking[figure_name]
    parts = tasks[name].learning.parts(figure_name, spec) if figure.per_class else ()
    if figure.per_class and part not in parts:
        raise InputError(f"{path}: write {name}.{figure_name}.CLASS; the classes are {', '.join(parts)}")
    if part and not figure.per_class:
        raise InputError(f"{path}: {name}.{figure_name} has no parts; write {name}.{figure_name}")
    return FigurePath(name, figure, part)
