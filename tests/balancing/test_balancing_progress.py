"""Balancers that follow each task's progress, and the learnt scales, over several steps by hand."""

import math

import pytest
import torch
from torch import Tensor

from advmtl.balancing.progress_based import GradNorm, Prioritisation, StopAndGo
from advmtl.balancing.rotograd import RotoGrad, rotate_heads
from advmtl.balancing.scalarizations import DynamicWeightAverage, Famo, RevisedUncertainty
from advmtl.distributed import SINGLE
from advmtl.networks.rotated_head import RotatedHead

BOTH = torch.tensor([True, True])


def wide(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def diagonal(*norms: float) -> Tensor:
    return torch.diag(wide(norms).square())


def test_gradnorm_by_hand() -> None:
    """Norms 1 and 3, equal progress: targets 2 and 2; moved by (+0.05, −0.15), to 1.05 and 0.85, then to a sum of 2.

    Then with norms 1 and 1 and losses 4 and 1 of the first 1 and 1: r = (1.6, 0.4), a = 1; the mean is 1, w‖g‖ =
    (1.105, 0.895) against (1.6, 0.4): steps +0.1 and −0.1.
    """
    balancer = GradNorm(["a", "b"], alpha=1.0, learning_rate=0.1)
    assert balancer(diagonal(1, 3), wide([1.0, 1.0])).tolist() == [1, 1]
    second = balancer(diagonal(1, 1), wide([4.0, 1.0]))
    assert second.tolist() == pytest.approx([2.1 / 1.9, 1.7 / 1.9])
    third = balancer(diagonal(1, 1), wide([1.0, 1.0]))
    assert third.tolist() == pytest.approx([2.1 / 1.9 + 0.1, 1.7 / 1.9 - 0.1])


def test_rotograd_lets_the_least_shrunken_gradient_set_the_pace() -> None:
    """First norms 2 and 1; then 2 and 0.25: shares 1 and ¼ of 1.25, common norm 0.8 · 2 + 0.2 · 0.25 = 1.65."""
    balancer = RotoGrad(["a", "b"])
    assert balancer(diagonal(2, 1), wide([1.0, 1.0])).tolist() == pytest.approx([0.75, 1.5])
    assert balancer(diagonal(2, 0.25), wide([1.0, 1.0])).tolist() == pytest.approx([1.65 / 2, 1.65 / 0.25])


def test_turning_brings_the_rotated_gradients_together_and_stays_orthogonal() -> None:
    """A head's gradient at R z is g̃, at z it is Rᵀ g̃. Both tasks pull apart; turning must bring them together."""
    torch.manual_seed(0)
    heads = {name: RotatedHead(torch.nn.Identity(), 3) for name in ("a", "b")}
    fixed = {"a": torch.randn(2, 3, 4, 5), "b": torch.randn(2, 3, 4, 5)}
    fixed["b"] += torch.tensor([3.0, 0, 0])[:, None, None]
    fixed["a"] += torch.tensor([0.0, -3.0, 0])[:, None, None]

    def at_z(name: str) -> Tensor:
        return torch.einsum("ij,nihw->njhw", heads[name].rotation, fixed[name])

    def cosine() -> float:
        return torch.cosine_similarity(at_z("a").flatten(), at_z("b").flatten(), dim=0).item()

    before = cosine()
    for _ in range(300):
        rotate_heads(heads, {name: at_z(name) for name in heads}, {"a": 1.0, "b": 1.0}, 0.05, SINGLE)
    assert cosine() > before + 0.5
    for head in heads.values():
        assert torch.allclose(head.rotation @ head.rotation.T, torch.eye(3), atol=1e-5)


def test_a_rotated_head_gets_the_rotated_representation() -> None:
    head = RotatedHead(torch.nn.Identity(), 2)
    head.rotation.copy_(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    z = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert head(z).flatten().tolist() == [2.0, -1.0]
    assert not list(head.parameters()) and "rotation" in head.state_dict()


def test_prioritisation_by_hand() -> None:
    """κ̄ = 0.5 and 0.8, γ = 2: −0.25 ln 0.5 and −0.04 ln 0.8, to a mean of 1; a second figure enters by half."""
    balancer = Prioritisation(["a", "b"], gamma=2.0, discount=0.5)
    assert balancer.weights(wide([1.0, 1.0]), BOTH)[0].tolist() == [1, 1]  # before any validation
    balancer.observe({"a": 0.5, "b": 0.8, "other": 0.1})
    focal = [-0.25 * math.log(0.5), -0.04 * math.log(0.8)]
    expected = [value / (sum(focal) / 2) for value in focal]
    assert balancer.weights(wide([1.0, 3.0]), BOTH)[0].tolist() == pytest.approx(expected)
    balancer.observe({"a": 0.7})
    assert balancer.figures.tolist() == pytest.approx([0.6, 0.8])
    balancer.observe({"a": -0.4})  # worse than predicting nothing counts as 0, not as never measured
    assert balancer.figures.tolist() == pytest.approx([0.3, 0.8])


def test_a_task_stops_goes_and_never_do_all_stand() -> None:
    """Patience 2, 0.1 %: a stands still from its second figure on; b improves. Then a falls by more than 0.5 %."""
    balancer = StopAndGo(["a", "b"])
    for step, expected in enumerate([[1, 1], [1, 1], [0, 1]]):
        balancer.observe({"a": 0.5, "b": 0.5 + 0.1 * step})
        assert balancer.weights(wide([2.0, 3.0]), BOTH)[0].tolist() == expected
    balancer.observe({"a": 0.498, "b": 0.8})  # 0.4 % below its best: still
    assert balancer.going.tolist() == [False, True]
    balancer.observe({"a": 0.497, "b": 0.9})
    assert balancer.going.tolist() == [True, True]
    for _ in range(3):
        balancer.observe({"a": 0.5, "b": 0.9})
    assert balancer.going.tolist() == [False, False]
    assert balancer.weights(wide([2.0, 3.0]), BOTH)[0].tolist() == [1, 1]


def test_revised_uncertainty_learns_its_optimum() -> None:
    """½ e^-s L + log(1 + e^s) is smallest where e^s/(1 + e^s) = ½ e^-s L; at L = 4: x²/(1 + x) = 2, x = 1 + √3."""
    balancer = RevisedUncertainty(["a"])
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.5)
    for _ in range(300):
        (balancer.log_variance.grad,) = balancer.weights(wide([4.0]), torch.tensor([True]))[1]
        optimizer.step()
    assert balancer.log_variance.exp().item() == pytest.approx(1 + math.sqrt(3), rel=1e-3)


def test_dwa_counts_epochs() -> None:
    """Averages (2, 2), then (1, 2): rates ½ and 1; weights 2 softmax(¼, ½)."""
    balancer = DynamicWeightAverage(["a", "b"])
    for epoch, losses in enumerate(([[1.0, 1.0], [3.0, 3.0]], [[1.0, 2.0]])):
        for row in losses:
            balancer.begin_epoch(epoch)
            assert balancer.weights(wide(row), BOTH)[0].tolist() == [1, 1]
    balancer.begin_epoch(2)
    expected = 2 * torch.softmax(torch.tensor([0.25, 0.5]), 0)
    assert balancer.weights(wide([9.0, 9.0]), BOTH)[0].tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_famo_turns_to_the_task_that_falls_slower() -> None:
    balancer = Famo(["a", "b"], learning_rate=0.1)
    first = balancer.weights(wide([1.0, 1.0]), BOTH)[0]
    for step in range(1, 20):
        last = balancer.weights(wide([0.9**step, 1.0]), BOTH)[0]
    relative = [(w[1] / w[0] * loss).item() for w, loss in ((first, 1.0), (last, 1 / 0.9**19))]
    assert relative[0] == pytest.approx(1) and relative[1] > 1.5


def test_a_task_without_labels_keeps_its_last_loss() -> None:
    """A 0 for want of labels would be infinite progress to DWA and an infinite scale to uncertainty."""
    balancer = DynamicWeightAverage(["a", "b"])
    for epoch in range(3):
        balancer.begin_epoch(epoch)
        weights = balancer.weights(wide([1.0, 2.0 if epoch == 0 else 0.0]), torch.tensor([True, epoch == 0]))[0]
    assert weights.tolist() == pytest.approx([1, 1])
