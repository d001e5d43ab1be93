"""A short probe: which weights of tasks and discriminators make their gradients at z alike, measured, not searched.

Fixed weights that do well have gradients of similar lengths (AutoScale, Yang et al. 2025), so the first steps of a
plain sum tell them. As in DB-MTL (Lin et al. 2023) each task's loss is taken by its logarithm and its gradient brought
to a common length: the loss cancels, and a step's weight is proportional to 1/‖∇_z L‖. What is proposed is the
geometric mean of these weights over the measured steps.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pstdev
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from advmtl.balancing import gradients_at_representation
from advmtl.compare import Grid
from advmtl.config import Config, load_config
from advmtl.data import train_loader
from advmtl.terms import TERMS, DiscriminatorTerm, Logs, StepContext, SupervisedLosses, Term, gather
from advmtl.training import Callback, build, fit
from advmtl.tune.space import override
from preprocessing.ground import InputError

STEPS = 100
SHARE = 0.1
_NEVER, _FAR = 10**9, 20


@dataclass(frozen=True)
class Measured:
    """One objective of the probe.

    Attributes:
        key: of its weight in the configuration.
        weight: there.
        norm: ‖∇_z‖ of its weighted loss, geometric mean over the measured steps.
        spread: factor by which single steps differ from that, one standard deviation of the logarithm.
        proposed: weight.
    """

    key: str
    weight: float
    norm: float
    spread: float
    proposed: float


@dataclass(frozen=True)
class Probe:
    """What a probe has found.

    Attributes:
        tasks, adversaries: the objectives, in the configuration's order.
        similarity: gradient magnitude similarity of the tasks as configured, 2ab / (a² + b²) (Yu et al. 2020), mean
            over pairs; 1 = alike, which the proposed weights make it.
        share: of the tasks' common length that an adversary's gradient is given.
        steps: that were taken; the second half was measured.
    """

    tasks: tuple[Measured, ...]
    adversaries: tuple[Measured, ...]
    similarity: float
    share: float
    steps: int

    @property
    def overrides(self) -> list[str]:
        """`key=value`, to be put behind `advmtl train CONFIG`."""
        return [override(one.key, float(f"{one.proposed:.4g}")) for one in (*self.tasks, *self.adversaries)]

    @property
    def doubts(self) -> list[str]:
        """A line for each proposal that is far from what was configured."""
        return [
            f"{one.key}: {one.proposed:.3g} is {max(ratio, 1 / ratio):.0f} times {'more' if ratio > 1 else 'less'} "
            f"than configured; see whether it stays so with more --steps, or begin in between"
            for one in (*self.tasks, *self.adversaries)
            if not 1 / _FAR < (ratio := one.proposed / one.weight) < _FAR
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "tasks": [vars(one) for one in self.tasks],
            "adversaries": [vars(one) for one in self.adversaries],
            "gradient_magnitude_similarity": self.similarity,
            "adversary_share": self.share,
            "steps": self.steps,
            "overrides": self.overrides,
        }

    def grid(self) -> Grid:
        """As a table."""
        middle = _middle([one.norm for one in self.tasks])
        rows = tuple(
            (
                one.key,
                f"{one.weight:.4g}",
                f"{one.norm:.3g} ×/÷ {one.spread:.2f}",
                f"{100 * one.norm / middle:.2g}",
                f"{one.proposed:.4g}",
            )
            for one in (*self.tasks, *self.adversaries)
        )
        heads = ("weight", "as configured", "‖∇z‖", "% of the tasks' mean", "proposed")
        return Grid(f"Gradients at z over steps {self.steps // 2} to {self.steps} of a plain sum", heads, rows)


class _Enough(Exception):
    """The probe has its steps."""


class _End(Callback):
    """Ends the training at the first step that is told, which is the last one of the probe."""

    def on_step(self, step: int, losses: Mapping[str, float]) -> bool | None:
        raise _Enough


class _Norms(Term):
    """A term that adds nothing: it takes the gradients at z of the other ones, each by itself."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self._first = first
        self.others: dict[str, Term] = {}
        self.found: dict[str, list[Tensor]] = {}

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """Nothing; notes norms by a task's name, or `discriminator/NAME`."""
        if step.number >= self._first:
            for name, term in self.others.items():
                parts, _ = gather({name: term}, step)
                if isinstance(term, DiscriminatorTerm) and parts:  # what it adds to several tasks is one
                    parts = {name: torch.stack(list(parts.values())).sum()}
                if parts:
                    found = gradients_at_representation(parts, step.representations, keep=True, scale=step.scale)
                    for objective, row in zip(found.names, found.matrix, strict=True):
                        self.found.setdefault(objective, []).append(torch.linalg.vector_norm(row))
        return {}, {}


