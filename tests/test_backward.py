"""Rows to gradients."""

import pytest
import torch

from advmtl.backward import backward_sum, representation_gradients, row_statistics


def test_sum_gives_the_gradient_of_the_sum() -> None:
    """rows 2x and 3x²: at x = 2 the gradient is 2 + 6·2 = 14."""
    x = torch.tensor(2.0, requires_grad=True)
    backward_sum({"a": 2 * x, "b": 3 * x**2})
    assert x.grad is not None and x.grad.item() == 14.0


def test_gradients_at_the_representation() -> None:
    """z = (1, 2): ∂(z0·z1) = (2, 1); ∂(3 z1) = (0, 3); a row that does not reach z is zero."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    z = w * 1
    rows = {"product": z[0] * z[1], "second": 3 * z[1], "apart": (w * 0 + 1).sum()}
    gradients = representation_gradients(rows, z)
    assert gradients.tolist() == [[2, 1], [0, 3], [0, 0]]
    assert w.grad is None  # looking does not touch .grad


def test_statistics_name_norms_and_cosines() -> None:
    """Norms √5 and 3; cosine (2·0 + 1·3) / (√5 · 3) = 1/√5."""
    z = (torch.tensor([1.0, 2.0], requires_grad=True)) * 1
    statistics = row_statistics({"product": z[0] * z[1], "second": 3 * z[1]}, z)
    assert statistics["gradient_norm_at_z/product"].item() == pytest.approx(5**0.5)
    assert statistics["gradient_norm_at_z/second"].item() == pytest.approx(3.0)
    assert statistics["gradient_cosine_at_z/product~second"].item() == pytest.approx(5**-0.5)
