"""From rows (one scalar per task, and the multi-task adversarial term) to gradients in `.grad`.

What a gradient-based balancer costs: each row goes back through its losses and heads once, as in a plain sum, to the
shared representation z and to the heads' parameters at the same time; weights are made of m numbers or m × m; one
backward takes the weighted gradient from z through the encoder. Nothing is passed twice but what two rows share.

Where modules have grown (`advmtl.growth`), the representation is z and what these give to the heads: together they are
all that the heads read, so what is said of z here holds of the list. A row of it is one vector, part after part.

Under a loss scale (float16) everything goes back multiplied by it. Rows at z and at the shared parameters are divided
by it as soon as they are taken, so that a balancer sees true gradients; what is written into `.grad` is still scaled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


def backward_sum(rows: Mapping[str, Tensor], scale: Tensor | None = None) -> None:
    """One ordinary backward of the plain sum of the rows."""
    scaled(torch.stack(list(rows.values())).sum(), scale).backward()


def backward_weighted(rows: Mapping[str, Tensor], weights: Mapping[str, float], scale: Tensor | None = None) -> None:
    """One ordinary backward of Σ wᵢ Lᵢ; a row without a weight has 1."""
    total = torch.stack([weights.get(name, 1.0) * row for name, row in rows.items()]).sum()
    scaled(total, scale).backward()


def scaled(values: Tensor, scale: Tensor | None) -> Tensor:
    """Values times the loss scale, where there is one."""
    return values if scale is None else values * scale


@dataclass(frozen=True)
class Pull:
    """How each row pulls, before anything is decided.

    Attributes:
        names: the rows.
        points: the shared representation z, and what grown modules give, their graphs whole.
        at_z: gradients at them [m, Σ numel], each in its point's own order in memory, so that nothing is transposed; a
            row that does not reach a point is 0 there.
        heads: the heads' parameters, and per row its gradient of each, or None; times the loss scale.
        scale: the loss scale, or None.
    """

    names: tuple[str, ...]
    points: tuple[Tensor, ...]
    at_z: Tensor
    heads: tuple[Sequence[nn.Parameter], list[Sequence[Tensor | None]]]
    scale: Tensor | None = None

    @property
    def z(self) -> Tensor:
        """The shared representation."""
        return self.points[0]

    def like_z(self, vector: Tensor) -> Tensor:
        """The part of a row [Σ numel] that is z's, in the shape and memory order of z."""
        return _in_order_of(vector, self.z)

    def like_points(self, vector: Tensor) -> list[Tensor]:
        """A row [Σ numel] in the points' shapes and memory orders; no copies."""
        return _parts(vector, self.points)


def pull(
    rows: Mapping[str, Tensor],
    representation: Tensor | Sequence[Tensor],
    heads: Sequence[nn.Parameter] = (),
    *,
    keep: bool = False,
    scale: Tensor | None = None,
) -> Pull:
    """Gradient of every row at z (or z and more) and at the heads' parameters: one backward through losses and heads
    per row.

    The graph of the rows is used up, unless `keep`; that from the parameters to z stays.
    """
    points = (representation,) if isinstance(representation, Tensor) else tuple(representation)
    found = points[0].new_zeros(len(rows), sum(point.numel() for point in points))
    own: list[Sequence[Tensor | None]] = []
    for index, row in enumerate(rows.values(), 1):
        # Rows may share a head (a critic of two tasks), so buffers stay until the last one.
        retain = keep or index < len(rows)
        inputs = [*points, *heads]
        gradients = torch.autograd.grad(scaled(row, scale), inputs, retain_graph=retain, allow_unused=True)
        for place, gradient in zip(_parts(found[index - 1], points), gradients, strict=False):
            if gradient is not None:
                place.copy_(gradient)
        own.append(gradients[len(points) :])
    if scale is not None:
        found /= scale
    return Pull(tuple(rows), points, found, (heads, own), scale)


def _parts(vector: Tensor, points: Sequence[Tensor]) -> list[Tensor]:
    sizes = [point.numel() for point in points]
    return [_in_order_of(part, point) for part, point in zip(vector.split(sizes), points, strict=True)]


