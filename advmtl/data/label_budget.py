"""Label budgets: which frames keep which labels, as if the others had never been labelled.

Frames are ordered by a hash of the seed, their source's number and their name. So the choice is the same on every
machine, and a smaller fraction is a part of a larger one. The order of the sources matters: one put before the others
changes their numbers and with them the choice; one added at the end leaves the order of the others as it is.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.config import Config, parse_budget
from advmtl.tasks import TASKS, FrameRecord, Task
from preprocessing.ground import InputError, read_json, write_json

Tasks = Mapping[str, Task]


def keep_labels(records: Sequence[FrameRecord], budget: str, seed: int, tasks: Tasks = TASKS) -> list[FrameRecord]:
    """The same frames in the same order, without the labels that the budget excludes.

    A fraction, or a list of frames, keeps all labels of its frames and none of the others. A fraction is one of the
    frames that have labels, of each kind (classes and depth, depth alone, …) by itself and at least one, so that a rare
    label does not go by chance. A ratio gives every frame that has several of the labels it names exactly one of them,
    in these proportions; labels it does not name go.

    Args:
        records: of all sources.
        budget: as `advmtl.config.data.LabelBudget`.
        seed: of the choice.
        tasks: whose labels there may be; a ratio has their parts in the order of this table.
    Raises: InputError where a list is missing, unreadable, or names none of the frames; where a ratio has more parts
    than there are tasks.
    """
    parsed = parse_budget(budget)
    if parsed is None:
        return list(records)
    order = sorted(range(len(records)), key=lambda i: _place(records[i], seed))
    if isinstance(parsed, Path):
        names = _listed(parsed)
        kept = {i for i in order if records[i].name in names}
        if not kept:
            raise InputError(f"data.label_budget: {parsed} names none of the {len(records)} training frames")
        return [record if i in kept else _without(record, tasks.values()) for i, record in enumerate(records)]
    if isinstance(parsed, float):
        kept = _share_of_each_kind(records, order, parsed, tasks)
        return [record if i in kept else _without(record, tasks.values()) for i, record in enumerate(records)]
    if len(parsed) > len(tasks):
        raise InputError(f"data.label_budget: {budget} has {len(parsed)} parts; there are {':'.join(tasks)}")
    return _one_each(records, order, dict(zip(tasks, parsed, strict=False)), tasks)


def _share_of_each_kind(records: Sequence[FrameRecord], order: Sequence[int], share: float, tasks: Tasks) -> set[int]:
    """The first frames in `order` of each set of labels."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for i in order:
        kinds.setdefault(_labels(records[i], tasks), []).append(i)
    return {i for of_kind in kinds.values() for i in of_kind[: max(1, round(share * len(of_kind)))]}


def _labels(record: FrameRecord, tasks: Tasks) -> tuple[str, ...]:
    return tuple(name for name, task in tasks.items() if task.has(record))


def _one_each(
    records: Sequence[FrameRecord], order: Sequence[int], parts: dict[str, int], tasks: Tasks
) -> list[FrameRecord]:
    """One label for every frame that has several of those with a part; one that has a single one keeps it."""
    wanted = [task for task, part in parts.items() if part > 0]
    unwanted = [task for name, task in tasks.items() if name not in wanted]
    kept = [_without(record, unwanted) for record in records]
    several = [i for i in order if len(_labels(kept[i], tasks)) > 1]
    ends = np.round(np.cumsum([parts[task] for task in wanted]) / sum(parts.values()) * len(several)).astype(int)
    for place, i in enumerate(several):
        first = int(np.searchsorted(ends, place, side="right"))
        # Where a frame lacks the label of its turn, the next one it has.
        turn = [wanted[(first + step) % len(wanted)] for step in range(len(wanted))]
        own = next(name for name in turn if tasks[name].has(kept[i]))
        kept[i] = _without(kept[i], [tasks[name] for name in wanted if name != own])
    return kept


