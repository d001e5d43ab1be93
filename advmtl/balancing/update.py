"""One balanced update: a step's objectives through the run's balancer into `.grad`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advmtl.balancing.balancer import (
    Balancer,
    GramBalancer,
    JacobianBalancer,
    LossBalancer,
    Sum,
    check_shape,
    refuse_non_finite,
)
from advmtl.balancing.gradients import (
    ObjectiveGradients,
    backward_sum,
    backward_through_encoder,
    backward_weighted,
    gradient_statistics,
    gradients_at_parameters,
    gradients_at_representation,
    gramian_at_representation,
    gramian_of,
    write_heads,
    write_shared,
)
from advmtl.config import BalanceConfig
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Generator

Logs = dict[str, Tensor]


@dataclass(frozen=True)
class StepObjectives:
    """The objectives of one step and their context.

    Attributes:
        objectives: by name, 0-d with graph; the graph is used up.
        representations: the shared representation z that they were computed from, and all else that heads have read:
            what grown modules give, and the same of further forwards.
        progress: by task, detached: the supervised part of its objective, by which progress is measured.
        labelled: by task, whether any frame of the batch, on any process, has its label. The objective of a task
            without one may still have a term from unlabelled frames. No gradient balancer weighs that: it has no
            progress to be measured by, so it is added with weight 1.
        scale: the loss scale, 0-d on the device: every `.grad` is the true gradient times it; None = 1.
        processes: those that do this at the same time.
    """

    objectives: Mapping[str, Tensor]
    representations: Sequence[Tensor]
    progress: Mapping[str, Tensor]
    labelled: Mapping[str, bool]
    scale: Tensor | None = None
    processes: Processes = SINGLE

    @property
    def z(self) -> Tensor:
        """The shared representation."""
        return self.representations[0]

    def gradients(self, heads: Sequence[nn.Parameter] = (), *, keep: bool = False) -> ObjectiveGradients:
        """Of every objective at the representations and at the heads' parameters; `keep` leaves the graph whole."""
        return gradients_at_representation(
            self.objectives, self.representations, heads, keep=keep, scale=self.scale, processes=self.processes
        )

    def progress_of(self, names: Sequence[str]) -> Tensor:
        """In a balancer's order, float64 on the host; 1 for a discriminator's own objective: scores have no zero
        point.
        """
        one = torch.ones_like(next(iter(self.progress.values())))
        values = torch.stack([self.progress.get(name, one) for name in names]).double()
        self.processes.average([values])
        return values.cpu()  # Host sync.

    def balanced(self) -> list[bool]:
        """Which of the objectives a gradient balancer weighs; a discriminator's own always."""
        return [self.labelled.get(name, True) for name in self.objectives]


def balanced_backward(
    balancer: Balancer, settings: BalanceConfig, generator: Generator, step: StepObjectives, *, statistics: bool = False
) -> Logs:
    """Write the gradient of one update into `.grad` of the generator, which must be unset.

    Args:
        balancer: one of the kinds of `balancer`, distinguished by type; its history is updated.
        settings: where gradients are taken, and how the heads learn.
        generator: whose parameters get gradients: the heads' are each task's own, all others are shared.
        step: what is to be lowered.
        statistics: also return the objectives' norms and cosines at z and their weights.
    Returns: 0-d tensors by name. Raises: NonFiniteObjective.
    """
    if isinstance(balancer, GramBalancer | JacobianBalancer):
        gradients = step.gradients([p for p in generator.heads.parameters() if p.requires_grad])
        logs = _statistics(gradients) if statistics else {}
        shared = split_parameters(generator)[1] if settings.at == "parameters" else None
        if isinstance(balancer, JacobianBalancer):
            _aggregate(balancer, gradients, step, shared)
            write_heads(gradients, None)
            return logs
        weights = _by_gramian(balancer, gradients, step, shared, generator.heads)
        write_heads(gradients, list(weights.values()) if settings.heads == "weighted" else None)
        return logs | (_weight_logs(weights, step.z) if statistics else {})
    logs = _statistics(step.gradients(keep=True)) if statistics else {}
    if isinstance(balancer, LossBalancer):
        weights = _by_losses(balancer, step)
        backward_weighted(step.objectives, weights, step.scale)
        return logs | (_weight_logs(weights, step.z) if statistics else {})
    assert isinstance(balancer, Sum)
    backward_sum(step.objectives, step.scale)
    return logs