def probe(config: Config, device: torch.device, *, steps: int = STEPS, share: float = SHARE) -> Probe:
    """Take the first steps of a plain sum of the objectives, discriminators at work from the first one, pictures at
    their full size, and measure.

    Nothing is written. The proposed weights keep the geometric mean of the tasks' weights, so that the learning rate
    and the gradient's clipping mean what they did.

    Args: `steps`: in all; fewer where the configuration has fewer. `share`: of the tasks' common gradient that each
    adversary is given. Raises: InputError where there is nothing to be balanced, NonFiniteLoss.
    """
    found = _run(config, device, steps)
    logs = {name: [math.log(value) for value in values if value > 0] for name, values in found.items()}
    missing = [name for name in config.tasks if not logs.get(name)]
    if missing:
        raise InputError(f"tasks.{missing[0]}: no gradient in the measured steps; are there labels? try more --steps")
    middle = fmean(fmean(logs[name]) for name in config.tasks)
    tasks = tuple(
        _measured(f"tasks.{name}.weight", settings.weight, logs[name], math.exp(middle))
        for name, settings in config.tasks.items()
    )
    adversaries = tuple(
        _measured(
            f"discriminators.{name}.weight", settings.weight, logs[f"discriminator/{name}"], share * math.exp(middle)
        )
        for name, settings in config.discriminators.items()
        if logs.get(f"discriminator/{name}")
    )
    if len(tasks) + len(adversaries) < 2:
        raise InputError(f"{config.name}: has one objective, {tasks[0].key}; there is nothing to balance")
    norms = [one.norm for one in tasks]
    pairs = [2 * a * b / (a * a + b * b) for a, b in combinations(norms, 2)]
    return Probe(tasks, adversaries, fmean(pairs) if pairs else 1.0, share, 2 * max(map(len, found.values())))


def _measured(key: str, weight: float, logs: Sequence[float], wanted: float) -> Measured:
    norm = math.exp(fmean(logs))
    return Measured(key, weight, norm, math.exp(pstdev(logs)), weight * wanted / norm)


def _middle(values: Sequence[float]) -> float:
    return math.exp(fmean(map(math.log, values)))


def _run(config: Config, device: torch.device, steps: int) -> dict[str, list[float]]:
    """‖∇_z‖ of every objective in the second half of the steps."""
    total = config.train.steps(train_loader(config).batch_sampler.batches)
    steps = max(2, min(steps, total - 1))
    short = load_config(
        {**config.model_dump(mode="json"), "balance": {"method": "sum"}, "growth": None},
        [
            *("train.adversarial_start_step=0", "train.adversarial_ramp_steps=0", "train.compile=false"),
            *(f"train.log_every={steps}", f"train.checkpoint_every_steps={_NEVER}", "train.panels=0"),
            *(f"train.evaluate_every_epochs={_NEVER}", "train.small_share=0", "train.small_every=0"),
        ],
        tables=config.tables,
    ).settled(total)
    norms = _Norms(steps - steps // 2)
    state = build(short, device, terms={**TERMS, "probe": lambda *_: {"probe": norms}})
    # Plainly kept, not as submodules: they are the run's already.
    norms.others = {
        name: term for name, term in state.terms.items() if isinstance(term, SupervisedLosses | DiscriminatorTerm)
    }
    with suppress(_Enough):
        fit(state, None, device, Console(quiet=True, emoji=False), callbacks=[_End()])
    return {name: torch.stack(values).tolist() for name, values in norms.found.items()}
