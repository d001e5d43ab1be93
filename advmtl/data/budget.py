"""Which frames keep which labels: a label budget, as if the others had never been labelled.

Frames are ordered by a hash of the seed and their name. So the choice is the same on every machine, does not change
where frames are added, and a smaller fraction is a part of a larger one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.config import Config
from advmtl.config.data import BUDGET_ORDER, parse_budget
from advmtl.data.frames import FrameRecord
from preprocessing.errors import InputError
from preprocessing.files import read_json, write_json


def keep_labels(records: Sequence[FrameRecord], budget: str, seed: int) -> list[FrameRecord]:
    """The same frames in the same order, without the labels that the budget has no room for.

    A fraction, or a list of frames, keeps all labels of its frames and none of the others. A ratio gives every frame
    that has several of the labels it names exactly one of them, in these proportions; labels it does not name go.

    Args:
        records: of all sources.
        budget: as `advmtl.config.data.LabelBudget`.
        seed: of the choice.
    Raises: InputError where a list is missing, unreadable, or names none of the frames.
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
        return [record if i in kept else _without(record, BUDGET_ORDER) for i, record in enumerate(records)]
    if isinstance(parsed, float):
        kept = set(order[: max(1, round(parsed * len(records)))])
        return [record if i in kept else _without(record, BUDGET_ORDER) for i, record in enumerate(records)]
    return _one_each(records, order, dict(zip(BUDGET_ORDER, parsed, strict=False)))


def _one_each(records: Sequence[FrameRecord], order: Sequence[int], parts: dict[str, int]) -> list[FrameRecord]:
    """One label for every frame that has several of those with a part; one that has a single one keeps it."""
    wanted = [task for task, part in parts.items() if part > 0]
    kept = [_without(record, [task for task in BUDGET_ORDER if task not in wanted]) for record in records]
    several = [i for i in order if sum(kept[i].has(task) for task in wanted) > 1]
    ends = np.round(np.cumsum([parts[task] for task in wanted]) / sum(parts.values()) * len(several)).astype(int)
    for place, i in enumerate(several):
        first = int(np.searchsorted(ends, place, side="right"))
        # Where a frame lacks the label of its turn, the next one it has.
        turn = [wanted[(first + step) % len(wanted)] for step in range(len(wanted))]
        own = next(task for task in turn if kept[i].has(task))
        kept[i] = _without(kept[i], [task for task in wanted if task != own])
    return kept


def _place(record: FrameRecord, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{record.source}/{record.name}".encode()).digest()


def _without(record: FrameRecord, tasks: Sequence[str]) -> FrameRecord:
    files: dict[str, dict[str, Any]] = {
        "segmentation": {"labels": None},
        "depth": {"depth": None, "disparity": None},
        "instance": {"instances": None},
    }
    gone = {name: value for task in tasks for name, value in files[task].items()}
    return replace(record, **gone)


def _listed(path: Path) -> set[str]:
    """Names in a list of frames, {"frames": [name, …]}."""
    found = read_json(path.expanduser())
    names = found.get("frames") if isinstance(found, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'data.label_budget: {path} holds no list of frames; it needs {{"frames": ["name", …]}}')
    return set(names)


def frame_groups(records: Sequence[FrameRecord], config: Config) -> list[tuple[list[FrameRecord], float]]:
    """Frames that come equally often, and how often: those of a source, under a label budget apart by having a label.

    Frames that nothing learns from have weight 0: the others fill the epoch, so that runs with and without partial
    supervision take equally many steps.
    """
    groups = []
    for number, source in enumerate(config.data.train):
        own = [record for record in records if record.source == number]
        if config.data.label_budget == "all":
            groups.append((own, source.weight))
            continue
        unlabelled = [record for record in own if not any(record.has(task) for task in config.tasks)]
        labelled = [record for record in own if any(record.has(task) for task in config.tasks)]
        share = config.data.unlabelled_weight if config.partial is not None else 0.0
        groups += [(labelled, source.weight), (unlabelled, source.weight * share)]
    return groups


def record_budget(records: Sequence[FrameRecord], config: Config, path: Path) -> None:
    """Write which frames keep which labels, so that a result can name what it was learnt from.

    Raises: InputError where the file is there and says something else of a frame: a list was changed under a run.
    """
    kept = [{"name": r.name, "source": r.source, "labels": [t for t in BUDGET_ORDER if r.has(t)]} for r in records]
    counts = {task: sum(record.has(task) for record in records) for task in BUDGET_ORDER}
    made = {
        **{"budget": config.data.label_budget, "seed": config.data.label_seed},
        **{"labels": counts, "frames": sorted(kept, key=lambda one: (one["source"], one["name"]))},
    }
    before = {_key(one): one["labels"] for one in read_json(path)["frames"]} if path.is_file() else {}
    if any(before.get(_key(one), one["labels"]) != one["labels"] for one in kept):
        raise InputError(f"{path}: the run began with other labels; bring them back, or start anew (--overwrite)")
    write_json(path, made)


def _key(frame: dict[str, Any]) -> tuple[int, str]:
    return frame["source"], frame["name"]
