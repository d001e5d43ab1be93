"""A step's objectives through every balancer: the gradients are those of the weighted sum, computed the long way."""

import copy
from typing import Any

import pytest
import torch
from balancers import GRAM_BASED, JACOBIAN_BASED
from one_step import CRITICS, make_batch, make_config
from torch import Tensor
from torchjd.aggregation import ExcessMTL
from toy_rows import ROWS, Toy, balancer_of, explicit

import advmtl.training.step
from advmtl.balancing.balancer import NonFiniteObjective
from advmtl.balancing.update import StepObjectives, balanced_backward, split_parameters
from advmtl.config.balance import SCALARIZATIONS, BalanceConfig
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.state import State, build
from advmtl.training.step import train_step


def step_of(toy: Toy, balancer: Any, **settings: Any) -> dict[str, Tensor]:
    """Gradients of all parameters after one balanced backward, weights among them."""
    toy.zero_grad(set_to_none=True)
    z, rows = toy.rows()
    losses = {name: rows[name].detach() for name in ROWS[:2]}
    config = BalanceConfig(**settings)
    torch.manual_seed(0)  # for the methods that draw
    labelled = dict.fromkeys(losses, True)
    logs = balanced_backward(balancer, config, toy, StepObjectives(rows, [z], losses, labelled), statistics=True)  # type: ignore[arg-type]
    grads = {name: p.grad.clone() for name, p in toy.named_parameters() if p.grad is not None}
    assert grads.keys() == dict(toy.named_parameters()).keys()
    return grads | {name.removeprefix("balance/weight/"): value for name, value in logs.items() if "weight/" in name}


def weights_by_hand(toy: Toy, balancer: Any) -> list[float]:
    """From the Gram matrix of the rows' gradients at z, computed here."""
    z, rows = toy.rows()
    matrix = torch.stack([torch.autograd.grad(row, z, retain_graph=True)[0].flatten() for row in rows.values()])
    losses = torch.stack([rows["a"].detach(), rows["b"].detach(), torch.ones((), dtype=torch.float64)])
    torch.manual_seed(0)
    return copy.deepcopy(balancer)(matrix @ matrix.T, losses).tolist()


@pytest.mark.parametrize("method", GRAM_BASED)
def test_a_step_is_the_explicit_sum_with_the_weights_of_the_gram_matrix_at_z(method: str) -> None:
    toy, balancer = Toy(), balancer_of(method)
    for _ in range(2):
        weights = weights_by_hand(toy, balancer)
        expected, own = explicit(toy, weights), explicit(toy, [1.0, 1.0, 1.0])
        twin = copy.deepcopy(balancer)
        weighted = step_of(toy, twin, heads="weighted")
        for name in expected:
            assert torch.allclose(weighted[name], expected[name], rtol=1e-9, atol=1e-12)
        found = step_of(toy, balancer, heads="own")
        for name in expected:
            wanted = own[name] if name.startswith("heads") else expected[name]
            assert torch.allclose(found[name], wanted, rtol=1e-9, atol=1e-12)
        assert [found[name].item() for name in ROWS] == pytest.approx(weights)