def _place(record: FrameRecord, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{record.source}/{record.name}".encode()).digest()


def _without(record: FrameRecord, tasks: Iterable[Task]) -> FrameRecord:
    for task in tasks:
        record = task.without(record)
    return record


def _listed(path: Path) -> set[str]:
    """Names in a list: its `frames`, and its `labelled_frames`, where it has them: those that had labels before."""
    try:
        found = read_json(path.expanduser())
    except InputError as error:
        raise InputError(f"data.label_budget: {error}") from None
    lists = [found.get("frames"), found.get("labelled_frames", [])] if isinstance(found, dict) else []
    if not lists or not all(isinstance(names, list) and all(isinstance(n, str) for n in names) for names in lists):
        raise InputError(f'data.label_budget: {path} holds no list of frames; it needs {{"frames": ["name", …]}}')
    return {name for names in lists for name in names or ()}


Group = tuple[list[FrameRecord], float]
"""Frames that come equally often, and how often, relative to those of other groups."""


def frame_groups(records: Sequence[FrameRecord], config: Config) -> list[Group]:
    """Frames that come equally often, and how often: those of a source, under a label budget apart by having a label.

    Frames that nothing learns from have weight 0: the others fill the epoch, so that runs with and without partial
    supervision take equally many steps. By default as many unlabelled as labelled frames come, as Hoyer et al. 2021
    draw them, where there are more of them; where there are fewer, all come equally often.
    """
    tasks = config.task_table
    weights = [source.weight for source in config.data.train] or [1.0]
    sources = [(weight, [r for r in records if r.source == number]) for number, weight in enumerate(weights)]
    if config.data.label_budget == "all":
        return [(own, weight) for weight, own in sources]
    groups = []
    for weight, own in sources:
        known = [any(tasks[name].has(record) for name in config.tasks) for record in own]
        groups += [
            ([record for record, has in zip(own, known, strict=True) if has is wanted], weight)
            for wanted in (True, False)
        ]
    share = _unlabelled_weight(groups[::2], groups[1::2], config)
    return [(own, weight * share if place % 2 else weight) for place, (own, weight) in enumerate(groups)]


def _unlabelled_weight(labelled: Sequence[Group], unlabelled: Sequence[Group], config: Config) -> float:
    """How often a frame without any label comes, relative to one with."""
    if config.partial is None or not config.partial.needs_no_label:
        return 0.0
    if config.data.unlabelled_weight is not None:
        return config.data.unlabelled_weight
    with_labels, without = (sum(weight * len(own) for own, weight in groups) for groups in (labelled, unlabelled))
    return min(1.0, with_labels / without) if without else 1.0


def hidden_by_budget(hidden: int, config: Config) -> str | None:
    """Where a budget leaves no frame with a label that `hidden` frames have: that, and what to do."""
    if not hidden:
        return None
    return (
        f"data.label_budget={config.data.label_budget} leaves none of the {hidden} there are; write another (the parts "
        f"of a ratio are {':'.join(config.task_table)}), or take the task out of the configuration"
    )


def record_budget(records: Sequence[FrameRecord], config: Config, path: Path, *, continued: bool) -> None:
    """Write which frames keep which labels, so that a result can name what it was learnt from.

    Args: `continued`: whether a run is resumed, which must use the labels it began with.
    Raises: InputError where it does and the file says something else of a frame: a list was changed under a run.
    """
    tasks = config.task_table
    kept = [{"name": r.name, "source": r.source, "labels": list(_labels(r, tasks))} for r in records]
    counts = {name: sum(task.has(record) for record in records) for name, task in tasks.items()}
    made = {"budget": config.data.label_budget, "seed": config.data.label_seed, "labels": counts}
    parsed = parse_budget(config.data.label_budget)
    if isinstance(parsed, Path):
        made["listed"] = sorted(_listed(parsed) & {record.name for record in records})
    made["frames"] = sorted(kept, key=lambda one: (one["source"], one["name"]))
    before = {_key(one): one["labels"] for one in read_json(path)["frames"]} if continued and path.is_file() else {}
    if any(before.get(_key(one), one["labels"]) != one["labels"] for one in kept):
        raise InputError(f"{path}: the run began with other labels; bring them back, or start anew (--overwrite)")
    write_json(path, made)


def list_changed(config: Config, path: Path) -> bool:
    """Whether a budget's list names other frames than it did for the run whose record is at `path`.

    False for budgets that are no list: these are wholly in the configuration. Raises: InputError where the list or the
    record is missing.
    """
    parsed = parse_budget(config.data.label_budget)
    if not isinstance(parsed, Path):
        return False
    record = read_json(path)
    kept = [one["name"] for one in record["frames"] if one["labels"]]
    # A listed frame may have had no label, so the record says what was listed, too.
    return set(record.get("listed", kept)) != _listed(parsed) & {one["name"] for one in record["frames"]}


def _key(frame: dict[str, Any]) -> tuple[int, str]:
    return frame["source"], frame["name"]
