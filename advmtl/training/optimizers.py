"""Optimizers and learning-rate schedule."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from advmtl.config import Config, whole_steps
from advmtl.networks import Generator, rate_factors

RATE = "rate"
"""Key of a group of parameters with a learning rate of its own: the factor on everybody's."""


def generator_optimizer(generator: Generator, balancer: nn.Module, config: Config) -> torch.optim.Optimizer:
    """AdamW of the network and of what its balancer learns; parts with a rate of their own are groups of their own.

    Raises: InputError where such a part is not to be had of this encoder.
    """
    factors = rate_factors(generator, config.train.rates)
    groups = _groups([p for p in generator.parameters() if id(p) not in factors], config)
    groups[1]["params"] += list(balancer.parameters())
    for factor in sorted(set(factors.values())):
        chosen = [p for p in generator.parameters() if factors.get(id(p)) == factor]
        groups += [{**group, RATE: factor} for group in _groups(chosen, config) if group["params"]]
    return torch.optim.AdamW(groups, lr=config.train.learning_rate, fused=True)


def _groups(parameters: Sequence[nn.Parameter], config: Config) -> list[dict[str, Any]]:
    # Weight decay on norms and biases pulls scales to zero and helps nothing.
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.train.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


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
    # Small pictures are trained at the full rate, which falls over the steps at full size.
    small = settings.small_share * total
    left = min(1.0, max(0.0, 1 - (step - small) / max(1, total - small)))
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
