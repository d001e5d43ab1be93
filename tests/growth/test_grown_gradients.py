"""Balancing with modules: z and the taps together stand for all that is shared."""

from typing import Any

import pytest
import torch
from growing_runs import PAIR, frames, fresh, grown_config, only, stir
from torch import Tensor

import advmtl.training.step
from advmtl.balancing.gradients import (
    backward_through_encoder,
    gradients_at_representation,
    gramian_at_representation,
)
from advmtl.balancing.update import StepObjectives, split_parameters
from advmtl.config.growth import Place
from advmtl.networks.generator import Generator
from advmtl.networks.grown import grow
from advmtl.training.step import train_step

CHAIN = [Place(3, PAIR), Place(4, PAIR), Place(4, ("depth", "instance")), Place(1, PAIR)]


def small(places: list[Place]) -> Generator:
    torch.set_default_dtype(torch.float64)
    try:
        generator = fresh(grown_config()).generator
        grow(generator, places, 2.0, seed=1)
        return stir(generator).train()
    finally:
        torch.set_default_dtype(torch.float32)


def rows_of(generator: Generator) -> tuple[list[Tensor], dict[str, Tensor]]:
    batch = frames(2)
    z, taps = generator.encode(batch.image.double())
    outputs = generator.decode(z, (64, 96), taps)
    return [z, *taps.values()], {
        "segmentation": torch.nn.functional.cross_entropy(outputs["segmentation"], batch.targets["segmentation"]),
        "depth": (outputs["depth"] - batch.targets["depth"]).abs().mean(),
        "instance": (outputs["instance"] - batch.targets["instance"][:, :2]).square().mean(),
        "adversarial/both": 0.1 * (outputs["depth"].log() * outputs["segmentation"].softmax(1)[:, :1]).mean(),
    }


def test_a_push_is_the_backward_of_the_weighted_sum() -> None:
    """Of encoder, decoder and modules, also of a module that another one reads: its own path is not counted twice."""
    generator, weights = small(CHAIN), torch.tensor([0.7, 2.0, 0.1, 3.0], dtype=torch.float64)
    shared = split_parameters(generator)[1]
    assert any(name.startswith("kernels.") for name, p in generator.named_parameters() if any(p is q for q in shared))
    _, rows = rows_of(generator)
    torch.stack([weight * row for weight, row in zip(weights, rows.values(), strict=True)]).sum().backward()
    wanted = {name: p.grad.clone() for name, p in generator.named_parameters() if p.grad is not None}
    generator.zero_grad(set_to_none=True)
    points, rows = rows_of(generator)
    gradients = gradients_at_representation(rows, points, list(generator.heads.parameters()))
    backward_through_encoder(gradients, weights.to(gradients.matrix) @ gradients.matrix)
    found = {name: p.grad for name, p in generator.named_parameters() if p.grad is not None}
    assert len(found) == len(shared)
    for name, gradient in found.items():
        assert torch.allclose(gradient, wanted[name], rtol=1e-8, atol=1e-12 + 1e-9 * wanted[name].abs().max().item())


def test_the_gram_matrix_is_that_of_z_and_all_taps() -> None:
    generator = small(CHAIN)
    points, rows = rows_of(generator)
    assert len(points) == 5
    parts = []
    for row in rows.values():
        found = torch.autograd.grad(row, points, retain_graph=True, allow_unused=True)
        parts.append(
            torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(points, found, strict=True)])
        )
    matrix = torch.stack(parts)
    assert torch.allclose(
        gramian_at_representation(gradients_at_representation(rows, points)), matrix @ matrix.T, rtol=1e-10
    )
    columns = points[0].numel()
    assert not torch.allclose(matrix[:, :columns] @ matrix[:, :columns].T, matrix @ matrix.T, rtol=1e-3)


def test_z_alone_is_as_before() -> None:
    generator = fresh(grown_config()).generator.double()
    points, rows = rows_of(generator)
    assert len(points) == 1
    found = gradients_at_representation(rows, points)
    assert found.like_representations(found.matrix[1])[0].data_ptr() == found.matrix[1].data_ptr()


@pytest.mark.parametrize(
    "balance", [{"method": "mgda"}, {"method": "pcgrad", "at": "parameters"}, {"method": "graddrop"}]
)
def test_a_real_step_balances_modules_with_the_encoder(
    balance: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are the step's own; modules' gradients are the weighted sums by hand, fusions' their task's own."""
    state = fresh(grown_config(balance=balance))
    grow(state.generator, CHAIN, 2.0, seed=1)
    stir(state.generator)
    rows_by_hand: dict[str, dict[str, Tensor]] = {}
    real = advmtl.training.step.balanced_backward
    names = [name for name, _ in state.generator.named_parameters()]

    def spied(balancer: Any, settings: Any, generator: Any, step: StepObjectives, **options: Any) -> Any:
        for task, row in step.objectives.items():
            found = torch.autograd.grad(row, list(generator.parameters()), retain_graph=True, allow_unused=True)
            rows_by_hand[task] = {name: g for name, g in zip(names, found, strict=True) if g is not None}
        logs = real(balancer, settings, generator, step, **options)
        rows_by_hand["found"] = {name: p.grad.clone() for name, p in generator.named_parameters() if p.grad is not None}
        return logs

    monkeypatch.setattr(advmtl.training.step, "balanced_backward", spied)
    logs = train_step(state, only(frames(2), state.config), statistics=True)
    found = rows_by_hand.pop("found")
    assert found.keys() == set(names)
    for name, gradient in found.items():
        own = {task: gradients[name] for task, gradients in rows_by_hand.items() if name in gradients}
        if name.startswith("heads."):
            wanted = torch.stack(list(own.values())).sum(0)
        elif "balance/weight/depth" in logs:
            wanted = torch.stack([logs[f"balance/weight/{task}"] * one for task, one in own.items()]).sum(0)
        else:
            continue  # a mixture of coordinates has no weights
        assert torch.allclose(gradient, wanted, rtol=2e-3, atol=2e-5 * max(1.0, wanted.abs().max().item())), name


def test_exclusive_modules_learn_from_their_task_alone() -> None:
    """And the other tasks' outputs do not read them."""
    generator = small([Place(3, ("segmentation",)), Place(3, ("depth",)), Place(4, ("depth",))])
    _, rows = rows_of(generator)
    for task, other in (("segmentation", "depth"), ("depth", "segmentation"), ("depth", "instance")):
        kernel = generator.get_submodule(f"kernels.grown.stage3_{task}")
        own = torch.autograd.grad(rows[task], list(kernel.parameters()), retain_graph=True)
        assert all(gradient.abs().max() > 0 for gradient in own)
        theirs = torch.autograd.grad(rows[other], list(kernel.parameters()), retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in theirs)
