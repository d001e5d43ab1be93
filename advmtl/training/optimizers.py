"""Optimizers and learning-rate schedule."""

import math

import torch
from torch import nn

from advmtl.config import Config, whole_steps


def generator_optimizer(generator: nn.Module, balancer: nn.Module, config: Config) -> torch.optim.Optimizer:
    """AdamW of the network and of what its balancer learns."""
    # Weight decay on norms and biases pulls scales to zero and helps nothing.
    decayed = [p for p in generator.parameters() if p.ndim > 1]
    free = [p for p in generator.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.train.weight_decay},
            {"params": [*free, *balancer.parameters()], "weight_decay": 0.0},
        ],
        lr=config.train.learning_rate,
        fused=True,
    )


def term_optimizers(terms: nn.ModuleDict, config: Config) -> dict[str, torch.optim.Optimizer]:
    """An optimizer for each term that has parameters; as a discriminator's, its target moves with the generator."""
    settings = config.train
    return {
        name: torch.optim.Adam(
            term.parameters(),
            lr=settings.discriminator_learning_rate,
            betas=settings.discriminator_betas,
            fused=True,
        )
        for name, term in terms.items()
        if any(True for _ in term.parameters())
    }


def learning_rate_factor(step: int, total: int, config: Config) -> float:
    """Factor on the base learning rates at `step` of `total`: linear warm-up, then the schedule down to 0."""
    settings = whole_steps(config.train, total)
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    left = max(0.0, 1 - step / max(1, total))
    shape = {"poly": left**0.9, "cosine": 0.5 * (1 - math.cos(math.pi * left)), "constant": 1.0}
    return warm * shape[settings.schedule]


def highest_rate(total: int, config: Config) -> tuple[float, int]:
    """The highest factor on the learning rates in a training of `total` steps, and the step, from 1, that has it first.

    Every schedule falls or stays, so it lies within the warm-up or right after it.
    """
    warm = whole_steps(config.train, total).warmup_steps
    factors = [learning_rate_factor(step, total, config) for step in range(min(total, warm + 1))]
    highest = max(factors)
    return highest, factors.index(highest) + 1
