"""The three kinds of balancer. All of them compute on the host, on m numbers or an m × m matrix, in float64."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from advmtl.config import Plan
from advmtl.distributed import Processes
from preprocessing.ground import InputError

_TINY = 1e-12  # stands for a loss of 0 where a logarithm is taken


class NonFiniteObjective(ValueError):
    """An objective's loss, gradient or weight is NaN or infinite; the message names the objective and the value."""


class Balancer(nn.Module):
    """Turns the objectives of a step into one update; its history is in buffers or in the extra state.

    Attributes:
        objectives: names of what is balanced, in the order of losses and of the Gram matrix.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        super().__init__()
        self.objectives = tuple(objectives)

    def foresee(self, plan: Plan) -> str | None:
        """Why it will be no other than the plain sum in this training, and what to do: one line without its name; None
        where it will act. Asked before the first step.
        """
        if len(self.objectives) > 1:
            return None
        return f"has one objective, {', '.join(self.objectives)}, so there is nothing to balance; leave it out"

    def begin_epoch(self, epoch: int) -> None:
        """Called before every step with its epoch (from 0); repeated calls with the same number are fine."""

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Called after each validation with one metric per measured task: 0..1, higher is better."""


class Sum(Balancer):
    """The plain sum of the objectives: one ordinary backward, nothing to decide."""

    def foresee(self, plan: Plan) -> str | None:
        """It is what it says."""
        return None


class GramBalancer(Balancer):
    """`(gramian [m,m], losses [m]) -> weights [m]`.

    An objective with a zero gradient (no frame of the batch has its label) is left out of the problem and weighs 1:
    with it the shortest vector of the hull would be 0, and no task would make progress. `update` shows the
    objective of such a task as 0 also where unlabelled frames have given it a gradient: its loss is 0, which is no
    progress.

    Attributes:
        transforms_representation: whether the network has a transform of z for each task, which `transform` moves.
    """

    transforms_representation: ClassVar[bool] = False

    def foresee(self, plan: Plan) -> str | None:
        """It compares the gradients of a step."""
        return super().foresee(plan) or never_together(self.objectives, plan)

    def forward(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the objectives.

        Args:
            gramian: float64 [m,m], inner products of the objectives' gradients.
            losses: float64 [m], each objective's progress: the task's supervised loss, 1 for a discriminator's own.

        Raises: NonFiniteObjective, also where the method itself fails.
        """
        refuse_non_finite(self.objectives, gramian.diagonal(), "squared gradient")
        refuse_non_finite(self.objectives, gramian.sum(1), "gradient's products")
        refuse_non_finite(self.objectives, losses, "loss")
        active = gramian.diagonal() > 0
        weights = torch.ones_like(losses)
        if bool(active.any()):
            solved = self.solve(gramian[active][:, active], losses[active].clamp_min(_TINY), active)
            check_shape(self, "solve", solved, (int(active.sum()),))
            weights[active] = solved
        refuse_non_finite(self.objectives, weights, "weight")
        return weights

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights [k] of the k >= 1 objectives with a gradient; `active`, bool [m], says which they are."""
        raise NotImplementedError

    def transform(
        self,
        heads: Mapping[str, nn.Module],
        gradients: Mapping[str, Tensor],
        weights: Mapping[str, float],
        processes: Processes,
    ) -> None:
        """Update the method's own part of the network; called where `transforms_representation` is true.

        Args:
            heads: by task.
            gradients: by objective, at z [N,C,h,w], of this process's frames; 0 where it is not balanced.
            weights: by objective, those of this step.
            processes: those that do this at the same time; all must end alike.
        """


class LossBalancer(Balancer):
    """`losses [m] -> scalar`, differentiable; the objectives are the tasks.

    `requires_grad` parameters are trained by the generator's optimizer, in a group without weight decay.
    """

    last: Tensor

    def __init__(self, objectives: Sequence[str]) -> None:
        super().__init__(objectives)
        self.register_buffer("last", torch.ones(len(objectives), dtype=torch.float64))

    def forward(self, losses: Tensor) -> Tensor:
        """One scalar from the losses [m], each > 0."""
        raise NotImplementedError

    def weights(self, losses: Tensor, active: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """∂scalar/∂loss [m], and ∂scalar/∂p of the balancer's own parameters p, in their order.

        Σ wᵢ Lᵢ has the scalar's gradient, so the network needs no other backward than that of a plain sum.

        Args:
            losses: float64 [m], detached.
            active: bool [m]; an objective without any label in the batch keeps its last loss, so that a history or a
                learnt scale does not take the 0 for progress.

        Raises: NonFiniteObjective.
        """
        refuse_non_finite(self.objectives, losses, "loss")
        values = torch.where(active, losses.clamp_min(_TINY), self.last)
        self.last = values
        leaf = values.clone().requires_grad_()
        with torch.enable_grad():
            combined = self(leaf)
            check_shape(self, "forward", combined, ())
            weights, *own = torch.autograd.grad(combined, [leaf, *self.parameters()])
        refuse_non_finite(self.objectives, weights, "weight")
        return weights, tuple(own)


class JacobianBalancer(Balancer):
    """`matrix [m,n] -> vector [n]`: the objectives' gradients themselves, on their device, to one gradient."""

    def foresee(self, plan: Plan) -> str | None:
        """It compares the gradients of a step."""
        return super().foresee(plan) or never_together(self.objectives, plan)

    def forward(self, matrix: Tensor) -> Tensor:
        """One gradient [n] from the objectives' [m,n]; an objective that has none is 0."""
        raise NotImplementedError


def never_together(objectives: Sequence[str], plan: Plan) -> str | None:
    """A doubt where no step has the labels of two of the objectives; what is no task counts as always there."""
    tasks = [name for name in objectives if plan.having([name])]
    if len(tasks) < len(objectives) or any(plan.meet(one, other) for one, other in combinations(tasks, 2)):
        return None
    return f"no step has labels of two among {', '.join(tasks)}, so there is nothing to balance; raise data.batch_size"


def check_shape(balancer: nn.Module, method: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raises: InputError naming a balancer whose method gives another shape."""
    if tuple(value.shape) != shape:
        found, wanted = ("one number" if one == () else str(list(one)) for one in (tuple(value.shape), shape))
        raise InputError(f"balancer {type(balancer).__name__}: {method} gave {found}; it must give {wanted}")


def refuse_non_finite(objectives: Sequence[str], values: Tensor, what: str) -> None:
    """Raise NonFiniteObjective for the first of the values [m] that is not finite."""
    for name, value in zip(objectives, values.tolist(), strict=True):
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFiniteObjective(f"{what} of objective {name} is {value}")
