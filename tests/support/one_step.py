"""Two tasks, three discriminators and batches of noise for one update; and what an update has moved."""

import torch

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.loading import Batch

CPU = torch.device("cpu")


TASKS = {
    "segmentation": {"losses": {"cross_entropy": 1.0, "dice": 0.5}},
    "depth": {"losses": {"scale_invariant": 1.0, "berhu": 0.1, "smoothness": 0.05}},
}


CRITICS = {
    "segmentation": {"sees": ["segmentation"], "objective": "hinge", "channels": 8},
    "depth": {"sees": ["image", "depth"], "objective": "lsgan", "channels": 8},
    "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 8},
}


def make_config(**changes: object) -> Config:
    values = {
        "tasks": TASKS,
        "discriminators": CRITICS,
        "encoder": {"weights": None},
        "generator": {"channels": 16, "crp_stages": 1},
        "data": {"classes": "categories7", "size": "96x64"},
        **changes,
    }
    return validate(Config, values, "test")


def make_batch(segmentation: list[bool], depth: list[bool], seed: int = 0) -> Batch:
    """Frames of 64 x 96 px; a label that is absent is all 255 or all 0."""
    noise = torch.Generator().manual_seed(seed)
    n = len(segmentation)
    classes = torch.randint(0, 7, (n, 64, 96), generator=noise)
    metres = 2 + 40 * torch.rand(n, 1, 64, 96, generator=noise)
    classes[[i for i in range(n) if not segmentation[i]]] = 255
    metres[[i for i in range(n) if not depth[i]]] = 0
    return Batch(
        image=torch.randn(n, 3, 64, 96, generator=noise),
        targets={"segmentation": classes, "depth": metres},
        present={"segmentation": segmentation, "depth": depth},
        names=[f"frame{i}" for i in range(n)],
    )


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def changed(before: dict[str, torch.Tensor], module: torch.nn.Module) -> set[str]:
    return {name for name, value in module.named_parameters() if not torch.equal(before[name], value)}
