"""Gradients of a step's objectives (one per task, and of multi-task discriminators): computing, comparing, writing.

What a gradient-based balancer costs: each objective goes back through its losses and heads once, as in a plain sum, to
the shared representation z and to the heads' parameters at the same time; weights are made of m numbers or m × m; one
backward takes the weighted gradient from z through the encoder (Sener & Koltun 2018, section 3.3). Nothing is passed
twice but what two objectives share.

Where modules have grown (`networks.grown`), or a term took a further forward, the representation is z and all else that
heads have read: what is said of z here holds of the list. An objective's gradient there is one vector, part after part.

Under a loss scale (float16) everything goes back multiplied by it. Gradients at z and at the shared parameters are
divided by it as soon as they are taken, so that a balancer sees true ones; what is written into `.grad` is still
scaled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advmtl.distributed import SINGLE, Processes


def backward_sum(objectives: Mapping[str, Tensor], scale: Tensor | None = None) -> None:
    """One ordinary backward of the plain sum of the objectives."""
    scaled(torch.stack(list(objectives.values())).sum(), scale).backward()


def backward_weighted(
    objectives: Mapping[str, Tensor], weights: Mapping[str, float], scale: Tensor | None = None
) -> None:
    """One ordinary backward of Σ wᵢ Lᵢ; an objective without a weight has 1."""
    total = torch.stack([weights.get(name, 1.0) * objective for name, objective in objectives.items()]).sum()
    scaled(total, scale).backward()


def scaled(values: Tensor, scale: Tensor | None) -> Tensor:
    """Values times the loss scale, where there is one."""
    return values if scale is None else values * scale


@dataclass(frozen=True)
class ObjectiveGradients:
    """Each objective's gradient at what the heads read and at the heads, before anything is decided.

    Attributes:
        names: the objectives.
        representations: the shared representation z, and what else heads have read, their graphs whole.
        matrix: gradients at them [m, Σ numel], each in its tensor's own order in memory, so that nothing is transposed;
            an objective that does not reach one is 0 there. Of this process's frames.
        heads: the heads' parameters, and per objective its gradient of each, or None; times the loss scale.
        scale: the loss scale, or None.
        processes: those that do this at the same time, each with its own frames.
    """

    names: tuple[str, ...]
    representations: tuple[Tensor, ...]
    matrix: Tensor
    heads: tuple[Sequence[nn.Parameter], list[Sequence[Tensor | None]]]
    scale: Tensor | None = None
    processes: Processes = SINGLE

    @property
    def z(self) -> Tensor:
        """The shared representation."""
        return self.representations[0]

    def like_z(self, vector: Tensor) -> Tensor:
        """The part of a gradient [Σ numel] that is z's, in the shape and memory order of z."""
        return _in_order_of(vector, self.z)

    def like_representations(self, vector: Tensor) -> list[Tensor]:
        """A gradient [Σ numel] in the representations' shapes and memory orders; no copies."""
        return _parts(vector, self.representations)


def gradients_at_representation(
    objectives: Mapping[str, Tensor],
    representations: Sequence[Tensor],
    heads: Sequence[nn.Parameter] = (),
    *,
    keep: bool = False,
    scale: Tensor | None = None,
    processes: Processes = SINGLE,
) -> ObjectiveGradients:
    """Gradient of every objective at z, at what else the heads read, and at the heads' parameters: one backward through
    losses and heads per objective.

    The graph of the objectives is used up, unless `keep`; that from the parameters to z stays.
    """
    found = representations[0].new_zeros(len(objectives), sum(one.numel() for one in representations))
    own: list[Sequence[Tensor | None]] = []
    for index, objective in enumerate(objectives.values(), 1):
        # Objectives may share a head (a discriminator of two tasks), so buffers stay until the last one.
        retain = keep or index < len(objectives)
        inputs = [*representations, *heads]
        gradients = torch.autograd.grad(scaled(objective, scale), inputs, retain_graph=retain, allow_unused=True)
        for place, gradient in zip(_parts(found[index - 1], representations), gradients, strict=False):
            if gradient is not None:
                place.copy_(gradient)
        own.append(gradients[len(representations) :])
    if scale is not None:
        found /= scale
    return ObjectiveGradients(tuple(objectives), tuple(representations), found, (heads, own), scale, processes)


