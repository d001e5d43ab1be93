"""What a run learns by class: the pixels of each class, counted before its first step and kept in its state."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from advmtl.data import TrainLoader, class_probabilities, class_shares, count_classes, draw_by_class
from advmtl.terms import ClassWeights, SupervisedLosses
from advmtl.training.state import State


def settle_classes(state: State, loader: TrainLoader, warn: Callable[[str], None] = lambda text: None) -> None:
    """Settle class weights and draws by class, of the training frames' label files, before the first step.

    A run that goes on keeps what was counted when it began, whatever has become of the files, and so do all its
    processes; `warn` gets a line where that is something else than is there today. Does nothing where the configuration
    asks for nothing by class. Raises: InputError where the files of the loader's frames were not counted.
    """
    config = state.config
    if config.counts_classes is None:
        return
    # All have counted the same frames; where machines have other files, the first one's count.
    found = state.processes.raise_together(lambda: count_classes(config, loader))
    found = state.processes.object_from_rank0(found)
    begun = None if state.class_pixels is None else state.class_pixels.numpy().astype(np.int64)
    if begun is None:
        state.class_pixels = torch.from_numpy(found.astype(np.int32))
    elif not np.array_equal(begun, found):
        same = begun.shape == found.shape
        kept = "class weights and the frames drawn by class are" if same else "class weights are"
        warn(f"the training labels have changed since the run began; {kept} still those of the labels it began with")
        found = begun if same else found
    if config.data.rare_frames is not None or config.data.class_mix is not None:
        draw_by_class(config, loader, found)
    shares = class_shares(found if begun is None else begun)
    for weights in _weights(state).values():
        weights.settle(shares)


def _weights(state: State) -> dict[str, ClassWeights]:
    supervised = cast(SupervisedLosses, state.terms["supervised"])
    return {task: cast(ClassWeights, weights) for task, weights in supervised.class_weights.items()}


def describe_classes(state: State) -> list[str]:
    """One line each of the class weights and of the frames drawn by class; [] where there are none."""
    config = state.config
    lines: list[str] = []
    for task, weights in _weights(state).items():
        names = config.task_table[task].class_names(config.spec)
        values = dict(zip(names, weights().tolist(), strict=True))
        lines.append(f"{task}: class weights {_listed(values, '{:.3g}')}")
    rare = config.data.rare_frames
    if rare is not None and state.class_pixels is not None:
        facts = class_facts(state)
        likely = {name: one["drawn"] for name, one in facts["classes"].items() if one["drawn"] >= 0.005}
        lines.append(f"frames drawn by class, {rare.share:.0%} of an epoch: {_listed(likely, '{:.0%}')}")
    return lines


def class_facts(state: State) -> dict[str, Any]:
    """What was counted and what follows from it, as written beside a run: by class its pixels, its share of the
    labelled ones, frames that have it, its weight in losses, and the share of the frames drawn by class that are drawn
    for it.
    """
    config, task = state.config, state.config.classes_task
    assert task is not None and state.class_pixels is not None
    names = config.task_table[task].class_names(config.spec)
    pixels = state.class_pixels.numpy().astype(np.int64)
    shares, rare, weights = class_shares(pixels), config.data.rare_frames, _weights(state).get(task)
    columns: dict[str, NDArray[Any]] = {"pixels": pixels.sum(0), "share": shares, "frames": (pixels > 0).sum(0)}
    if weights is not None:
        columns["weight"] = weights().cpu().numpy().astype(np.float64)
    if rare is not None:
        columns["drawn"] = class_probabilities(shares, rare.temperature)
    classes = {name: {key: value[c].item() for key, value in columns.items()} for c, name in enumerate(names)}
    return {"task": task, "classes": classes}


def _listed(values: dict[str, float], pattern: str) -> str:
    """The largest first."""
    return ", ".join(f"{name} {pattern.format(value)}" for name, value in sorted(values.items(), key=lambda v: -v[1]))
