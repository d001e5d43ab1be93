"""What the methods promise, whatever the gradients' lengths: a critic's row may have a thousandth of a task's."""

import pytest
import torch
from balancers import REQUIRED
from torch import Tensor
from torchjd import aggregation

from advmtl.balancing import GramBalancer, build_balancer
from preprocessing.ground import InputError

NAMES = tuple("abcdefg")
LENGTHS = [[1.0, 10.0, 100.0, 1000.0], [1000.0, 1.0, 1.0, 0.1], [1e-3, 1.0, 1e3, 1e6], [1.0, 1e5, 1.0]]


def make(method: str, rows: int, **options: object) -> GramBalancer:
    names = NAMES[:rows]
    try:
        found = build_balancer(method, REQUIRED.get(method, {}) | options, names, names)
    except InputError as error:
        pytest.skip(str(error))
    assert isinstance(found, GramBalancer)
    return found


def gradients(lengths: list[float], seed: int, size: int = 9) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    matrix = torch.randn(len(lengths), size, dtype=torch.float64, generator=noise)
    return matrix / matrix.norm(dim=1, keepdim=True) * torch.tensor(lengths, dtype=torch.float64)[:, None]


def weights_of(balancer: GramBalancer, matrix: Tensor) -> Tensor:
    return balancer(matrix @ matrix.T, torch.ones(len(matrix), dtype=torch.float64))


def cosines(matrix: Tensor, vector: Tensor) -> Tensor:
    return matrix @ vector / matrix.norm(dim=1) / vector.norm()


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(
    ("method", "options"),
    [
        *((method, {}) for method in ("mgda", "min_norm", "central_direction", "cr_mogm", "upgrad", "dualproj")),
        *((method, {}) for method in ("config", "nash_mtl", "imtl_g")),
        ("fairgrad", {"alpha": 0.5}),
        ("fairgrad", {"alpha": 5.0}),
        ("cagrad", {"c": 1.0}),
    ],
)
def test_no_objective_is_left_in_conflict(method: str, options: dict[str, float], lengths: list[float]) -> None:
    for seed in range(12):
        matrix = gradients(lengths, seed)
        vector = weights_of(make(method, len(lengths), **options), matrix) @ matrix
        assert cosines(matrix, vector).min() >= -1e-6, f"seed {seed}"


@pytest.mark.parametrize("rows", [3, 4, 7])
def test_mgda_is_the_shortest_vector_of_the_hull(rows: int) -> None:
    """v is shortest if and only if g_m · v >= v · v for all m, and equal where the weight is above 0."""
    noise = torch.Generator().manual_seed(rows)
    for seed in range(40):
        lengths = 10 ** (8 * torch.rand(rows, generator=noise) - 4)
        matrix = gradients(lengths.tolist(), seed, size=rows + 3)
        weights = weights_of(make("mgda", rows), matrix)
        vector = weights @ matrix
        assert weights.min() >= 0 and weights.sum().item() == pytest.approx(1)
        lacking = vector.square().sum() - matrix @ vector
        assert (lacking / matrix.norm(dim=1) / vector.norm()).max() < 1e-7
        assert (weights * lacking).abs().max() < 1e-7 * vector.square().sum()


def test_mgda_of_two_objectives_is_what_frank_wolfe_found() -> None:
    for seed, length in enumerate((1e-3, 0.5, 1.0, 40.0, 1e4)):
        matrix = gradients([1.0, length], seed)
        gramian = matrix @ matrix.T
        theirs = aggregation.MGDAWeighting()(gramian / gramian.diagonal().mean())
        assert torch.allclose(weights_of(make("mgda", 2), matrix), theirs, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "method", ["mgda", "min_norm", "upgrad", "dualproj", "cagrad", "fairgrad", "nash_mtl", "imtl_g"]
)
def test_where_nothing_descends_the_weights_are_finite(method: str) -> None:
    """g, -g of very different lengths and a third: 0 is in the hull; MGDA finds it, to rounding."""
    matrix = gradients([1.0, 1.0, 1e-3], 4)
    matrix[1] = -2e4 * matrix[0]
    weights = weights_of(make(method, 3), matrix)
    assert weights.isfinite().all()
    if method in ("mgda", "min_norm"):
        parts = weights[:, None] * matrix
        assert parts.sum(0).norm() < 1e-7 * parts.norm()


@pytest.mark.parametrize("c", [0.4, 1.5])
@pytest.mark.parametrize("lengths", [[1.0, 1.0, 2.0], *LENGTHS], ids=str)
def test_cagrad_leaves_no_gap(c: float, lengths: list[float]) -> None:
    """Its d has min g_i·d as large as a ball of radius c‖g₀‖ around g₀ allows: equal to the dual's value at its w."""
    for seed in range(8):
        matrix = gradients(lengths, seed)
        weights, mean = weights_of(make("cagrad", len(lengths), c=c), matrix), matrix.mean(0)
        own = weights - 1 / len(lengths)
        hull = own @ matrix / own.sum()
        radius = c * mean.norm()
        assert (weights @ matrix - mean).norm().item() == pytest.approx(radius.item(), rel=1e-6)
        dual = hull @ mean + radius * hull.norm()
        reached = matrix @ (weights @ matrix)
        assert (reached >= dual - 1e-6 * matrix.norm(dim=1) * (weights @ matrix).norm()).all()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_fairgrad_meets_its_condition(alpha: float, lengths: list[float]) -> None:
    """G w = w^(-1/alpha)."""
    for seed in range(6):
        matrix = gradients(lengths, seed, size=60)
        weights = weights_of(make("fairgrad", len(lengths), alpha=alpha), matrix)
        product = matrix @ (weights @ matrix) * weights ** (1 / alpha)
        assert torch.allclose(product, torch.ones_like(product), atol=1e-6)


def test_imtl_g_descends_along_all_where_its_published_weights_ascend() -> None:
    """Weights of sum 1 may point up along every objective; ours never do, and project alike on all unit gradients."""
    ascending = 0
    for seed in range(40):
        matrix = gradients(LENGTHS[0], seed, size=6)
        theirs = cosines(matrix, aggregation.IMTLGWeighting()(matrix @ matrix.T) @ matrix)
        found = cosines(matrix, weights_of(make("imtl_g", 4), matrix) @ matrix)
        assert found.min() > 0 and torch.allclose(found, found.mean().expand(4), atol=1e-7)
        assert torch.allclose(found, theirs.abs(), atol=1e-6)
        ascending += bool(theirs.max() < 0)
    assert ascending > 0


def test_nash_mtl_has_the_length_of_its_bound() -> None:
    """Without a bound it is the root of the number of objectives, so the authors' 1 binds in every step."""
    matrix = gradients([1.0, 10.0, 1e-3], 2)
    assert (weights_of(make("nash_mtl", 3, max_norm=0.0), matrix) @ matrix).norm().item() == pytest.approx(3**0.5)
    assert (weights_of(make("nash_mtl", 3), matrix) @ matrix).norm().item() == pytest.approx(1)
