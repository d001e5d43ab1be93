"""From rows (one scalar per task, and the multi-task adversarial term) to gradients in `.grad`."""

from collections.abc import Mapping

import torch
from torch import Tensor


def backward_sum(rows: Mapping[str, Tensor]) -> None:
    """One ordinary backward of the plain sum of the rows."""
    torch.stack(list(rows.values())).sum().backward()


def representation_gradients(rows: Mapping[str, Tensor], representation: Tensor) -> Tensor:
    """Gradient of every row at the shared representation z, the graph kept.

    It costs one backward through the heads per row and none through the encoder (MGDA-UB's observation, seed 003),
    so it also serves to look at how the rows pull while the update itself is a plain sum.

    Returns: `[rows, z.numel()]`; a row that does not reach z is zero.
    """
    gradients = [
        torch.autograd.grad(row, representation, retain_graph=True, allow_unused=True)[0] for row in rows.values()
    ]
    return torch.stack([(torch.zeros_like(representation) if g is None else g).reshape(-1) for g in gradients])


def row_statistics(rows: Mapping[str, Tensor], representation: Tensor) -> dict[str, Tensor]:
    """Norm of each row's gradient at z and the cosine of every pair, as 0-d tensors for the log."""
    gradients = representation_gradients(rows, representation)
    norms = gradients.norm(dim=1)
    unit = gradients / norms.clamp_min(1e-12)[:, None]
    names = list(rows)
    statistics = {f"gradient_norm_at_z/{name}": norms[i] for i, name in enumerate(names)}
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            statistics[f"gradient_cosine_at_z/{first}~{names[j]}"] = unit[i] @ unit[j]
    return statistics
