"""TorchJD's weightings and aggregators as balancers: one scale, objectives without gradient left out, state saved."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchjd import aggregation as torchjd

from advmtl.balancing.balancer import GramBalancer, JacobianBalancer
from advmtl.config import Plan


class Weighted(GramBalancer):
    """A weighting of TorchJD without history.

    It is given the Gram matrix divided by its mean diagonal: thresholds in solvers (1e-4 of a norm, 1e-12 of a sum)
    then mean the same for any scale of the losses.

    Args:
        weighting: TorchJD's, from a Gram matrix.
        preference: weight per objective [m], any scale, for a weighting that has a `pref_vector`.
    """

    def __init__(
        self,
        objectives: Sequence[str],
        weighting: torchjd.Weighting[Any],
        *,
        preference: Tensor | None = None,
    ) -> None:
        super().__init__(objectives)
        self.weighting, self.preference = weighting, preference

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """TorchJD's weights."""
        del losses
        if self.preference is not None:
            chosen = self.preference[active]
            self.weighting.pref_vector = chosen / chosen.sum()
        return self.weighting(gramian / gramian.diagonal().mean())


class ConFIG(GramBalancer):
    """TorchJD's ConFIG (Liu et al. 2024, Eq. 2), by the Gram matrix.

    Its direction lies in the span of the objectives and depends on their inner products alone, so it is taken on a
    factor F of the Gram matrix, F Fᵀ = G, instead of objectives of a million numbers.
    """

    def __init__(self, objectives: Sequence[str], preference: Tensor) -> None:
        super().__init__(objectives)
        self.preference = preference

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights w with Fᵀ w = ConFIG(F)."""
        del losses
        norms = gramian.diagonal().sqrt()
        values, vectors = torch.linalg.eigh(gramian / norms[:, None] / norms[None, :])
        unit = vectors * torch.where(values > 1e-12 * values.max(), values, 0).sqrt()
        direction = torchjd.ConFIG(self.preference[active])(norms[:, None] * unit)
        return torch.linalg.pinv(unit.T) @ direction / norms


class StatefulWeighting(GramBalancer):
    """A weighting of TorchJD with history per objective.

    An objective without gradient is shown to it as one of the mean norm that is orthogonal to all others: it neither
    helps nor hinders them, and the history keeps its shape.

    Args:
        weighting: TorchJD's, from a Gram matrix.
        names: its attributes that are history; tensors, numbers, None or tuples of them.
    """

    def __init__(self, objectives: Sequence[str], weighting: torchjd.Weighting[Any], names: Sequence[str]) -> None:
        super().__init__(objectives)
        # Not a submodule: TorchJD's buffers come into being with the first call, and a state dict that has them does
        # not load into a fresh module. The extra state has them instead.
        self._holder, self._names = [weighting], tuple(names)

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """TorchJD's weights of the objectives with a gradient."""
        del losses
        scale = gramian.diagonal().mean()
        whole = torch.eye(len(active), dtype=gramian.dtype)
        index = active.nonzero().squeeze(1)
        whole[index[:, None], index[None, :]] = gramian / scale
        return self._holder[0](whole)[active]

    def get_extra_state(self) -> dict[str, Any]:
        """The history."""
        return _attributes(self._holder[0], self._names)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        for name, value in state.items():
            setattr(self._holder[0], name, value)


class TorchJDAggregator(JacobianBalancer):
    """An aggregator of TorchJD that needs the gradients themselves.

    Args:
        aggregator: TorchJD's.
        names: attributes of its weighting that are history.
        begins: steps before its weights move.
    """

    def __init__(
        self, objectives: Sequence[str], aggregator: torchjd.Aggregator, names: Sequence[str] = (), begins: int = 0
    ) -> None:
        super().__init__(objectives)
        self._holder, self._names, self._begins = [aggregator], tuple(names), begins

    def foresee(self, plan: Plan) -> str | None:
        """Also where its weights would move after the last step only."""
        late = f"its weights move after {self._begins} steps, and the training has {plan.steps}; begin it earlier"
        return super().foresee(plan) or (late if self._begins >= plan.steps else None)

    def forward(self, matrix: Tensor) -> Tensor:
        """TorchJD's aggregation."""
        return self._holder[0](matrix)

    def get_extra_state(self) -> dict[str, Any]:
        """The history."""
        return _attributes(self._holder[0].weighting, self._names) if self._names else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it."""
        for name, value in state.items():
            setattr(self._holder[0].weighting, name, value)


def _attributes(owner: object, names: Sequence[str]) -> dict[str, Any]:
    values = {name: getattr(owner, name) for name in names}
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in values.items()}
