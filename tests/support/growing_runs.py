"""Three tasks on made-up frames, and a state that grows on them, for the tests of growth."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from advmtl.config.experiment import Config
from advmtl.config.growth import Detection
from advmtl.config.typed import validate
from advmtl.data.loading import Batch
from advmtl.networks.generator import Generator
from advmtl.networks.grown import Kernels
from advmtl.training.growth import Counts
from advmtl.training.state import State, build
from advmtl.training.step import train_step

CPU = torch.device("cpu")
TASKS = {
    "segmentation": {"losses": {"cross_entropy": 1.0, "dice": 0.5}},
    "depth": {"losses": {"scale_invariant": 1.0, "berhu": 0.1}},
    "instance": {"losses": {"l1": 1.0}},
}
PAIR = ("segmentation", "depth")
HEIGHT, WIDTH = 64, 96
WINDOWS = {"detections": 2, "start_step": 1, "every_steps": 3, "accumulate_steps": 2}


def grown_config(tasks: int = 3, growth: dict[str, Any] | None = None, **changes: object) -> Config:
    """`tasks` of the three, small networks; windows of two steps after steps 1 and 4, detections after 3 and 6."""
    values = {
        "tasks": dict(list(TASKS.items())[:tasks]),
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 16, "crp_stages": 1},
        "data": {"classes": "categories7", "size": f"{WIDTH}x{HEIGHT}"},
        "balance": {"method": "mgda"},
        "growth": WINDOWS if growth is None else {**WINDOWS, **growth},
        "train": {"warmup_steps": 1},
        **changes,
    }
    return validate(Config, values, "test")


def frames(step: int, count: int = 2, without: tuple[str, ...] = ()) -> Batch:
    """Noise, with every label but those of the tasks `without`."""
    noise = torch.Generator().manual_seed(100 + step)
    shape = (count, HEIGHT, WIDTH)
    classes = torch.randint(0, 7, shape, generator=noise)
    metres = 2 + 40 * torch.rand(count, 1, HEIGHT, WIDTH, generator=noise)
    ids = torch.randint(0, 3, (count, 1, HEIGHT, WIDTH), generator=noise) * 26_000
    offsets = torch.cat([10 * torch.randn(count, 2, HEIGHT, WIDTH, generator=noise) * (ids > 0), ids.float()], 1)
    image = torch.randn(count, 3, HEIGHT, WIDTH, generator=noise)
    if "segmentation" in without:
        classes[:] = 255
    if "depth" in without:
        metres[:] = 0
    if "instance" in without:
        offsets[:, :2], offsets[:, 2] = 0, 65535
    targets = {"segmentation": classes, "depth": metres, "instance": offsets}
    present = {task: [task not in without] * count for task in targets}
    return Batch(image, targets, present, [f"step{step}_frame{i}" for i in range(count)])


def only(batch: Batch, config: Config) -> Batch:
    """With the targets of the configuration's tasks alone."""
    targets = {task: batch.targets[task] for task in config.tasks}
    return Batch(batch.image, targets, {task: batch.present[task] for task in config.tasks}, batch.names)


def opposed(generator: Generator, tasks: Iterable[str]) -> dict[str, Tensor]:
    """Rows of the tasks that conflict for certain: the first two, at the last stage that has no module yet.

    The first is |θ|²/2 over the encoder, the second the same with the opposite sign at that stage: their gradients are
    θ and -θ there and θ twice elsewhere, so that the cosines are -1 and 1. Other rows have none, and so the cosine 0.
    """
    grown = {place.stage for place in generator.kernels.places()} if isinstance(generator.kernels, Kernels) else set()
    last = max({1, 2, 3, 4} - grown)
    stages = [list(stage.parameters()) for stage in generator.encoder.stages()]
    squares = [torch.stack([p.square().sum() / 2 for p in parameters]).sum() for parameters in stages]
    signs = [-1 if number == last else 1 for number in range(1, 5)]
    first, second, *others = tasks
    rows = {first: sum(squares), second: sum(sign * one for sign, one in zip(signs, squares, strict=True))}
    return {**rows, **dict.fromkeys(others, 0 * squares[0])}


@contextmanager
def opposed_objectives() -> Iterator[None]:
    """A run in here counts the conflicts of `opposed`: the signs of real losses' small cosines are the last bits'."""
    see = Counts.see

    def see_opposed(counts: Counts, generator: Generator, objectives: Mapping[str, Tensor], *others: Any) -> None:
        see(counts, generator, opposed(generator, objectives), *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Counts, "see", see_opposed)
        yield


def walk(state: State, steps: int) -> list[Detection]:
    """Take steps as the loop does, up to `steps` in all, with `opposed_objectives`: it grows at every detection."""
    found = []
    while state.step < steps:
        with opposed_objectives():
            train_step(state, only(frames(state.step), state.config))
        state.step += 1
        detection = state.grow()
        if detection is not None:
            found.append(detection)
    return found


def fresh(config: Config) -> State:
    return build(config, CPU)


def stir(generator: Generator) -> Generator:
    """All weights away from the zeros they begin with."""
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for task in generator.heads:
            if generator.heads[task].fusion is not None:
                for parameter in generator.heads[task].fusion.parameters():
                    parameter.copy_(0.3 * torch.randn(parameter.shape, generator=noise))
    return generator