def _in_order_of(vector: Tensor, like: Tensor) -> Tensor:
    strides = torch.empty_like(like, device="meta").stride()  # those of `like` where it is dense
    return vector.as_strided(like.shape, strides, vector.storage_offset())


def pull_back(pulled: Pull, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Gradient of every row at the shared parameters [m, Σ numel], averaged over the processes.

    One backward through the encoder per row: this is what `at: parameters` costs more.
    """
    matrix = []
    for index, at_z in enumerate(pulled.at_z, 1):
        retain = index < len(pulled.at_z)
        gradients = torch.autograd.grad(
            pulled.points,
            parameters,
            pulled.like_points(scaled(at_z, pulled.scale)),
            retain_graph=retain,
            allow_unused=True,
        )
        pairs = zip(parameters, gradients, strict=True)
        matrix.append(torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in pairs]))
    rows = torch.stack(matrix)
    if pulled.scale is not None:
        rows /= pulled.scale
    return reduce_rows(rows)


def push(pulled: Pull, weights: Tensor) -> None:
    """Write Σ wᵢ ∂Lᵢ/∂θ into `.grad` of everything before z: one backward through the encoder."""
    push_vector(pulled, weights.to(pulled.at_z) @ pulled.at_z)


def push_vector(pulled: Pull, vector: Tensor) -> None:
    """The same for a gradient at the points [Σ numel] that is no weighted sum."""
    torch.autograd.backward(pulled.points, pulled.like_points(scaled(vector, pulled.scale)))


def write(parameters: Sequence[nn.Parameter], vector: Tensor, scale: Tensor | None = None) -> None:
    """Write one gradient of the shared parameters [Σ numel] into `.grad`, times the loss scale."""
    vector = scaled(vector, scale)
    for parameter, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone(memory_format=torch.preserve_format)


def write_heads(pulled: Pull, weights: Sequence[float] | None) -> None:
    """Write the heads' gradients into `.grad`: Σ wᵢ ∂Lᵢ/∂θ, or each row with weight 1 where `weights` is None."""
    parameters, rows = pulled.heads
    for index, parameter in enumerate(parameters):
        parts = [
            gradient if weights is None else weights[row] * gradient
            for row, gradients in enumerate(rows)
            if (gradient := gradients[index]) is not None
        ]
        if parts:
            parameter.grad = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def gramian_at_z(pulled: Pull) -> Tensor:
    """Inner products of the rows' gradients at z, float64 [m,m] on the host.

    Under several processes each holds the part of the rows that belongs to its own frames, so the whole rows' products
    are the sums of the parts'.
    """
    products = (pulled.at_z @ pulled.at_z.T).double()
    if _processes() > 1:
        dist.all_reduce(products)
        products /= _processes() ** 2  # the loss is the mean over the processes
    return products.cpu()  # Host sync: m × m numbers, for the solvers.


def gramian_of(matrix: Tensor) -> Tensor:
    """Inner products of rows [m,n] that are whole on every process, float64 [m,m] on the host."""
    return (matrix @ matrix.T).double().cpu()  # Host sync.


def reduce_rows(rows: Tensor) -> Tensor:
    """Average over the processes, in place: per-row gradients or losses, before they are balanced.

    Does nothing for one process.
    """
    if _processes() > 1:
        dist.all_reduce(rows)
        rows /= _processes()
    return rows


def agree(values: Tensor, device: torch.device) -> Tensor:
    """The first process's values everywhere: some methods draw, and solvers may differ in the last bit.

    `device` is where the processes exchange tensors. Does nothing for one process.
    """
    if _processes() > 1:
        shared = values.to(device)
        dist.broadcast(shared, src=0)
        return shared.to(values.device)
    return values


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def row_statistics(names: Sequence[str], gramian: Tensor) -> dict[str, Tensor]:
    """Norm of each row's gradient and cosine of every pair, from the Gram matrix at z, as 0-d tensors for the log."""
    norms = gramian.diagonal().sqrt()
    statistics = {f"gradient_norm_at_z/{name}": norms[i] for i, name in enumerate(names)}
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            cosine = gramian[i, j] / (norms[i] * norms[j]).clamp_min(1e-24)
            statistics[f"gradient_cosine_at_z/{first}~{names[j]}"] = cosine
    return statistics
