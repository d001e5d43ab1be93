"""Whether there is something to learn from and to measure on, for every task."""

from collections.abc import Sequence

from advmtl.config import MEAN, RANKS, Config
from advmtl.data import (
    Loader,
    Survey,
    check_measurable,
    hidden_by_budget,
    missing_label,
    survey_data,
    void_labels,
)
from preprocessing.ground import InputError

_FOLDERS = {"segmentation": ("labels", "gtFine"), "depth": ("depth", "disparity", "lidar")}


def count_labels(config: Config, train: Loader, val: Sequence[Loader]) -> str:
    """The `label_counts` of loaders. Raises: InputError."""
    return label_counts(config, survey_data(config, train, val))


def label_counts(config: Config, found: Survey) -> str:
    """How many frames carry each label, as text. Raises: InputError where a task has nothing to learn from, or no task
    anything to be measured on.
    """
    parts = []
    for task in config.tasks:
        count = found.train[task].labelled
        if not count:
            reason = hidden_by_budget(found.train[task].hidden, config) or void_labels(found.train[task])
            reason = reason or _why_missing(task, config, found)
            raise InputError(f"tasks.{task}: no training frame has this label; {reason}")
        parts.append(f"{task} {count} train, {found.val[task].labelled} val")
    check_measurable(found.val, "data.val")
    _check_best(config, found)
    return "; ".join(parts)


def _check_best(config: Config, found: Survey) -> None:
    """Raises: InputError where no state could become the best, since what chooses it can never be measured."""
    best = config.train.best
    asked = best if isinstance(best, dict) else [] if best in (MEAN, RANKS) else [best]
    for path in asked:
        task, _, part = path.partition(".")
        labels, name = found.val[task], part.partition(".")[2]
        reason = "" if labels.labelled else "has this label"
        if name in labels.classes and labels.counted == labels.files:
            shown = labels.class_pixels[labels.classes.index(name)]
            reason = reason or ("" if shown else f"shows {name}")
        if reason:
            raise InputError(
                f"train.best: {path}: no validation frame {reason}, so no state could become the best; name a figure "
                "that is measured, or add such frames"
            )


def _why_missing(task: str, config: Config, found: Survey) -> str:
    """What lies in the folders of the label and is not read, else what to do."""
    folders = _FOLDERS.get(task, ())
    there = [one.words for one in found.strays if set(folders) & set(one.folder.parts)]
    return "; ".join(there) if there else missing_label(config.task_table[task], config.data.train)
