"""The three kinds of balancer. All of them work on the host, on m numbers or m × m, in float64."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_TINY = 1e-12  # stands for a loss of 0 where a logarithm is taken


class NonFiniteRow(ValueError):
    """A row's loss, gradient or weight is NaN or infinite; the message names the row and the value."""


class Balancer(nn.Module):
    """What turns the rows of a step into one update; history lives in buffers or in the extra state.

    Attributes:
        rows: names of what is balanced, in the order of losses and of the Gram matrix.
    """

    def __init__(self, rows: Sequence[str]) -> None:
        super().__init__()
        self.rows = tuple(rows)

    def begin_epoch(self, epoch: int) -> None:
        """Told before every step in which epoch (from 0) it falls; the same number may come many times."""

    def observe(self, figures: Mapping[str, float]) -> None:
        """Told after each validation one figure per measured task: 0..1, higher is better."""


class Sum(Balancer):
    """The plain sum of the rows: one ordinary backward, nothing to decide."""


class GramBalancer(Balancer):
    """`(gramian [m,m], losses [m]) -> weights [m]`.

    A row with a zero gradient (no frame of the batch has its label) is left out of the problem and weighs 1: with it
    the shortest vector of the hull would be 0, and all tasks would stand still for its sake. `combine` shows the row of
    such a task as 0 also where unlabelled frames have given it a gradient: its loss is 0, which is no progress.
    """

    def forward(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights of the rows.

        Args:
            gramian: float64 [m,m], inner products of the rows' gradients.
            losses: float64 [m], each row's progress: the task's supervised loss, 1 for a critic's row.

        Raises: NonFiniteRow, also where the method itself fails.
        """
        refuse_non_finite(self.rows, gramian.diagonal(), "squared gradient")
        refuse_non_finite(self.rows, gramian.sum(1), "gradient's products")
        refuse_non_finite(self.rows, losses, "loss")
        active = gramian.diagonal() > 0
        weights = torch.ones_like(losses)
        if bool(active.any()):
            weights[active] = self.solve(gramian[active][:, active], losses[active].clamp_min(_TINY), active)
        refuse_non_finite(self.rows, weights, "weight")
        return weights

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights [k] of the k >= 1 rows with a gradient; `active`, bool [m], says which they are."""
        raise NotImplementedError


class LossBalancer(Balancer):
    """`losses [m] -> scalar`, differentiable; the rows are the tasks.

    `requires_grad` parameters are trained by the generator's optimizer, in a group without weight decay.
    """

    last: Tensor

    def __init__(self, rows: Sequence[str]) -> None:
        super().__init__(rows)
        self.register_buffer("last", torch.ones(len(rows), dtype=torch.float64))

    def forward(self, losses: Tensor) -> Tensor:
        """One scalar from the losses [m], each > 0."""
        raise NotImplementedError

    def weights(self, losses: Tensor, active: Tensor) -> Tensor:
        """∂scalar/∂loss [m], and the gradient of the scalar added to the balancer's own parameters.

        Σ wᵢ Lᵢ has the scalar's gradient, so the network needs no other backward than that of a plain sum.

        Args:
            losses: float64 [m], detached.
            active: bool [m]; a row without any label in the batch keeps its last loss, so that a history or a learnt
                scale does not take the 0 for progress.

        Raises: NonFiniteRow.
        """
        refuse_non_finite(self.rows, losses, "loss")
        values = torch.where(active, losses.clamp_min(_TINY), self.last)
        self.last = values
        leaf = values.clone().requires_grad_()
        with torch.enable_grad():
            self(leaf).backward()
        assert leaf.grad is not None
        refuse_non_finite(self.rows, leaf.grad, "weight")
        return leaf.grad


class JacobianBalancer(Balancer):
    """`matrix [m,n] -> vector [n]`: the rows' gradients themselves, on their device, to one gradient."""

    def forward(self, matrix: Tensor) -> Tensor:
        """One gradient [n] from the rows' [m,n]; a row that has none is 0."""
        raise NotImplementedError


def refuse_non_finite(rows: Sequence[str], values: Tensor, what: str) -> None:
    """Raise NonFiniteRow for the first of the values [m] that is not finite."""
    for name, value in zip(rows, values.tolist(), strict=True):
        if value != value or value in (float("inf"), float("-inf")):
            raise NonFiniteRow(f"{what} of row {name} is {value}")
