"""Methods whose weights solve a convex problem, solved to rounding whatever the gradients' lengths.

TorchJD's solvers have absolute thresholds on the Gram matrix, where a gradient of a thousandth of another's length has
a millionth of its square: a critic's row beside the tasks' is such a one. Here each problem is written in u = ‖g‖ w on
the cosines C, in which lengths stand on the right-hand side alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor
from torchjd.aggregation import Weighting
from torchjd.linalg import QuadprogProjector

from advmtl.balancing.balancer import GramBalancer
from advmtl.balancing.directions import cosines_of, min_norm_weights

# A vector Σ w g shorter than this share of √Σ(w‖g‖)² is 0: below, a Gram matrix of float32 gradients says nothing.
_STATIONARY = 1e-6
_NEWTON_STEPS = 100


class Solved(Weighting[Tensor]):
    """A function of the Gram matrix where TorchJD wants one of its weightings."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, gramian: Tensor, /) -> Tensor:
        """The weights."""
        return self.function(gramian)


class CaGrad(GramBalancer):
    """CAGrad: d = g₀ + √φ g_w/‖g_w‖, √φ = c‖g₀‖, w = argmin g_w·g₀ + √φ‖g_w‖ (Liu et al. 2021, Eq. 4, Algorithm 1).

    2√φ‖g_w‖ is the least of √φ(‖g_w‖²/s + s) over s > 0, at s = ‖g_w‖. For a given s it is the shortest vector in the
    hull of g_i + (s/√φ) g₀; what is left is one number, ln s, at which s = ‖g_w‖.

    For c < 1 the direction may conflict with an objective, by definition. Where the hull holds 0 there is no common
    descent, and the weights are 0, as in the authors' code.

    Args:
        c: radius of the ball around the mean gradient g₀ over its length.
    """

    def __init__(self, objectives: Sequence[str], *, c: float = 0.4) -> None:
        super().__init__(objectives)
        self.c = c

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """1/k + √φ/‖g_w‖ w."""
        del losses, active
        gramian = gramian / gramian.diagonal().max()
        mean, radius = gramian.mean(1), self.c * float(gramian.mean().clamp_min(0).sqrt())
        uniform = torch.full_like(mean, 1 / len(mean))
        if radius <= 0:
            return uniform

        def inner(logarithm: float) -> tuple[Tensor, float]:
            shift = float(np.exp(logarithm)) / radius
            moved = gramian + shift * (mean[:, None] + mean[None, :]) + shift**2 * gramian.mean()
            weights = min_norm_weights(moved)
            return weights, _length(gramian, weights)

        def nothing(weights: Tensor) -> float:
            return _STATIONARY * float((weights.square() @ gramian.diagonal()).sqrt())

        shortest = min_norm_weights(gramian)
        low = max(_length(gramian, shortest), nothing(shortest))
        ends = float(np.log(low)), 0.0  # no vector of the hull is longer than the longest gradient

        def excess(logarithm: float) -> float:
            return float(np.log(max(inner(logarithm)[1], 1e-300))) - logarithm

        if excess(ends[0]) <= 0:
            found = ends[0]
        elif excess(ends[1]) >= 0:
            found = ends[1]
        else:
            found = brentq(excess, *ends, xtol=1e-12)
        weights, length = inner(found)
        return torch.zeros_like(uniform) if length <= nothing(weights) else uniform + radius / length * weights


class FairGrad(GramBalancer):
    """FairGrad: G w = w^(−1/α) (Ban & Ji 2024, Eq. 4); α = 0: equal weights.

    In u it is C u = b u^(−1/α) with b = ‖g‖^(1/α − 1): where the gradient of a strictly convex function is 0. Newton
    from the answer of orthogonal gradients. Has none where the hull holds 0.

    Args:
        alpha: fairness; 1 is proportional.
        max_iters: Newton's steps.
    """

    def __init__(self, objectives: Sequence[str], *, alpha: float, max_iters: int | None = None) -> None:
        super().__init__(objectives)
        self.alpha, self.steps = alpha, max_iters or _NEWTON_STEPS

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """The fair weights."""
        del losses, active
        if self.alpha == 0:
            return torch.full_like(gramian[0], 1 / len(gramian))
        return fair_weights(gramian, self.alpha, self.steps)


class NashMtl(GramBalancer):
    """Nash-MTL: w with G w = 1/w, the direction's length at most `max_norm` (Navon et al. 2022, Eq. 3, Algorithm 1).

    FairGrad's condition with α = 1 is the same one (Ban & Ji 2024, §3). The authors' code solves up to twenty convex
    programs a step in its place.

    wᵀG w is then the number k of objectives, so the direction has the length √k whatever the gradients: a `max_norm`
    below that, such as the default, is not a bound but the length of every update.

    Args:
        max_norm: bound of ‖Σ w_i g_i‖, 0 for none; the authors' 1.
    """

    def __init__(self, objectives: Sequence[str], *, max_norm: float = 1.0) -> None:
        super().__init__(objectives)
        self.max_norm = max_norm

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """The bargaining solution."""
        del losses, active
        weights = fair_weights(gramian, 1.0)
        length = _length(gramian, weights)
        return weights * (self.max_norm / length) if 0 < self.max_norm < length else weights


