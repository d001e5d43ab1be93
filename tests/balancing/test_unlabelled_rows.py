"""Objectives of tasks without a label in the batch, with a term of partial supervision: not balanced."""

import copy
from typing import Any

import pytest
import torch
from balancers import GRAM_BASED, JACOBIAN_BASED
from one_step import make_batch, make_config
from same_bits import assert_equal
from torch import Tensor
from toy_rows import Toy, balancer_of, explicit

from advmtl.balancing.update import StepObjectives, balanced_backward
from advmtl.config.balance import SCALARIZATIONS, BalanceConfig
from advmtl.networks.generator import Generator
from advmtl.training.state import State, build
from advmtl.training.step import train_step

CPU = torch.device("cpu")
LITTLE = 1e-4  # of what b pulls with a label
CONSISTENCY = {"consistency": {"ramp_steps": 0, "width": 8}}
TEACHER = {"mean_teacher": {"start_step": 0, "ramp_steps": 0, "confidence": "pixel"}}
UNCLIPPED = {"gradient_clip_norm": None}  # one task's gradients do not depend on the other's


def step_without_b(toy: Toy, balancer: Any, term: float, **settings: Any) -> dict[str, Tensor]:
    """Weights and gradients of a step in which b has no label and `term` times its row from elsewhere."""
    toy.zero_grad(set_to_none=True)
    z, rows = toy.rows()
    rows["b"] = term * rows["b"]
    losses = {"a": rows["a"].detach(), "b": torch.zeros((), dtype=torch.float64)}
    torch.manual_seed(0)  # for the methods that draw
    logs = balanced_backward(
        *(balancer, BalanceConfig(**settings), toy),  # type: ignore[arg-type]
        StepObjectives(rows, [z], losses, {"a": True, "b": False}),
        statistics=True,
    )
    gradients = {name: p.grad.clone() for name, p in toy.named_parameters() if p.grad is not None}
    return gradients | {name: value for name, value in logs.items() if "weight/" in name}


@pytest.mark.parametrize("heads", ["own", "weighted"])
@pytest.mark.parametrize("method", [*GRAM_BASED, *JACOBIAN_BASED])
def test_others_are_balanced_as_without_the_term_and_it_is_added_whole(method: str, heads: str) -> None:
    at = "parameters" if method == "excess_mtl" else "representation"
    toy, balancer = Toy(), balancer_of(method)
    twin = copy.deepcopy(balancer)
    for _ in range(12):  # the tensioner pulls from the tenth on
        found = step_without_b(toy, balancer, LITTLE, at=at, heads=heads)
        without = step_without_b(toy, twin, 0.0, at=at, heads=heads)
        term = explicit(toy, [0.0, LITTLE, 0.0])
        assert float(term["shared"].abs().max()) > 0 and float(term["heads.b.weight"].abs().max()) > 0
        for name, value in without.items():
            if name.startswith("balance/"):
                assert torch.equal(found[name], value), name
            else:
                torch.testing.assert_close(found[name], value + term[name], rtol=1e-9, atol=1e-12)
        if method in GRAM_BASED:
            assert found["balance/weight/b"] == 1
    assert_equal(balancer.state_dict(), twin.state_dict())


@pytest.mark.parametrize("method", sorted(SCALARIZATIONS))
def test_a_scalarization_sees_no_term_and_weighs_it_as_the_task(method: str) -> None:
    toy, balancer = Toy(), balancer_of(method)
    twin = copy.deepcopy(balancer)
    for _ in range(3):
        found, without = (step_without_b(toy, one, term) for one, term in ((balancer, LITTLE), (twin, 0.0)))
        term = explicit(toy, [0.0, LITTLE * float(found.get("balance/weight/b", 1.0)), 0.0])
        for name, value in without.items():
            expected = value + term[name] if name in term else value
            torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-12)
    assert_equal(balancer.state_dict(), twin.state_dict())


def step_of(balance: dict[str, Any], partial: dict[str, Any] | None) -> tuple[State, dict[str, Tensor]]:
    """A state after one step with both labels and one with depth alone, and the logs of that."""
    state = build(make_config(discriminators={}, balance=balance, partial=partial, train=UNCLIPPED), CPU)
    state.precision.step = lambda name: None  # type: ignore[method-assign]  # its weights stay comparable
    for known in (True, False):
        torch.manual_seed(0)
        logs = train_step(state, make_batch([known] * 3, [True] * 3), statistics=True)
        state.step += 1
    return state, logs


def gradients_of(generator: Generator, prefix: str) -> dict[str, Tensor]:
    return {n: p.grad for n, p in generator.named_parameters() if n.startswith(prefix) and p.grad is not None}


@pytest.mark.parametrize("method", ["mgda", "gradnorm", "tensioner", "nash_mtl", "rotograd", "graddrop"])
def test_a_whole_step_where_consistency_speaks_for_segmentation(method: str) -> None:
    """Depth has labels on all frames, so its row and its weight are those of a run without the method."""
    balance = {"method": method}
    (plain, plainly), (state, logs) = step_of(balance, None), step_of(balance, CONSISTENCY)
    assert float(logs["partial/consistency/segmentation"]) > 0 and float(logs["segmentation/supervised"]) == 0
    weights = {name: value for name, value in plainly.items() if name.startswith("balance/weight/")}
    assert weights == {name: logs[name] for name in weights} and (weights or method == "graddrop")
    assert_equal(state.balancer.state_dict(), plain.balancer.state_dict())
    rotations = {n: v for n, v in plain.generator.state_dict().items() if n.endswith("rotation")}
    assert_equal(rotations, {n: state.generator.state_dict()[n] for n in rotations})
    assert_equal(gradients_of(state.generator, "heads.depth"), gradients_of(plain.generator, "heads.depth"))
    head = gradients_of(state.generator, "heads.segmentation")
    assert head and any(float(gradient.abs().max()) > 0 for gradient in head.values())
    ours, theirs = (gradients_of(one.generator, "encoder") for one in (state, plain))
    assert any(not torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("method", ["mgda", "gradnorm"])
def test_a_mean_teacher_does_not_stop_the_training_of_depth(method: str) -> None:
    state = build(make_config(discriminators={}, partial=TEACHER, balance={"method": method}), CPU)
    logs = train_step(state, make_batch([False] * 3, [True] * 3), statistics=True)
    assert logs["balance/weight/depth"] == 1 == logs["balance/weight/segmentation"]
    assert 0 < float(logs["gradient_norm_at_z/segmentation"]) < float(logs["gradient_norm_at_z/depth"])
    if method == "gradnorm":
        first = dict(zip(state.balancer.objectives, state.balancer.get_buffer("first_losses").tolist(), strict=True))
        assert first["segmentation"] == 0 and first["depth"] == pytest.approx(float(logs["depth/supervised"]))


def test_a_term_that_is_not_finite_is_named_though_nobody_weighs_it() -> None:
    toy, balancer = Toy(), balancer_of("min_norm")
    with pytest.raises(ValueError, match="squared gradient of objective b is nan"):
        step_without_b(toy, balancer, float("nan"))
