"""What `train.best` may name: figures of the configured tasks by their path in an evaluation.

Which figures rank, and which way, is what the tasks say of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from advmtl.tasks import Task, TaskSpec

MEAN, RANKS = "mean", "ranks"
BestBy = str | dict[str, float]


def ranking_figures(tasks: Iterable[str], table: Mapping[str, Task], spec: TaskSpec) -> dict[str, bool]:
    """Paths of all figures that rank states (`depth.abs_rel`, `segmentation.iou_per_class.person`), and whether more
    of it is better.
    """
    found: dict[str, bool] = {}
    for name in tasks:
        learning = table[name].learning
        for figure in learning.figures:
            if figure.higher_is_better is None:
                continue
            parts = learning.parts(figure.name, spec) if figure.per_class else [None]
            for part in parts:
                path = f"{name}.{figure.name}" + ("" if part is None else f".{part}")
                found[path] = figure.higher_is_better
    return found


def check_best(best: BestBy, tasks: Iterable[str], table: Mapping[str, Task], spec: TaskSpec) -> None:
    """Raises: ValueError, one line, for what is neither a word nor such a figure, or a weight that is not positive."""
    if isinstance(best, str) and best in (MEAN, RANKS):
        return
    asked = [best] if isinstance(best, str) else list(best)
    known = ranking_figures(tasks, table, spec)
    for path in asked:
        if path not in known:
            raise ValueError(f"train.best: {path} is no figure that ranks states; there are {_listed(known)}")
    if not asked:
        raise ValueError("train.best: names no figure; write mean, ranks, a figure, or figures with weights")
    if isinstance(best, dict):
        for path, weight in best.items():
            if not weight > 0:
                raise ValueError(f"train.best.{path}: weight {weight:g}; give a positive one, or leave it out")


def _listed(known: Mapping[str, bool]) -> str:
    """All paths in one line, those of classes gathered: `segmentation.iou_per_class.{road,car}`."""
    classes: dict[str, list[str]] = {}
    plain = []
    for path in known:
        task, figure, *part = path.split(".", 2)
        if part:
            classes.setdefault(f"{task}.{figure}", []).append(part[0])
        else:
            plain.append(path)
    gathered = [f"{path}.{{{','.join(parts)}}}" for path, parts in classes.items()]
    return ", ".join([MEAN, RANKS, *plain, *gathered])


def of_task(train: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Plain values of `train` for the same training with one task alone: without what names another task."""
    values = dict(train)
    best = values.get("best", MEAN)
    if isinstance(best, dict):
        values["best"] = {path: weight for path, weight in best.items() if path.startswith(f"{task}.")} or MEAN
    elif best not in (MEAN, RANKS) and not best.startswith(f"{task}."):
        values["best"] = MEAN
    for key in ("freeze", "rates"):
        found = values.get(key)
        if found:
            own = [part for part in found if not part.startswith("heads.") or part == f"heads.{task}"]
            values[key] = {part: found[part] for part in own} if isinstance(found, dict) else own
    return values
