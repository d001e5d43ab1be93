"""The state of a restyling between two steps: networks, average, optimisers, place; saved and restored as one."""

import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from advmtl.adversarial_objectives import OBJECTIVES
from advmtl.networks import PatchDiscriminator
from advmtl.restyle.contrast import PatchHeads
from advmtl.restyle.judge import Judge
from advmtl.restyle.settings import Settings
from advmtl.styles import RestyleGenerator
from advmtl.training import Precision
from preprocessing.ground import InputError

_BETAS = (0.5, 0.999)
_AVERAGE = 0.999
_CHANNELS = 64  # of the discriminator's second layer
_PARTS = ("generator", "average", "heads", "discriminator")


@dataclass
class State:
    """A restyling between two steps. Draws are functions of (seed, step), so no random state belongs to it.

    Attributes:
        average: of the generator's weights, which is what is used.
        seconds: of learning, for a budget of time.
        log_bytes: of `metrics.jsonl` that belong to steps that were saved.
    """

    settings: Settings
    device: torch.device
    generator: RestyleGenerator
    average: RestyleGenerator
    heads: PatchHeads
    discriminator: PatchDiscriminator
    optimizers: dict[str, torch.optim.Optimizer]
    precision: Precision
    judge: Judge | None = None
    step: int = 0
    seconds: float = 0.0
    log_bytes: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only, so that it loads with `weights_only=True`."""
        return {
            **{name: getattr(self, name).state_dict() for name in _PARTS},
            "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
            "precision": self.precision.state_dict(),
            **{"step": self.step, "seconds": self.seconds, "log_bytes": self.log_bytes},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` holds. Raises: InputError where it is of another version."""
        try:
            for name in _PARTS:
                getattr(self, name).load_state_dict(state[name])
            for name, one in self.optimizers.items():
                one.load_state_dict(state["optimizers"][name])
            self.precision.load_state_dict(state["precision"])
            self.step, self.seconds, self.log_bytes = state["step"], state["seconds"], state["log_bytes"]
        except (KeyError, RuntimeError, ValueError) as error:
            line = " ".join(str(error).split())
            raise InputError(f"checkpoint: does not fit this version ({line[:200]}); choose another --run") from None

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged generator towards the current one; the decay warms up as that of a run's average."""
        decay = min(_AVERAGE, (1 + self.step) / (10 + self.step))
        averaged: list[torch.Tensor] = list(self.average.parameters())
        current: list[torch.Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)


def begin(settings: Settings, device: torch.device, judge: Judge | None = None) -> State:
    """A fresh state, by the seed. The global random state stays as it was."""
    objective = OBJECTIVES[settings.objective]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator = RestyleGenerator(settings.width, settings.blocks)
        heads = PatchHeads(generator.tapped)
        discriminator = PatchDiscriminator(3, _CHANNELS, spectral=objective.spectral)
    generator, heads, discriminator = (cast(Any, one).to(device) for one in (generator, heads, discriminator))
    learnt = [*generator.parameters(), *heads.parameters()]
    optimizers = {
        "generator": _adam(learnt, settings.learning_rate),
        "discriminator": _adam(list(discriminator.parameters()), objective.learning_rate or settings.learning_rate),
    }
    return State(
        settings=settings,
        device=device,
        generator=generator,
        average=copy.deepcopy(generator).eval().requires_grad_(False),
        heads=heads,
        discriminator=discriminator,
        optimizers=optimizers,
        precision=Precision(settings.precision, device, optimizers),  # type: ignore[arg-type]
        judge=None if judge is None else judge.to(device),
    )


def _adam(parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=rate, betas=_BETAS, fused=True)
