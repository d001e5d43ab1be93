"""Balancers of two tasks for many small networks at once: closed forms on R Gram matrices, with their history.

`advmtl.balancing` solves any number of tasks for one network; a test holds the two against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from logic_tables import Method
from torch import Tensor


@dataclass
class Balance:
    """How each of R runs combines its two gradients, with the tensioners' history.

    Attributes:
        fixed: [R,2] weights of rows without a balancer; min_norm, central: [R] masks of those with one.
        period, alpha: [R] T and α of the tensioner; T = 0 is none.
        norms: [R,2,T_max] the last T gradient norms, in a ring; previous: [R,2] their sum one iteration ago.
    """

    fixed: Tensor
    min_norm: Tensor
    central: Tensor
    period: Tensor
    alpha: Tensor
    norms: Tensor
    previous: Tensor

    @classmethod
    def of(cls, methods: Sequence[Method], copies: int, uniform: float) -> "Balance":
        """Balance of every method, each `copies` times."""
        fixed = {"and": (1.0, 0.0), "xor": (0.0, 1.0)}

        def spread(values: list[Any]) -> Tensor:
            dtype = torch.float64 if isinstance(values[0], float | tuple) else None
            return torch.tensor(values, dtype=dtype).repeat_interleave(copies, 0)

        period = spread([method.period for method in methods])
        norms = torch.zeros(len(period), 2, max(1, int(period.max())), dtype=torch.float64)
        return cls(
            spread([fixed.get(method.base, (uniform, uniform)) for method in methods]),
            spread([method.base == "min_norm" for method in methods]),
            spread([method.base == "central_direction" for method in methods]),
            period,
            spread([method.alpha for method in methods]),
            norms,
            norms[:, :, 0].clone(),
        )

    def weigh(self, gramian: Tensor, losses: Tensor, step: int, floor: float) -> Tensor:
        """Weights [R,2] of the two gradients at iteration `step` (from 0), [R,2,2] and [R,2] given."""
        k = torch.where(self.min_norm[:, None], min_norm_pair(gramian, floor), self.fixed)
        k = torch.where(self.central[:, None], central_pair(gramian), k)
        if not bool((self.period > 0).any()):
            return k
        norms = gramian.diagonal(dim1=1, dim2=2).sqrt()
        slot = (step % self.period.clamp_min(1))[:, None, None].expand(-1, 2, 1)
        self.norms.scatter_(2, slot, norms[..., None])
        total = self.norms.sum(2)
        delta = total / self.previous + torch.log10(losses)  # Eq. 4.9-4.10: T cancels in the ratio
        self.previous = total
        c = self.alpha[:, None] * torch.sigmoid(torch.e * (delta - 1)) + 1 - self.alpha[:, None]  # Eq. 4.11
        ready = (self.period > 0) & (step >= self.period)
        return torch.where(ready[:, None], tensioned_pair(gramian, k, c), k)


def min_norm_pair(gramian: Tensor, floor: float = 0.0) -> Tensor:
    """Weights [R,2] of the shortest vector between two gradients (Eq. 4.5), each kept in [floor, 1 - floor]."""
    (first, cross), second = gramian[:, 0].unbind(1), gramian[:, 1, 1]
    weight = ((second - cross) / (first + second - 2 * cross).clamp_min(1e-300)).clamp(floor, 1 - floor)
    return torch.stack([weight, 1 - weight], 1)


def central_pair(gramian: Tensor) -> Tensor:
    """Weights [R,2] of the central direction (Eq. 4.6-4.7): of two unit vectors the shortest weighs both by 1/2."""
    inverse = gramian.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
    return inverse / inverse.sum(1, keepdim=True)


def tensioned_pair(gramian: Tensor, k: Tensor, c: Tensor) -> Tensor:
    """Weights [R,2] of v + s Σ c_m (g_m − v)/‖g_m − v‖ (Eq. 4.12) with the largest s in [0, 1] that keeps g_m·v_n >= 0.

    v lies between the two gradients, so the unit vectors are ± (g_1 − g_2)/‖g_1 − g_2‖; that of a gradient that v
    equals is 0.
    """
    towards = (gramian @ k[..., None])[..., 0]  # g_m · v
    apart = (gramian[:, 0, 0] + gramian[:, 1, 1] - 2 * gramian[:, 0, 1]).clamp_min(1e-300).sqrt()
    pull = (c * (k.flip(1) > 0)) @ c.new_tensor([1.0, -1.0]) / apart
    pull = torch.stack([pull, -pull], 1)
    change = (gramian @ pull[..., None])[..., 0]
    longest = torch.where(change < 0, towards.clamp_min(0) / -change, 1.0).amin(1).clamp(max=1)
    return k + longest[:, None] * pull
