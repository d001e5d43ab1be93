"""Min-norm, central direction and tensioner against their equations, worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from advmtl.balancing.directions import Tensioner, central_weights, min_norm_weights


def wide(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


ONES = wide([1.0, 1.0])
ORTHOGONAL = wide([[4.0, 0.0], [0.0, 1.0]])  # g = (2, 0), (0, 1); central v = (2/3, 2/3)


@pytest.mark.parametrize("rows", [3, 4, 6])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_min_norm_of_many_rows_is_optimal(rows: int, scale: float) -> None:
    """v is shortest in the hull if and only if g_m · v >= v · v for all m; equal where the weight is above 0."""
    for seed in range(10):
        matrix = scale * torch.randn(rows, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        matrix = matrix * 10.0 ** torch.arange(rows)[:, None] if seed % 2 else matrix
        gramian = matrix @ matrix.T
        weights = min_norm_weights(gramian)
        assert weights.sum().item() == pytest.approx(1) and weights.min() >= 0
        products, square = gramian @ weights, weights @ gramian @ weights
        slack = 1e-9 * gramian.diagonal().min() + 1e-6 * square
        assert (products >= square - slack).all()
        assert (products[weights > 1e-6] <= square + slack).all()


def test_min_norm_of_three_rows_by_hand() -> None:
    """Hull of (1, 0), (-1, 0) holds 0; (5, 5) has no part in it. (1, 1), (1, -1), (3, 0): half of the first two."""
    for matrix, expected in (([[1, 0], [-1, 0], [5, 5]], [0.5, 0.5, 0]), ([[1, 1], [1, -1], [3, 0]], [0.5, 0.5, 0])):
        rows = wide(matrix)
        assert min_norm_weights(rows @ rows.T).tolist() == pytest.approx(expected, abs=1e-7)


def test_the_central_direction_has_the_same_angle_to_both_and_lies_in_the_hull() -> None:
    matrix = wide([[3.0, 1.0, 0.0], [-1.0, 40.0, 8.0]])
    weights = central_weights(matrix @ matrix.T)
    vector = weights @ matrix
    angles = matrix @ vector / matrix.norm(dim=1)
    assert angles[0].item() == pytest.approx(angles[1].item()) and weights.sum().item() == pytest.approx(1)


def test_tension_by_hand() -> None:
    """T = 1, unchanged norms, losses 1 and 10: δ = (1, 2), c = 0.7 + 0.3 σ(0) and 0.7 + 0.3 σ(e).

    (g1 − v)/‖·‖ = (2, −1)/√5 and (g2 − v)/‖·‖ its opposite, so v_n = v + (c1 − c2)(2, −1)/√5.
    """
    tensioner = Tensioner(["a", "b"], period=1)
    losses = wide([1.0, 10.0])
    assert tensioner(ORTHOGONAL, losses).tolist() == pytest.approx([1 / 3, 2 / 3])  # t = 0 < T: v
    pull = 0.3 * (0.5 - 1 / (1 + math.exp(-math.e)))
    x, y = 2 / 3 + pull * 2 / math.sqrt(5), 2 / 3 - pull / math.sqrt(5)
    assert tensioner(ORTHOGONAL, losses).tolist() == pytest.approx([x / 2, y])


def test_the_norms_count_over_t_steps() -> None:
    """T = 2: norms 1, 1, 4 give ζ = 2.5 over 1, so δ = 2.5 and c = 0.5 σ(1.5 e) + 0.5; the first 2 steps are v."""
    tensioner = Tensioner(["a", "b"], period=2, alpha=0.5)
    for square in (1.0, 1.0, 16.0):
        assert tensioner.seen.tolist() != [3, 3]
        tensioner(wide([[square, 0.0], [0.0, 1.0]]), ONES)
    c = tensioner.tension(ONES, torch.tensor([True, True]))
    assert c.tolist() == pytest.approx([0.5 / (1 + math.exp(-1.5 * math.e)) + 0.5, 0.75])


def test_the_constraint_stops_the_pull() -> None:
    """Gradients of 1e-4: the unit pull away from g1 would turn v_n against it; it ends where g1 · v_n = 0, in g2."""
    tensioner = Tensioner(["a", "b"], period=1)
    for _ in range(2):
        weights = tensioner(1e-8 * ORTHOGONAL, wide([1.0, 10.0]))
    assert weights.tolist() == pytest.approx([0, 1], abs=1e-9)


def test_no_row_is_left_in_conflict() -> None:
    for seed in range(30):
        noise = torch.Generator().manual_seed(seed)
        tensioner = Tensioner(["a", "b", "c"], period=1, alpha=1.0, base=("min_norm", "central_direction")[seed % 2])
        for _ in range(3):
            matrix = torch.randn(3, 4, dtype=torch.float64, generator=noise) * 10 ** (seed % 5 - 3)
            weights = tensioner(matrix @ matrix.T, 100 * torch.rand(3, dtype=torch.float64, generator=noise))
            products = matrix @ (weights @ matrix)
            assert products.min() >= -1e-7 * (matrix.norm(dim=1) * (weights @ matrix).norm()).max()


@pytest.mark.parametrize("base", ["min_norm", "central_direction"])
@pytest.mark.parametrize("period", [1, 3])
def test_at_alpha_0_two_tasks_follow_v_and_the_offset_never_matters(base: str, period: int) -> None:
    """Both readings of Eq. 4.11 reproduce the rows α = 0 of Tables 1 and 2, the same for every T."""
    still = Tensioner(["a", "b"], base=base, period=period, alpha=0.0)
    readings = [Tensioner(["a", "b"], base=base, period=period, alpha=0.4, offset=offset) for offset in (True, False)]
    base_weights = {"min_norm": min_norm_weights, "central_direction": central_weights}[base]
    for seed in range(6):
        matrix = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        gramian, losses = matrix @ matrix.T, wide([0.3, 4.0 + seed])
        assert torch.allclose(still(gramian, losses), base_weights(gramian), atol=1e-9)
        printed, text = (tensioner(gramian, losses) for tensioner in readings)
        # 1 − α cancels in the pull, not in what the constraint leaves of it: that is the same vector all the same.
        assert torch.allclose(printed, text, atol=1e-9)


def test_from_three_tasks_on_the_offset_pulls() -> None:
    matrix = wide([[1.0, 0.0, 0.2], [0.0, 2.0, 0.0], [0.3, 0.1, 3.0]])
    gramian, losses = matrix @ matrix.T, wide([1.0, 1.0, 1.0])
    results = []
    for offset in (False, True):
        tensioner = Tensioner(["a", "b", "c"], period=1, alpha=0.0, offset=offset)
        tensioner(gramian, losses)
        results.append(tensioner(gramian, losses))
    assert torch.allclose(results[0], central_weights(gramian))
    assert not torch.allclose(results[0], results[1], atol=1e-2)


def test_the_relative_pull_is_blind_to_the_scale() -> None:
    matrix = wide([[2.0, 0.5], [-0.2, 1.0]])
    results = []
    for scale in (1e-6, 1.0, 1e6):
        tensioner = Tensioner(["a", "b"], period=1, pull="relative")
        for _ in range(2):
            weights = tensioner(scale**2 * matrix @ matrix.T, wide([1.0, 10.0]))
        results.append(weights)
    assert torch.allclose(results[0], results[1]) and torch.allclose(results[2], results[1])
    assert not torch.allclose(results[1], central_weights(matrix @ matrix.T), atol=1e-2)


def test_a_row_that_was_absent_waits_for_its_history() -> None:
    tensioner = Tensioner(["a", "b"], period=1)
    alone = wide([[4.0, 0.0], [0.0, 0.0]])
    for gramian in (alone, alone, ORTHOGONAL):
        weights = tensioner(gramian, wide([1.0, 10.0]))
    assert weights.tolist() == pytest.approx([1 / 3, 2 / 3]) and tensioner.seen.tolist() == [3, 1]
