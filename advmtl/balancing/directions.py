"""Common descent directions from the Gram matrix, and the tensioner (Nakamura 2023)."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from advmtl.balancing.balancer import GramBalancer


def min_norm_weights(gramian: Tensor) -> Tensor:
    """Weights on the simplex of the shortest vector in the gradients' convex hull, float64 [m,m] -> [m].

    Désidéri 2012; Sener & Koltun 2018, Eq. 3; Nakamura 2023, Eq. 4.5. Two objectives: Sener & Koltun's closed form
    (their Algorithm 1). More: exact by non-negative least squares, in u = ‖g‖ w, on the cosines C = F Fᵀ, in which a
    short gradient keeps all its digits beside a long one. min ‖Fᵀu‖² + (rᵀu − 1)² over u ≥ 0, r = min‖g‖/‖g‖, has its
    minimum on the ray through the answer, since over the ray's length it is a/(1 + a), a the answer's squared length
    in units of the shortest gradient's.
    """
    m = len(gramian)
    if m == 1:
        return torch.ones_like(gramian[0])
    if m == 2:
        numerator = gramian[1, 1] - gramian[0, 1]
        denominator = gramian[0, 0] + gramian[1, 1] - 2 * gramian[0, 1]
        # Equal gradients: every weight gives the same vector.
        first = float((numerator / denominator).clamp(0, 1)) if denominator > 0 else 0.5
        return gramian.new_tensor([first, 1 - first])
    norms = gramian.diagonal().sqrt()
    inverse = (norms.min() / norms).numpy()
    values, vectors = torch.linalg.eigh(cosines_of(gramian))
    factor = vectors * values.clamp_min(0).sqrt()
    solution, _ = nnls(np.vstack([factor.T.numpy(), inverse]), np.append(np.zeros(m), 1.0))
    weights = solution * inverse
    return torch.from_numpy(weights / weights.sum())


def kept_inside(weights: Tensor, floor: float) -> Tensor:
    """Weights on the simplex, none below `floor`: what they have above it is shrunk to make room, [m] -> [m]."""
    spare = (weights - floor).clamp_min(0)
    return floor + spare * (1 - len(weights) * floor) / spare.sum()


def central_weights(gramian: Tensor) -> Tensor:
    """Weights of the central direction: min-norm over unit gradients, then × γ, float64 [m,m] -> [m].

    v = γ Σ k_m g_m/‖g_m‖ with γ = (Σ k_m/‖g_m‖)⁻¹ (Katrutsa et al. 2020; Nakamura 2023, Eq. 4.6-4.7): the weights
    γ k_m/‖g_m‖ lie on the simplex, so v lies in the convex hull of the gradients. No objective's gradient may be 0.
    """
    inverse = 1 / (gramian.diagonal() / gramian.diagonal().max()).sqrt()
    scaled = min_norm_weights(cosines_of(gramian)) * inverse
    return scaled / scaled.sum()


def cosines_of(gramian: Tensor) -> Tensor:
    """Cosines of the gradients, 1 on the diagonal, float64 [m,m] -> [m,m]; no gradient may be 0."""
    norms = gramian.diagonal().sqrt()
    cosines = gramian / norms[:, None] / norms[None, :]
    return cosines.clamp(-1, 1).fill_diagonal_(1)


class MinNorm(GramBalancer):
    """MGDA with an exact solver; `at: representation` makes it MGDA-UB (Sener & Koltun 2018, section 3.3).

    `normalise` divides the gradients first, for the weights only, by what Sener & Koltun's code offers: their norm, the
    loss, or both; "none" is the published form. `floor`: least weight of an objective; 0: exact, 0.001: their code.
    """

    def __init__(
        self,
        objectives: Sequence[str],
        *,
        normalise: Literal["none", "norm", "loss", "loss_norm"] = "none",
        floor: float = 0.0,
    ) -> None:
        super().__init__(objectives)
        self.normalise, self.floor = normalise, floor

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights on the simplex."""
        del active
        scale = torch.ones_like(losses)
        if self.normalise in ("norm", "loss_norm"):
            scale = gramian.diagonal().sqrt()
        if self.normalise in ("loss", "loss_norm"):
            scale = scale * losses
        weights = min_norm_weights(gramian / scale[:, None] / scale[None, :])
        return kept_inside(weights, self.floor) if self.floor and len(weights) > 1 else weights