def _by_losses(balancer: LossBalancer, step: StepObjectives) -> dict[str, float]:
    """Weights by name; the balancer's own parameters get their gradients."""
    active = torch.tensor([step.labelled[name] for name in balancer.objectives])
    weights, own = balancer.weights(step.progress_of(balancer.objectives), active)
    for parameter, gradient in zip(balancer.parameters(), own, strict=True):
        parameter.grad = gradient if step.scale is None else gradient * step.scale.to(parameter.device)
    shared = step.processes.broadcast_from_rank0(weights, step.z.device)
    return dict(zip(balancer.objectives, shared.tolist(), strict=True))


def _by_gramian(
    balancer: GramBalancer,
    gradients: ObjectiveGradients,
    step: StepObjectives,
    shared: Sequence[nn.Parameter] | None,
    heads: nn.ModuleDict,
) -> dict[str, float]:
    """Weights by name; the weighted gradient goes into all before the heads. `shared`: where it is taken, None = z."""
    matrix = None if shared is None else gradients_at_parameters(gradients, shared)
    gramian = gramian_at_representation(gradients) if matrix is None else gramian_of(matrix)
    weights = step.processes.broadcast_from_rank0(_weigh(balancer, gramian, step), step.z.device)
    by_name = dict(zip(gradients.names, weights.tolist(), strict=True))
    if balancer.transforms_representation:
        rows = zip(gradients.names, gradients.matrix, step.balanced(), strict=True)
        at_z = {name: gradients.like_z(row if known else torch.zeros_like(row)) for name, row, known in rows}
        balancer.transform(dict(heads.items()), at_z, by_name, step.processes)
    if matrix is None or shared is None:
        backward_through_encoder(gradients, weights.to(gradients.matrix) @ gradients.matrix)
    else:
        write_shared(shared, weights.to(matrix) @ matrix, step.scale)
    return by_name


def _weigh(balancer: GramBalancer, gramian: Tensor, step: StepObjectives) -> Tensor:
    """Weights of the objectives there are, from a balancer that is built for all possible ones.

    One that is not balanced looks to it like one without gradient, which it leaves out with weight 1.
    """
    names = list(step.objectives)
    refuse_non_finite(names, gramian.diagonal(), "squared gradient")  # also of what the balancer does not see
    left = torch.tensor([not known for known in step.balanced()])
    gramian = gramian.masked_fill(left[:, None] | left[None, :], 0)
    there = torch.tensor([balancer.objectives.index(name) for name in names])
    whole = gramian.new_zeros(len(balancer.objectives), len(balancer.objectives))
    whole[there[:, None], there[None, :]] = gramian
    return balancer(whole, step.progress_of(balancer.objectives))[there]


def _aggregate(
    balancer: JacobianBalancer,
    gradients: ObjectiveGradients,
    step: StepObjectives,
    shared: Sequence[nn.Parameter] | None,
) -> None:
    """The balancer's one gradient, and beside it, as they are, the objectives that are not balanced."""
    matrix = gradients.matrix if shared is None else gradients_at_parameters(gradients, shared)
    largest = matrix.abs().amax(1)
    step.processes.average([largest])  # over the processes, so that all of them refuse
    refuse_non_finite(gradients.names, largest, "largest gradient")  # Host sync.
    whole = matrix.new_zeros(len(balancer.objectives), matrix.shape[1])
    beside = []
    for name, row, known in zip(gradients.names, matrix, step.balanced(), strict=True):
        if known:
            whole[balancer.objectives.index(name)] = row
        else:
            beside.append(row)
    if shared is None:
        # Each process has its own part of z: coordinate by coordinate, the methods need no more than that.
        with step.processes.fork_rng_per_rank():
            vector = balancer(whole)
        check_shape(balancer, "forward", vector, (whole.shape[1],))
        backward_through_encoder(gradients, sum(beside, start=vector))
    else:
        found = balancer(whole)
        check_shape(balancer, "forward", found, (whole.shape[1],))
        vector = step.processes.broadcast_from_rank0(found, whole.device)
        write_shared(shared, sum(beside, start=vector), step.scale)


def split_parameters(generator: Generator) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The heads' parameters, and the shared ones: all others."""
    heads = list(generator.heads.parameters())
    apart = {id(parameter) for parameter in heads}
    return heads, [p for p in generator.parameters() if id(p) not in apart and p.requires_grad]


def _statistics(gradients: ObjectiveGradients) -> Logs:
    statistics = gradient_statistics(gradients.names, gramian_at_representation(gradients))
    return {name: value.to(gradients.z) for name, value in statistics.items()}


def _weight_logs(weights: Mapping[str, float], z: Tensor) -> Logs:
    return {f"balance/weight/{name}": z.new_tensor(weight) for name, weight in weights.items()}
