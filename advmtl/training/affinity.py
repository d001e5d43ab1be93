"""What each objective's step does to each task's loss, measured during training (TAG, Fifty et al. 2021).

Z_{i→j} = 1 − L_j(θ after a step on objective i alone) / L_j(θ), on one batch, with the shared parameters moved and the
heads left as they are (Eq. 1): above 0 where i's step lowers j's loss.
"""

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from advmtl.balancing import scaled, split_parameters
from advmtl.config import AffinityConfig, Config, measured
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Generator
from advmtl.terms import Logs, StepContext, Term


class Affinity:
    """Measures every so many steps, before the step's own backward, and keeps the values until they are taken.

    Nothing of the run changes: the step's graph stays whole, what moves are a copy of the generator and its batch
    norms' statistics, random numbers are drawn from a fork. The forwards are in float32 whatever the run's precision,
    whose rounding is as large as what is measured.

    The step is the part of the run's own update that comes from this objective's gradient on this batch: see `step_of`.
    Along a longer one curvature hides what is to be seen (docs/affinity.md).

    Args:
        config: with a section `affinity`.
        generator, optimizer: of the run; read.
        supervised: gives each task's loss, which is what is compared.
        processes: those that train together; the values are those of one process with all frames.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        optimizer: torch.optim.Optimizer,
        supervised: Term,
        processes: Processes = SINGLE,
    ) -> None:
        assert isinstance(config.affinity, AffinityConfig)
        self.every = config.affinity.every(len(config.objectives), half=config.train.precision != "fp32")
        self.tasks = list(config.tasks)
        self.generator, self.optimizer, self.supervised, self.processes = generator, optimizer, supervised, processes
        self._found: Logs = {}

    def observe(self, step: StepContext, objectives: Mapping[str, Tensor]) -> None:
        """Measure where the step is due. A task of which no frame of the batch has a label is neither i nor j."""
        if not measured(step.number, self.every):
            return
        targets = [task for task in self.tasks if step.labelled[task]]
        sources = {name: one for name, one in objectives.items() if step.labelled.get(name, True)}
        moved = self._steps(sources, step.scale)
        losses = self._losses(step, targets, [None, *moved])
        self.processes.average([losses])
        change = 1 - losses[1:] / losses[0]
        for row, i in zip(change, sources, strict=True):
            self._found |= {f"affinity/{i}>{j}": value for j, value in zip(targets, row, strict=True)}

    def take(self) -> Logs:
        """What has been measured since the last call, Z by `affinity/i>j`, 0-d; empty where nothing was due."""
        found, self._found = self._found, {}
        return found

    def _steps(self, objectives: Mapping[str, Tensor], scale: Tensor | None) -> list[list[Tensor]]:
        """Of each objective, how its step alone moves every shared parameter; the graph stays."""
        shared = split_parameters(self.generator)[1]
        found = []
        for objective in objectives.values():
            gradients = torch.autograd.grad(scaled(objective, scale), shared, retain_graph=True, allow_unused=True)
            whole = [torch.zeros_like(p) if g is None else g for p, g in zip(shared, gradients, strict=True)]
            if scale is not None:
                whole = [gradient / scale for gradient in whole]
            self.processes.average(whole)
            found.append(step_of(self.optimizer, shared, whole))
        return found

    @torch.no_grad()
    def _losses(self, step: StepContext, tasks: Sequence[str], moves: Sequence[list[Tensor] | None]) -> Tensor:
        """Each task's loss after each move of the shared parameters, None = as they are [moves, tasks]."""
        twin = copy.deepcopy(self.generator)  # grown as the run's is, and not compiled
        original: list[Tensor] = list(split_parameters(self.generator)[1])
        own: list[Tensor] = list(split_parameters(twin)[1])
        devices = [step.z.device] if step.z.device.type == "cuda" else []
        rows = []
        for move in moves:
            torch._foreach_copy_(own, original)
            if move is not None:
                torch._foreach_add_(own, tuple(move))
            with torch.random.fork_rng(devices):  # the same noise in each
                z, grown, outputs = twin.forward_features(step.batch.image)
                context = replace(
                    step, generator=twin, z=z, grown_features=grown, outputs=outputs, autocast=nullcontext
                )
                losses = self.supervised.objectives(context)[0]
            rows.append(torch.stack([losses[task].detach().double() for task in tasks]))
        return torch.stack(rows)


def step_of(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]
) -> list[Tensor]:
    """What a gradient alone adds to an optimizer's next update, in the order of the parameters; its state stays.

    Of an Adam (Kingma & Ba 2015, Algorithm 1): −η (1 − β₁) g / (√v̂ + ε), v̂ of the second moments as they stand and of
    this gradient; momentum and weight decay are no single objective's. Of one without second moments: −η g.
    """
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    found = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        group = groups.get(id(parameter), {"lr": 0.0})  # one that does not learn
        if "betas" not in group:
            found.append(-group["lr"] * gradient)
            continue
        state, (momentum, decay) = optimizer.state.get(parameter, {}), group["betas"]
        squares = state.get("exp_avg_sq", torch.zeros_like(gradient))
        taken = torch.as_tensor(state.get("step", 0), dtype=torch.float32, device=gradient.device)
        corrected = (decay * squares + (1 - decay) * gradient.square()) / (1 - decay ** (taken + 1))
        found.append(-group["lr"] * (1 - momentum) * gradient / (corrected.sqrt() + group["eps"]))
    return found
