"""What is asked for by class and would change nothing, known from the labels before the first step."""

from collections.abc import Mapping, Sequence

import numpy as np

from advmtl.config import Config
from advmtl.data import Labels, class_shares


def class_doubts(config: Config, found: Mapping[str, Labels]) -> list[str]:
    """A line for class weights and for a class mix that meet no pixel; `found`: labels of training, by task.

    Nothing is said of files that were not decoded.
    """
    lines: list[str] = []
    for task in config.tasks:
        labels = found[task]
        if labels.counted and labels.counted == labels.files and len(labels.classes):
            lines += _weights(task, config, labels)
            lines += _mix(config, labels) if task == config.classes_task else []
    return lines


def _weights(task: str, config: Config, labels: Labels) -> list[str]:
    settings = config.tasks[task].class_weights
    if settings is None or settings.from_counts is not None:
        return []
    key, there = f"tasks.{task}.class_weights", _occurring(labels)
    if all(settings.classes.get(name, 1.0) == 0 for name in there):
        return [f"{key}: every class that occurs weighs 0 ({', '.join(there)}), so its losses teach nothing"]
    changed = [name for name, weight in settings.classes.items() if weight != 1]
    if changed and not set(changed) & set(there):
        return [f"{key}: no training frame shows {_or(changed)}, so nothing is changed; leave it out"]
    return []


def _mix(config: Config, labels: Labels) -> list[str]:
    settings = config.data.class_mix
    if settings is None:
        return []
    key, there = "data.class_mix", _occurring(labels)
    if np.count_nonzero(labels.counts.sum(1)) < 2:
        return [f"{key}: one frame has classes, and there is none to paste from; leave it out"]
    if settings.classes == "half":
        return []
    if settings.classes != "rare":
        never = [name for name in settings.classes if name not in there]
        nothing = ", so nothing is pasted" if len(never) == len(settings.classes) else ""
        return [f"{key}.classes: no training frame shows {_or(never)}{nothing}; leave it out"] if never else []
    shares = dict(zip(labels.classes, class_shares(labels.counts).tolist(), strict=True))
    able = {name: shares[name] for name in there if labels.classes.index(name) not in config.spec.labels.sky}
    if not able or min(able.values()) < settings.rare_below:
        return []
    rarest = min(able, key=able.__getitem__)
    return [
        f"{key}.rare_below: no class that occurs has less than {settings.rare_below:.2g} of the labelled pixels (the "
        f"rarest, {rarest}, has {able[rarest]:.2g}), so nothing is pasted; raise it, or name classes"
    ]


def _occurring(labels: Labels) -> list[str]:
    return [name for name, pixels in zip(labels.classes, labels.class_pixels, strict=True) if pixels]


def _or(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
