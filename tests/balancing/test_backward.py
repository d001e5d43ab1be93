"""Objectives to gradients."""

import datetime
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn

from advmtl.balancing.gradients import (
    backward_sum,
    backward_through_encoder,
    backward_weighted,
    gradient_statistics,
    gradients_at_parameters,
    gradients_at_representation,
    gramian_at_representation,
    gramian_of,
    write_heads,
    write_shared,
)
from advmtl.distributed import Processes


def test_sum_gives_the_gradient_of_the_sum() -> None:
    """rows 2x and 3x²: at x = 2 the gradient is 2 + 6·2 = 14; weighed by 5 and (unnamed) 1 it is 22."""
    x = torch.tensor(2.0, requires_grad=True)
    backward_sum({"a": 2 * x, "b": 3 * x**2})
    assert x.grad is not None and x.grad.item() == 14.0
    x.grad = None
    backward_weighted({"a": 2 * x, "b": 3 * x**2}, {"a": 5.0})
    assert x.grad is not None and x.grad.item() == 22.0


def test_gradients_at_the_representation() -> None:
    """z = (1, 2): ∂(z0·z1) = (2, 1); ∂(3 z1) = (0, 3); a row that does not reach z is zero."""
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    z = w * 1
    rows = {"product": z[0] * z[1], "second": 3 * z[1], "apart": (w * 0 + 1).sum()}
    gradients = gradients_at_representation(rows, [z], keep=True)
    assert gradients.matrix.tolist() == [[2, 1], [0, 3], [0, 0]]
    assert w.grad is None  # looking does not touch .grad
    backward_sum(rows)  # and the graph is whole


def test_statistics_name_norms_and_cosines() -> None:
    """Norms √5 and 3; cosine (2·0 + 1·3) / (√5 · 3) = 1/√5; a row of 0 has cosine 0."""
    gramian = torch.tensor([[5.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    statistics = gradient_statistics(["product", "second", "none"], gramian)
    assert statistics["gradient_norm_at_z/product"].item() == pytest.approx(5**0.5)
    assert statistics["gradient_norm_at_z/second"].item() == pytest.approx(3.0)
    assert statistics["gradient_cosine_at_z/product~second"].item() == pytest.approx(5**-0.5)
    assert statistics["gradient_cosine_at_z/second~none"].item() == 0


def test_taken_and_written_by_hand() -> None:
    """z = 2p, head h, rows h z² and 3 z with p = 1, h = 5: at z (2·5·2, 3) = (20, 3), of h (4, none), of p (40, 6)."""
    p, h = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([5.0]))
    z = 2 * p
    gradients = gradients_at_representation({"a": (h * z**2).sum(), "b": (3 * z).sum()}, [z], [h])
    assert gramian_at_representation(gradients).tolist() == [[400, 60], [60, 9]]
    matrix = gradients_at_parameters(gradients, [p])
    assert matrix.tolist() == [[40], [6]] and gramian_of(matrix).tolist() == [[1600, 240], [240, 36]]
    z = 2 * p
    gradients = gradients_at_representation({"a": (h * z**2).sum(), "b": (3 * z).sum()}, [z], [h])
    backward_through_encoder(gradients, torch.tensor([0.5, 2.0]) @ gradients.matrix)
    assert p.grad is not None and p.grad.item() == 0.5 * 40 + 2 * 6
    write_heads(gradients, [0.5, 2.0])
    assert h.grad is not None and h.grad.item() == 2
    write_heads(gradients, None)
    assert h.grad.item() == 4
    write_shared([p], torch.tensor([7.0]))
    assert p.grad.item() == 7


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_gradients_at_z_come_back_in_its_shape(layout: torch.memory_format) -> None:
    """z [2,3,4,5] in either order in memory; a gradient arrives in the other one, or as a view of half of a tensor."""
    p = nn.Parameter(torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)))
    z = (2 * p).contiguous(memory_format=layout)
    weight = torch.arange(120.0).view(2, 3, 4, 5)
    half = torch.arange(240.0).view(2, 3, 4, 10)[..., ::2]
    gradients = gradients_at_representation({"a": (weight * z).sum(), "b": (half * z).sum()}, [z])
    assert torch.equal(gradients.like_z(gradients.matrix[1]), half)
    backward_through_encoder(gradients, torch.tensor([1.0, 3.0]) @ gradients.matrix)
    assert p.grad is not None and torch.equal(p.grad, 2 * (weight + 3 * half))


def _in_two_processes(rank: int, folder: str, results: str) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    p = nn.Parameter(torch.tensor([1.0, 2.0]))
    z = p * (rank + 1)  # each process has its own frame
    both, losses = Processes(rank, 2), torch.tensor([float(rank), 4.0])
    gradients = gradients_at_representation({"a": z[0] * 3, "b": z[0] + z[1]}, [z], processes=both)
    both.average([losses])
    found = {
        "gramian": gramian_at_representation(gradients),
        "rows": gradients_at_parameters(gradients, [p]),
        "agreed": both.broadcast_from_rank0(torch.tensor([float(rank)]), torch.device("cpu")),
        "losses": losses,
    }
    torch.save(found, f"{results}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_balance_the_rows_of_their_mean_loss(tmp_path: Path) -> None:
    """Rows at z of a process: (3, 0), (1, 1). Of both, half each: (1.5, 0, 1.5, 0), (½, ½, ½, ½), 4.5, 1.5, 1 in G.

    At p: z = 1·p and 2·p, so the mean of (3, 0) and (6, 0), and of (1, 1) and (2, 2).
    """
    processes.spawn(_in_two_processes, (str(tmp_path), str(tmp_path)), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["gramian"].tolist() == [[4.5, 1.5], [1.5, 1]]
        assert found["rows"].tolist() == [[4.5, 0], [1.5, 1.5]]
        assert found["agreed"].tolist() == [0] and found["losses"].tolist() == [0.5, 4]