def _parts(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    sizes = [one.numel() for one in like]
    return [_in_order_of(part, one) for part, one in zip(vector.split(sizes), like, strict=True)]


def _in_order_of(vector: Tensor, like: Tensor) -> Tensor:
    strides = torch.empty_like(like, device="meta").stride()  # those of `like` where it is dense
    return vector.as_strided(like.shape, strides, vector.storage_offset())


def gradients_at_parameters(gradients: ObjectiveGradients, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Gradient of every objective at the shared parameters [m, Σ numel], averaged over the processes.

    One backward through the encoder per objective: this is what `at: parameters` costs more.
    """
    matrix = []
    for index, at_z in enumerate(gradients.matrix, 1):
        found = torch.autograd.grad(
            gradients.representations,
            parameters,
            gradients.like_representations(scaled(at_z, gradients.scale)),
            retain_graph=index < len(gradients.matrix),
            allow_unused=True,
        )
        matrix.append(joined(parameters, found))
    rows = torch.stack(matrix)
    if gradients.scale is not None:
        rows /= gradients.scale
    gradients.processes.average([rows])
    return rows


def joined(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    """Gradients of parameters as one vector [Σ numel]; one that is None counts as 0."""
    pairs = zip(parameters, gradients, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in pairs])


def backward_through_encoder(gradients: ObjectiveGradients, vector: Tensor) -> None:
    """Backpropagate one gradient at the representations [Σ numel] into `.grad` of everything before them."""
    torch.autograd.backward(gradients.representations, gradients.like_representations(scaled(vector, gradients.scale)))


def write_shared(parameters: Sequence[nn.Parameter], vector: Tensor, scale: Tensor | None = None) -> None:
    """Write one gradient of the shared parameters [Σ numel] into `.grad`, times the loss scale."""
    vector = scaled(vector, scale)
    for parameter, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone(memory_format=torch.preserve_format)


def write_heads(gradients: ObjectiveGradients, weights: Sequence[float] | None) -> None:
    """Write the heads' gradients into `.grad`: Σ wᵢ ∂Lᵢ/∂θ, or each objective with weight 1 where `weights` is None."""
    parameters, objectives = gradients.heads
    for index, parameter in enumerate(parameters):
        parts = [
            gradient if weights is None else weights[number] * gradient
            for number, found in enumerate(objectives)
            if (gradient := found[index]) is not None
        ]
        if parts:
            parameter.grad = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def gramian_at_representation(gradients: ObjectiveGradients) -> Tensor:
    """Inner products of the objectives' gradients at the representations, float64 [m,m] on the host.

    Under several processes each holds the part of a gradient that belongs to its own frames, so the products of the
    whole are the sums of the parts'.
    """
    products = gradients.processes.total((gradients.matrix @ gradients.matrix.T).double())
    if gradients.processes.count > 1:
        products /= gradients.processes.count**2  # the loss is the mean over the processes
    return products.cpu()  # Host sync: m × m numbers, for the solvers.


def gramian_of(matrix: Tensor) -> Tensor:
    """Inner products of gradients [m,n] that are whole on every process, float64 [m,m] on the host."""
    return (matrix @ matrix.T).double().cpu()  # Host sync.


def gradient_statistics(names: Sequence[str], gramian: Tensor) -> dict[str, Tensor]:
    """Norm of each objective's gradient and cosine of every pair, from the Gram matrix at z, as 0-d tensors by name."""
    norms = gramian.diagonal().sqrt()
    statistics = {f"gradient_norm_at_z/{name}": norms[i] for i, name in enumerate(names)}
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            cosine = gramian[i, j] / (norms[i] * norms[j]).clamp_min(1e-24)
            statistics[f"gradient_cosine_at_z/{first}~{names[j]}"] = cosine
    return statistics
