"""Three tasks on made-up frames, and a state that grows on them, for the tests of growth."""

from typing import Any

import torch

from advmtl.config import Config, validate
from advmtl.data.loading import Batch
from advmtl.growth.growing import grow_where_due
from advmtl.growth.place import Detection
from advmtl.training.state import State, build
from advmtl.training.step import train_step

CPU = torch.device("cpu")
TASKS = {
    "segmentation": {"losses": {"cross_entropy": 1.0, "dice": 0.5}},
    "depth": {"losses": {"scale_invariant": 1.0, "berhu": 0.1}},
    "instance": {"losses": {"l1": 1.0}},
}
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


def walk(state: State, steps: int) -> list[Detection]:
    """Take steps as the loop does, up to `steps` in all."""
    found = []
    while state.step < steps:
        train_step(state, only(frames(state.step), state.config))
        state.step += 1
        detection = grow_where_due(state)
        if detection is not None:
            found.append(detection)
    return found


def fresh(config: Config) -> State:
    return build(config, CPU)
