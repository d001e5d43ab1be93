"""A network with random weights that behaves as a trained one."""

import torch
from some_tasks import generator_of
from torch import nn

from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator

TASKS = {"segmentation": 5, "depth": 1, "instance": 2}


def trained_looking(tasks: dict[str, int] = TASKS, **options: object) -> Generator:
    """The real network, its norms far from the identity and its maps far from flat."""
    torch.manual_seed(4)
    width = options.pop("width", 1.0)
    generator = generator_of(build_encoder(width=width), tasks, **options).eval()  # type: ignore[arg-type]
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    for head in generator.heads.values():
        nn.init.normal_(head.emit.weight, std=0.5)
    return generator