class ImtlG(GramBalancer):
    """IMTL-G: equal projections on all unit gradients (Liu et al. 2021, "Towards impartial …", Eq. 6).

    C u = 1 over the sum of the weights. From three objectives on that sum may be negative: the published weights, of
    sum 1, then go up along every objective. The direction that goes down along all of them is taken, of sum −1.
    """

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """The impartial weights; 0 where they have no sum."""
        del losses, active
        return impartial_weights(gramian)


class DualCone(GramBalancer):
    """UPGrad and DualProj (Quinton & Rey 2024, Eq. 3; Lopez-Paz & Ranzato 2017, Eq. 11) by TorchJD's projector.

    Onto the dual cone, of the vectors that conflict with no gradient. The cone knows no lengths; TorchJD adds 1e-4 of
    the whole Gram matrix to its diagonal, in which a gradient of a hundredth of the longest disappears.

    Args:
        each: project every gradient and take the mean (UPGrad), or project the mean (DualProj).
        preference: weight per objective [m], any scale; None: equal.

    Raises: ImportError where the projector's solver is not installed.
    """

    def __init__(self, objectives: Sequence[str], *, each: bool, preference: Tensor | None = None) -> None:
        super().__init__(objectives)
        self.each, self.preference = each, preference
        self.projector = QuadprogProjector(norm_eps=0.0, reg_eps=1e-10)

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights of the projection."""
        del losses
        norms = gramian.diagonal().sqrt()
        values, vectors = torch.linalg.eigh(cosines_of(gramian))
        cosines = vectors * values.clamp_min(0) @ vectors.T  # of float32 gradients they may be a little indefinite
        chosen = torch.ones_like(norms) if self.preference is None else self.preference[active]
        target = chosen / chosen.sum() * norms / norms.max()
        if self.each:
            u = target @ self.projector(torch.eye(len(norms), dtype=norms.dtype), cosines)
        else:
            u = self.projector(target, cosines)
        return u / (norms / norms.max())


def impartial_weights(gramian: Tensor) -> Tensor:
    """`ImtlG`'s weights, float64 [m,m] -> [m]."""
    norms = gramian.diagonal().sqrt()
    weights = torch.linalg.pinv(cosines_of(gramian), hermitian=True).sum(1) / (norms / norms.min())
    total = weights.sum().abs()
    return weights / total if total > 1e-12 else torch.zeros_like(weights)


def fair_weights(gramian: Tensor, alpha: float, steps: int = _NEWTON_STEPS) -> Tensor:
    """w > 0 with G w = w^(−1/α), float64 [m,m] -> [m].

    With b of `FairGrad`, s = b^(1/(1+p)), p = 1/α and u = s x: x minimises ½ xᵀQx − Σ s² h(x), Q = s C s, h' = x^(−p).
    """
    p, norms = 1 / alpha, gramian.diagonal().sqrt().numpy()
    longest = norms.max()
    s = (norms / longest) ** ((p - 1) / (1 + p))
    square, q = s * s, s[:, None] * cosines_of(gramian).numpy() * s[None, :]

    def value(x: NDArray[np.float64]) -> float:
        return float(x @ q @ x / 2 - square @ (np.log(x) if p == 1 else x ** (1 - p) / (1 - p)))

    x = np.ones(len(norms))
    for _ in range(steps):
        pull = square * x**-p
        slope = q @ x - pull
        if np.abs(slope / pull).max() < 1e-12 or x.max() > 1e9:  # 1e9: the hull holds 0, there is no answer
            break
        curvature = q + np.diag(p * pull / x)
        scale = 1 / np.sqrt(curvature.diagonal())
        try:
            step = -scale * np.linalg.solve(curvature * scale[:, None] * scale[None, :], scale * slope)
        except np.linalg.LinAlgError:
            break
        length, here = min(1.0, 0.9 / max(float((-step / x).max()), 1e-300)), value(x)
        while length > 1e-12 and value(x + length * step) > here + 1e-4 * length * (slope @ step) + 1e-14 * abs(here):
            length /= 2
        x = x + length * step
    return torch.from_numpy(s * x / norms * longest ** ((p - 1) / (p + 1)))


def _length(gramian: Tensor, weights: Tensor) -> float:
    return float((weights @ gramian @ weights).clamp_min(0).sqrt())
