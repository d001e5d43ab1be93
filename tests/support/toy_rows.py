"""Three rows over one shared weight, small enough to be weighed the long way."""

from typing import Any

import pytest
import torch
from balancers import REQUIRED
from torch import Tensor, nn

from advmtl.balancing.build import build_balancer
from preprocessing.ground.errors import InputError

ROWS = ("a", "b", "adversarial/both")


class Toy(nn.Module):
    """z = tanh(W x), or z a parameter itself; two heads; the third row sees both heads."""

    def __init__(self, *, bare: bool = False) -> None:
        super().__init__()
        noise = torch.Generator().manual_seed(1)
        shape = (3, 4) if bare else (4, 5)
        self.shared = nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=noise))
        self.heads = nn.ModuleDict({name: nn.Linear(4, 2).double() for name in ("a", "b")})
        for parameter in self.heads.parameters():
            nn.init.normal_(parameter, generator=noise)
        self.x = torch.randn(3, 5, dtype=torch.float64, generator=noise)
        self.bare = bare

    def rows(self) -> tuple[Tensor, dict[str, Tensor]]:
        z = self.shared * 1 if self.bare else torch.tanh(self.x @ self.shared.T)
        a, b = self.heads["a"](z), self.heads["b"](z)
        return z, {"a": a.square().mean(), "b": 3 * (b - 1).abs().mean(), ROWS[2]: -0.1 * (a * b).sum()}


def balancer_of(method: str) -> Any:
    options = REQUIRED.get(method, {})
    try:
        return build_balancer(method, options, ROWS[:2], ROWS)
    except InputError as error:
        pytest.skip(str(error))


def explicit(toy: Toy, weights: list[Any]) -> dict[str, Tensor]:
    """Σ wᵢ ∂Lᵢ/∂θ of every parameter, row by row."""
    parameters = dict(toy.named_parameters())
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for weight, row in zip(weights, toy.rows()[1].values(), strict=True):
        found = torch.autograd.grad(row, list(parameters.values()), retain_graph=True, allow_unused=True)
        for name, gradient in zip(parameters, found, strict=True):
            if gradient is not None:
                total[name] += weight * gradient
    return total
