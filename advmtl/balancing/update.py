"""One step's rows through the run's balancer into `.grad`."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from advmtl.balancing.balancer import Balancer, GramBalancer, JacobianBalancer, LossBalancer, Sum, refuse_non_finite
from advmtl.balancing.gradients import (
    Pull,
    agree,
    backward_sum,
    backward_weighted,
    gramian_at_z,
    gramian_of,
    pull,
    pull_back,
    push,
    push_vector,
    reduce_rows,
    row_statistics,
    write,
    write_heads,
)
from advmtl.balancing.progress_based import RotoGrad
from advmtl.balancing.rotation import turn
from advmtl.config import BalanceConfig
from advmtl.distributed import own_draws
from advmtl.networks.generator import Generator

Logs = dict[str, Tensor]


def balanced_backward(
    balancer: Balancer,
    settings: BalanceConfig,
    generator: Generator,
    z: Tensor,
    rows: Mapping[str, Tensor],
    losses: Mapping[str, Tensor],
    labelled: Mapping[str, bool],
    *,
    further: Sequence[Tensor] = (),
    statistics: bool = False,
    scale: Tensor | None = None,
) -> Logs:
    """Write the gradient of one update into `.grad` of the generator, which must be unset.

    Args:
        balancer: told apart by type; its history moves on.
        settings: where gradients are taken, and how the heads learn.
        generator: whose parameters get gradients: the heads' are each task's own, all others are shared.
        z: the shared representation that the rows were computed from.
        rows: by name, 0-d with graph; the graph is used up.
        losses: by task, detached: the supervised part of its row, by which progress is measured.
        labelled: by task, whether any frame of the batch, on any process, has its label. The row of a task without one
            may still have a term from unlabelled frames. No gradient balancer weighs that: it has no progress to be
            measured by, so it is added with weight 1.
        further: what grown modules gave to the heads, and the same of further forwards; with z it is all that the rows
            were computed from.
        statistics: also return the rows' norms and cosines at z and their weights.
        scale: the loss scale, 0-d on the device: every `.grad` is the true gradient times it; None = 1.
    Returns: 0-d tensors by name. Raises: NonFiniteRow.
    """
    if isinstance(balancer, GramBalancer | JacobianBalancer):
        pulled = pull(rows, (z, *further), list(generator.heads.parameters()), scale=scale)
        return _by_gradients(balancer, settings, generator, pulled, losses, labelled, statistics)
    logs = _statistics(pull(rows, (z, *further), keep=True, scale=scale)) if statistics else {}
    if isinstance(balancer, LossBalancer):
        weights = _by_losses(balancer, losses, labelled, z.device)
        for parameter in balancer.parameters():
            if parameter.grad is not None and scale is not None:
                parameter.grad *= scale.to(parameter.device)
        backward_weighted(rows, weights, scale)
        logs |= _weight_logs(weights, z) if statistics else {}
    else:
        assert isinstance(balancer, Sum)
        backward_sum(rows, scale)
    return logs


def _by_losses(
    balancer: LossBalancer, losses: Mapping[str, Tensor], labelled: Mapping[str, bool], device: torch.device
) -> dict[str, float]:
    active = torch.tensor([labelled[name] for name in balancer.rows])
    weights = balancer.weights(_host(balancer.rows, losses), active)
    return dict(zip(balancer.rows, agree(weights, device).tolist(), strict=True))


def _by_gradients(
    balancer: GramBalancer | JacobianBalancer,
    settings: BalanceConfig,
    generator: Generator,
    pulled: Pull,
    losses: Mapping[str, Tensor],
    labelled: Mapping[str, bool],
    statistics: bool,
) -> Logs:
    _, shared = split_parameters(generator)
    logs = _statistics(pulled) if statistics else {}
    matrix = pull_back(pulled, shared) if settings.at == "parameters" else None
    balanced = [labelled.get(name, True) for name in pulled.names]  # a critic's row always
    if isinstance(balancer, JacobianBalancer):
        _aggregate(balancer, pulled, matrix, shared, balanced)
        write_heads(pulled, None)
        return logs
    gramian = gramian_at_z(pulled) if matrix is None else gramian_of(matrix)
    weights = agree(_weigh(balancer, pulled.names, gramian, losses, balanced), pulled.z.device)
    if isinstance(balancer, RotoGrad):
        rows = zip(pulled.names, pulled.at_z, balanced, strict=True)
        at_z = {name: pulled.like_z(row if known else torch.zeros_like(row)) for name, row, known in rows}
        by_name = dict(zip(pulled.names, weights.tolist(), strict=True))
        turn(dict(generator.heads.items()), at_z, by_name, balancer.angle, reduce_rows)
    if matrix is None:
        push(pulled, weights)
    else:
        write(shared, weights.to(matrix) @ matrix, pulled.scale)
    write_heads(pulled, weights.tolist() if settings.heads == "weighted" else None)
    if statistics:
        logs |= _weight_logs(dict(zip(pulled.names, weights.tolist(), strict=True)), pulled.z)
    return logs


def _weigh(
    balancer: GramBalancer,
    names: Sequence[str],
    gramian: Tensor,
    losses: Mapping[str, Tensor],
    balanced: Sequence[bool],
) -> Tensor:
    """Weights of the rows there are, from a balancer that knows all rows there may be.

    A row that is not `balanced` looks to it like one without gradient, which it leaves out with weight 1.
    """
    refuse_non_finite(names, gramian.diagonal(), "squared gradient")  # also of what the balancer does not see
    left = torch.tensor([not known for known in balanced])
    gramian = gramian.masked_fill(left[:, None] | left[None, :], 0)
    there = torch.tensor([balancer.rows.index(name) for name in names])
    whole = gramian.new_zeros(len(balancer.rows), len(balancer.rows))
    whole[there[:, None], there[None, :]] = gramian
    return balancer(whole, _host(balancer.rows, losses))[there]


def _aggregate(
    balancer: JacobianBalancer,
    pulled: Pull,
    matrix: Tensor | None,
    shared: Sequence[nn.Parameter],
    balanced: Sequence[bool],
) -> None:
    """The balancer's one gradient, and beside it, as they are, the rows that are not `balanced`."""
    rows = pulled.at_z if matrix is None else matrix
    # Over the processes, so that all of them refuse. Host sync.
    refuse_non_finite(pulled.names, reduce_rows(rows.abs().amax(1)), "largest gradient")
    whole = rows.new_zeros(len(balancer.rows), rows.shape[1])
    for name, row, known in zip(pulled.names, rows, balanced, strict=True):
        if known:
            whole[balancer.rows.index(name)] = row
    beside = [row for row, known in zip(rows, balanced, strict=True) if not known]
    if matrix is None:
        # Each process has its own part of z: coordinate by coordinate, the methods need no more than that.
        with own_draws():
            vector = balancer(whole)
        push_vector(pulled, sum(beside, start=vector))
    else:
        vector = agree(balancer(whole), whole.device)
        write(shared, sum(beside, start=vector), pulled.scale)


def split_parameters(generator: Generator) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The heads' parameters, and the shared ones: all others."""
    heads = list(generator.heads.parameters())
    apart = {id(parameter) for parameter in heads}
    return heads, [p for p in generator.parameters() if id(p) not in apart and p.requires_grad]


def _host(names: Sequence[str], losses: Mapping[str, Tensor]) -> Tensor:
    """Losses in the balancer's order, float64 on the host; 1 for a critic's row, whose scores have no zero point."""
    one = torch.ones_like(next(iter(losses.values())))
    return reduce_rows(torch.stack([losses.get(name, one) for name in names]).double()).cpu()  # Host sync.


def _statistics(pulled: Pull) -> Logs:
    statistics = row_statistics(pulled.names, gramian_at_z(pulled))
    return {name: value.to(pulled.z) for name, value in statistics.items()}


def _weight_logs(weights: Mapping[str, float], z: Tensor) -> Logs:
    return {f"balance/weight/{name}": z.new_tensor(weight) for name, weight in weights.items()}
