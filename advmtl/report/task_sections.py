"""What the report takes from the tasks: names and units of metrics, what ranks frames, error maps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from advmtl.evaluation import HIGHER_IS_BETTER, UNITS, main_metrics
from advmtl.tasks import RGB, TASKS

_TITLES = {one.name: one.title for task in TASKS.values() for one in task.learning.figures if one.title}


def name_of(figure: str) -> str:
    """A metric's name in print, without its unit; its key stays that of `evaluation.json`."""
    return _TITLES.get(figure, figure.replace("_", " "))


def unit_of(figure: str) -> str:
    """A metric's unit as it is put behind a value, empty for shares and ratios."""
    unit = UNITS.get(figure, "1")
    return "" if unit == "1" else unit


def heading_of(figure: str) -> str:
    """Name and unit, as at the head of a column."""
    unit = unit_of(figure)
    return f"{name_of(figure)} [{unit}]" if unit else name_of(figure)


def metrics_of(task: str) -> list[str]:
    """Every metric that a table of the task may hold, in order."""
    return [one.name for one in TASKS[task].learning.figures if not one.per_class]


def main_metrics_of(task: str) -> list[str]:
    """The metrics of a task that stand in tables of models, in order."""
    return main_metrics(TASKS[task])


def ranking_metric(task: str) -> tuple[str, bool] | None:
    """The metric that ranks the frames of a task, and whether more is better."""
    ranks = (one.name for one in TASKS[task].learning.figures if one.ranks_frames)
    return next(((one, HIGHER_IS_BETTER[one]) for one in ranks), None)


def frame_pictures(task: str, batch: Any, outputs: Mapping[str, Any], config: Any, image: RGB) -> list[tuple[str, RGB]]:
    """Image, truth, prediction, and where it is wrong, of a batch of one frame; empty where the task draws none."""
    arrays, learning = TASKS[task].arrays, TASKS[task].learning
    deployed = {name: values[0].numpy() for name, values in learning.deploy(outputs[task]).items()}
    truth = np.asarray(batch.targets[task][0].numpy())
    return arrays.errors(image, truth, deployed, config.spec)