class CentralDirection(GramBalancer):
    """The central direction of Nakamura 2023, Eq. 4.6-4.7: `central_weights`."""

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights on the simplex."""
        del losses, active
        return central_weights(gramian)


# The exact shortest vector is often an objective's own gradient: that objective then has no pull, and nothing
# balances the other's, which has length 1 whatever the gradients. Sener & Koltun's code keeps every weight at least
# this large.
BASE_FLOOR = 1e-3


def _min_norm_base(gramian: Tensor) -> Tensor:
    weights = min_norm_weights(gramian)
    return kept_inside(weights, BASE_FLOOR) if len(weights) > 1 else weights


BASES: dict[str, Callable[[Tensor], Tensor]] = {
    "central_direction": central_weights,
    "min_norm": _min_norm_base,
}


class Tensioner(GramBalancer):
    """Pull a common direction towards the tasks that fall behind (Nakamura 2023, Eq. 4.8-4.12, Algorithms 1-2).

    ζ_m(t) = mean of the last T gradient norms; δ_m = ζ_m(t)/ζ_m(t−1) + log10 L_m; c_m = α/(1 + e^{−eδ_m + e}) + 1 − α;
    v_n = v + s Σ c_m (g_m − v)/‖g_m − v‖. From the first step t >= T (counted from 0) on; v before.

    The constraint g_m·v_n >= 0 for all m is kept by s in [0, 1], the longest part of the pull that keeps it. s = 0
    does: v of either base has g_m·v >= 0.

    What the thesis leaves open, and the choices made:
    - The text says that at α = 0 nothing pulls, Eq. 4.11 gives c = 1. For two tasks both hold, and both reproduce the
      rows α = 0 of Tables 1 and 2, which do not depend on T: v lies between g_1 and g_2, so the two unit vectors are
      opposite and equal c cancel (rubber bands stretched alike). The 1 − α cancels for any α. From three tasks
      on it does not; `offset: false` leaves 1 − α out, and α = 0 is then v for any number of tasks.
    - Eq. 4.12 pulls with unit vectors, whatever the gradients' length: on losses whose gradients are short (at a
      representation of many elements they are) the pull outweighs v and only the constraint holds it. This is
      `pull: unit`. `pull: relative` multiplies the pull by ‖v‖, and the method becomes scale-equivariant.
    - Eq. 4.8 has another length, ‖g_m − v‖/‖g_m‖, and no direction; Eq. 4.12 is followed.

    Args:
        base: "central_direction" or "min_norm" (its weights at least `BASE_FLOOR`).
        period: T.
        alpha: α in [0, 1].
        offset: keep the 1 − α of Eq. 4.11.
        pull: "unit" or "relative".
    """

    norms: Tensor
    seen: Tensor

    def __init__(
        self,
        objectives: Sequence[str],
        *,
        base: str = "central_direction",
        period: int = 10,
        alpha: float = 0.3,
        offset: bool = True,
        pull: Literal["unit", "relative"] = "unit",
    ) -> None:
        super().__init__(objectives)
        self.base, self.alpha, self.offset, self.pull = BASES[base], alpha, offset, pull
        self.register_buffer("norms", torch.zeros(len(objectives), period + 1, dtype=torch.float64))  # oldest first
        self.register_buffer("seen", torch.zeros(len(objectives), dtype=torch.int64))

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights of v_n; they may be negative or above 1."""
        now = gramian.diagonal().sqrt()
        self.norms[active] = torch.cat([self.norms[active][:, 1:], now[:, None]], dim=1)
        self.seen[active] += 1
        k = self.base(gramian)
        if bool((self.seen[active] < self.norms.shape[1]).any()):
            return k
        return k + self._pull(gramian, k, self.tension(losses, active))

    def tension(self, losses: Tensor, active: Tensor) -> Tensor:
        """c_m of the active objectives, Eq. 4.9-4.11."""
        history = self.norms[active]
        delta = history[:, 1:].mean(1) / history[:, :-1].mean(1) + torch.log10(losses)
        c = self.alpha * torch.sigmoid(torch.e * (delta - 1))
        return c + 1 - self.alpha if self.offset else c

    def _pull(self, gramian: Tensor, k: Tensor, c: Tensor) -> Tensor:
        """Weights of s Σ c_m (g_m − v)/‖g_m − v‖."""
        towards = gramian @ k  # g_m · v
        square = (k @ towards).clamp_min(0)  # ‖v‖²
        distance = (gramian.diagonal() - 2 * towards + square).clamp_min(0).sqrt()
        # Nothing pulls on an objective that v equals; below the rounding of the squares a distance is noise.
        apart = distance > 1e-7 * gramian.diagonal().max().sqrt()
        each = torch.where(apart, c / distance.clamp_min(1e-300), 0)
        if self.pull == "relative":
            each = each * square.sqrt()
        pull = each - each.sum() * k
        change = gramian @ pull  # g_m · Σ …
        limits = torch.where(change < 0, towards.clamp_min(0) / -change, 1.0)
        return limits.min().clamp(max=1.0) * pull
