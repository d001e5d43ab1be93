"""Figures under weather, darkness and faults of the camera: kinds at five strengths, after Hendrycks and Dietterich
(2019), with ACDC's kinds (Sakaridis et al. 2021) among them.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from advmtl.config import Config
from advmtl.data import Arrays, NamedLoader, Sample, TaskFrames, in_order, lens_of, scene_of
from advmtl.evaluation.manner import PLAIN, Manner
from advmtl.evaluation.measure import evaluate
from advmtl.evaluation.tables import main_metrics
from advmtl.tasks import TASKS, Task, teller
from preprocessing.ground import InputError, progress, resize_image, resize_nearest
from preprocessing.weather import KINDS, Kind, weathered

STRENGTHS = (1, 2, 3, 4, 5)
CORRUPTIONS = (
    *("fog", "rain", "snow", "night", "drops", "dirt", "motion", "defocus", "noise", "jpeg", "bright", "contrast"),
)
"""Those that the mean figure is over, unless others are named."""
_STREAM = 0xC0FF


class Corrupted(TaskFrames):
    """Frames whose pictures are under one kind at one strength; targets as they are. The same seed, the same pictures.

    A frame that a kind cannot be done for stays as it is; `needs` of the whole source is checked before.
    """

    def __init__(self, frames: Any, kind: str, strength: int, seed: int = 0, table: Mapping[str, Kind] = KINDS) -> None:
        self.frames, self.kind, self.strength, self.seed, self.table = frames, kind, strength, seed, table
        self.records, self.sizes, self.bad_frames = frames.records, frames.sizes, frames.bad_frames
        self.tasks, self.spec = frames.tasks, frames.spec

    def __len__(self) -> int:
        return len(self.frames)

    def batches(self, count: int) -> list[list[int]]:
        """As those of the frames themselves."""
        found: list[list[int]] = self.frames.batches(count)
        return found

    def __getitem__(self, place: int) -> Sample:
        sample: Sample = self.frames[place]
        if sample.fault is not None:
            return sample
        size = sample.image.shape[1], sample.image.shape[0]
        told = {name for name in (teller(self.tasks, "classes"), teller(self.tasks, "distance")) if name}
        labels = {
            name: label if label.shape == size[::-1] else resize_nearest(label, size)
            for name, label in sample.targets.items()
            if name in told
        }
        lens = lens_of(sample.zoom, size, self.spec)
        scene = scene_of(Arrays(sample.image, labels), lens, self.tasks, self.spec, guess=True)
        kind = self.table[self.kind]
        if kind.needs_depth and scene.distance_m is None:
            return sample
        rng = np.random.default_rng((_STREAM, self.seed, zlib.crc32(self.kind.encode()), self.strength, place))
        image = weathered(scene, [(self.kind, kind.strengths[self.strength - 1])], rng, self.table).image
        scaled = [resize_image(image, (one.shape[1], one.shape[0])) for one in sample.scaled]
        return replace(sample, image=image, scaled=scaled)


def chosen_kinds(text: str | None, table: Mapping[str, Kind] = KINDS) -> tuple[str, ...]:
    """Kinds as a command line has them, `fog,night`; None: `CORRUPTIONS`. Raises: InputError."""
    if text is None:
        return CORRUPTIONS
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in table]
    if unknown or not names:
        raise InputError(f"kinds {text!r}: no {unknown[0] if unknown else 'kind'}; there are {', '.join(table)}")
    return tuple(dict.fromkeys(names))


def corruption_figures(
    generator: nn.Module,
    loaders: Sequence[NamedLoader],
    config: Config,
    clean: Mapping[str, Any],
    device: torch.device | str = "cpu",
    *,
    kinds: Sequence[str] = CORRUPTIONS,
    seed: int = 0,
    tasks: Mapping[str, Task] = TASKS,
    manner: Manner = PLAIN,
    table: Mapping[str, Kind] = KINDS,
    measure: Callable[..., dict[str, Any]] = evaluate,
) -> dict[str, Any]:
    """The main figures of every task on the same frames under every kind at five strengths.

    Args:
        clean: the figures of the frames as they are, of `evaluate`.
    Returns: {"seed", "kinds": {kind: {"strengths": [{"strength", "parameters", task: {figure: value}}], "mean": …}},
        "mean": {task: {figure: mean over kinds of their mean over strengths}}, "relative": the same over the clean
        value, "clean", "left_out": {kind: why}, "depth": known or guessed}; JSON-able, None where undefined.
    """
    figures = {name: main_metrics(task) for name, task in tasks.items() if name in clean and name in config.tasks}
    records = [record for _, loader in loaders for record in loader.dataset.records]
    distance, classes = teller(config.task_table, "distance"), teller(config.task_table, "classes")
    shown = distance is not None and distance in config.tasks
    known = shown and any(config.task_table[str(distance)].has(one) for one in records)
    guessed = not known and classes in config.tasks
    able = [kind for kind in kinds if known or guessed or not table[kind].needs_depth]
    left = {kind: "needs depth, and no frame has any" for kind in kinds if kind not in able}
    found: dict[str, Any] = {}
    with progress("corruptions", len(able) * len(STRENGTHS), "sets") as bar:
        for kind in able:
            rows = []
            for strength in STRENGTHS:
                own = [
                    (name, in_order(Corrupted(loader.dataset, kind, strength, seed, table), config, 0, 1))
                    for name, loader in loaders
                ]
                result = measure(generator, own, config, device, tasks=tasks, manner=manner)
                values = {
                    task: {name: result.get(task, {}).get(name) for name in names} for task, names in figures.items()
                }
                given = dict(table[kind].strengths[strength - 1])
                rows.append({"strength": strength, "parameters": given, **values})
                bar.advance(1, note=f"{kind} {strength}")
            found[kind] = {"strengths": rows, "mean": _mean(rows, figures)}
    mean = _mean([one["mean"] for one in found.values()], figures)
    whole = {task: {name: clean[task].get(name) for name in names} for task, names in figures.items()}
    relative = {
        task: {name: _over(value, whole[task][name]) for name, value in values.items()} for task, values in mean.items()
    }
    return {
        "seed": seed,
        "depth": "known" if known else "guessed" if guessed else "none",
        "clean": whole,
        "mean": mean,
        "relative": relative,
        "kinds": found,
        **({"left_out": left} if left else {}),
    }


_Figures = dict[str, dict[str, float | None]]


def _mean(rows: Sequence[Mapping[str, Any]], figures: Mapping[str, Sequence[str]]) -> _Figures:
    """Of each figure over rows; None where one of them has none: a mean of some kinds would be another figure."""
    result: _Figures = {}
    for task, names in figures.items():
        result[task] = {}
        for name in names:
            values = [row[task][name] for row in rows]
            whole = bool(values) and all(value is not None for value in values)
            result[task][name] = float(np.mean(values)) if whole else None
    return result


def _over(value: float | None, clean: float | None) -> float | None:
    return None if value is None or not clean else value / clean