@pytest.mark.parametrize("heads", ["own", "weighted"])
@pytest.mark.parametrize("method", [name for name in (*GRAM_BASED, *JACOBIAN_BASED) if name != "excess_mtl"])
def test_both_places_agree_where_z_is_the_only_shared_parameter(method: str, heads: str) -> None:
    toy, balancer = Toy(bare=True), balancer_of(method)
    found = step_of(toy, copy.deepcopy(balancer), heads=heads, at="representation")
    again = step_of(toy, balancer, heads=heads, at="parameters")
    assert found.keys() == again.keys()
    for name in found:
        assert torch.allclose(found[name], again[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["min_norm", "imtl_g", "pcgrad"])
def test_at_parameters_takes_the_gram_matrix_of_the_shared_parameters(method: str) -> None:
    toy, balancer = Toy(), balancer_of(method)
    rows = toy.rows()[1]
    found = [torch.autograd.grad(row, toy.shared, retain_graph=True)[0].flatten() for row in rows.values()]
    matrix = torch.stack(found)
    torch.manual_seed(0)
    weights = copy.deepcopy(balancer)(matrix @ matrix.T, torch.ones(3, dtype=torch.float64))
    grads = step_of(toy, balancer, at="parameters")
    assert torch.allclose(grads["shared"].flatten(), weights @ matrix, rtol=1e-9)
    assert weights.tolist() != pytest.approx(weights_by_hand(toy, balancer_of(method)), rel=1e-3)


def test_excess_mtl_weighs_full_gradients() -> None:
    toy = Toy()
    found = [torch.autograd.grad(row, toy.shared, retain_graph=True)[0].flatten() for row in toy.rows()[1].values()]
    grads = step_of(toy, balancer_of("excess_mtl"), at="parameters")
    assert torch.allclose(grads["shared"].flatten(), ExcessMTL()(torch.stack(found)), rtol=1e-9)


@pytest.mark.parametrize("method", sorted(SCALARIZATIONS))
def test_a_scalarization_gives_the_gradient_of_its_scalar(method: str) -> None:
    """All parameters, heads too; the critic's own row is added with weight 1."""
    toy, balancer = Toy(), balancer_of(method)
    twin, parameters = copy.deepcopy(balancer), dict(toy.named_parameters())
    rows = toy.rows()[1]
    torch.manual_seed(0)
    scalar = twin(torch.stack([rows["a"], rows["b"]])) + rows[ROWS[2]]
    expected = dict(zip(parameters, torch.autograd.grad(scalar, list(parameters.values())), strict=True))
    found = step_of(toy, balancer)
    for name in expected:
        assert torch.allclose(found[name], expected[name], rtol=1e-6, atol=1e-12)


def test_a_critic_row_that_is_not_there_yet_and_a_task_without_labels() -> None:
    """The first has no gradient, the second's is 0: the others are balanced as if they were alone."""
    toy, balancer = Toy(), balancer_of("min_norm")
    z, rows = toy.rows()
    two = {"a": rows["a"], "b": 0 * rows["b"]}
    losses = {name: row.detach() for name, row in two.items()}
    labelled = {"a": True, "b": False}
    logs = balanced_backward(
        balancer, BalanceConfig(), toy, StepObjectives(two, [z], losses, labelled), statistics=True
    )  # type: ignore[arg-type]
    assert logs["balance/weight/a"] == 1 and toy.shared.grad is not None
    assert torch.allclose(toy.shared.grad, explicit(Toy(), [1, 0, 0])["shared"])


@pytest.mark.parametrize("method", ["min_norm", "graddrop", "uncertainty"])
def test_a_row_that_is_not_finite_is_named(method: str) -> None:
    toy, balancer = Toy(), balancer_of(method)
    z, rows = toy.rows()
    rows["b"] = rows["b"] * float("nan")
    losses = {name: rows[name].detach() for name in ("a", "b")}
    with pytest.raises(NonFiniteObjective, match="of objective b is nan"):
        balanced_backward(
            balancer, BalanceConfig(), toy, StepObjectives(rows, [z], losses, dict.fromkeys(losses, True))
        )  # type: ignore[arg-type]


def run_step(state: State, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
    """A real step: shared gradients as they are, as the weighted sum of the rows by hand, and its logs."""
    seen: dict[str, Any] = {}
    real = advmtl.training.step.balanced_backward

    def spied(balancer: Any, settings: Any, generator: Any, step: StepObjectives, **options: Any) -> Any:
        shared = split_parameters(generator)[1]
        for name, row in step.objectives.items():
            gradients = torch.autograd.grad(row, shared, retain_graph=True, allow_unused=True)
            seen[name] = [torch.zeros_like(p) if g is None else g for p, g in zip(shared, gradients, strict=True)]
        logs = real(balancer, settings, generator, step, **options)
        seen["found"] = [p.grad.clone() for p in shared]
        return logs

    monkeypatch.setattr(advmtl.training.step, "balanced_backward", spied)
    logs = train_step(state, make_batch([True, True, False], [True, False, True]), statistics=True)
    weights = {name: logs[f"balance/weight/{name}"] for name in seen if f"balance/weight/{name}" in logs}
    by_hand = [
        torch.stack([weights.get(name, torch.ones(())) * seen[name][i] for name in seen if name != "found"]).sum(0)
        for i in range(len(seen["found"]))
    ]
    return seen["found"], by_hand, logs


@pytest.mark.parametrize(
    ("method", "at"),
    [
        *(("central_direction", "representation"), ("pcgrad", "representation"), ("pcgrad", "parameters")),
        *(("uncertainty", "representation"), ("rotograd", "representation")),
    ],
)
def test_a_real_step_with_critics(method: str, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    balance = {"method": method, "at": at, "multi_task_row": "own"}
    state = build(make_config(balance=balance), torch.device("cpu"))
    found, expected, logs = run_step(state, monkeypatch)
    largest = max(gradient.abs().max().item() for gradient in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5 * largest)
    assert {"balance/weight/segmentation", "gradient_cosine_at_z/segmentation~depth"} <= logs.keys()
    assert ("balance/weight/adversarial/both" in logs) == (method != "uncertainty")
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())


def test_learnt_scales_are_trained_without_decay_and_saved() -> None:
    state = build(make_config(balance={"method": "uncertainty"}), torch.device("cpu"))
    for _ in range(3):
        train_step(state, make_batch([True] * 2, [True] * 2))
    learnt = next(iter(state.balancer.parameters()))
    assert learnt.abs().min() > 0
    twin = build(make_config(balance={"method": "uncertainty"}), torch.device("cpu"))
    twin.load_state_dict(state.state_dict())
    assert torch.equal(next(iter(twin.balancer.parameters())), learnt)


def test_rotograd_turns_the_heads_and_saves_them() -> None:
    state = build(make_config(balance={"method": "rotograd"}), torch.device("cpu"))
    train_step(state, make_batch([True] * 2, [True] * 2))
    rotations = {name: value for name, value in state.generator.state_dict().items() if name.endswith("rotation")}
    assert rotations.keys() == {"heads.segmentation.rotation", "heads.depth.rotation"}
    for rotation in rotations.values():
        assert not torch.equal(rotation, torch.eye(16))
        assert torch.allclose(rotation @ rotation.T, torch.eye(16), atol=1e-5)


@pytest.mark.parametrize("method", ["nash_mtl", "famo"])
def test_a_poisoned_batch_names_its_loss_and_moves_nothing(method: str) -> None:
    state = build(make_config(discriminators=CRITICS, balance={"method": method}), torch.device("cpu"))
    before = copy.deepcopy(state.generator.state_dict())
    batch = make_batch([True, True], [True, True])
    batch.targets["depth"][0, 0, 3, 3] = float("inf")
    with pytest.raises(NonFiniteLoss, match=r"step 0: depth/\w+ is (nan|inf); frames of the batch: frame0, frame1"):
        train_step(state, batch)
    parameters = dict(state.generator.named_parameters())
    assert all(torch.equal(before[name], value) for name, value in parameters.items())


def test_a_finite_loss_with_a_gradient_that_is_not_names_the_row() -> None:
    state = build(make_config(discriminators={}, balance={"method": "min_norm"}), torch.device("cpu"))
    state.generator.heads["depth"].refine[0].register_full_backward_hook(
        lambda module, inputs, outputs: (inputs[0] * float("nan"),)
    )
    with pytest.raises(
        NonFiniteLoss, match="step 0: squared gradient of objective depth is nan; frames of the batch: frame0"
    ):
        train_step(state, make_batch([True], [True]))
