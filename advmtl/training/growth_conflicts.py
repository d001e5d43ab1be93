"""Counting conflicts of the tasks' gradients, stage by stage (seed 002, section 3.3)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from advmtl.balancing.gradients import reduce_rows, scaled
from advmtl.config.detection import STRIDES, Pair, Place, pairs_of
from advmtl.networks.generator import Generator
from advmtl.networks.grown_modules import Kernels


def stage_cosines(generator: Generator, rows: Mapping[str, Tensor], scale: Tensor | None = None) -> Tensor:
    """Cosine of every two rows' gradients at every stage, float64 [4, pairs of rows] (Eq. 9).

    At a stage's shared parameters together with those of the pair's own module there (section 3.1: the products of both
    parts add up). A task's exclusive module is not shared and counts for nothing. The gradients are those of the mean
    over the processes. One backward per row through heads and encoder; the graph stays.

    Args: tasks' rows by name, 0-d with graph; the loss scale. 0 where one of the two has no gradient.
    """
    stages = [list(stage.parameters()) for stage in generator.encoder.stages()]
    pairs = pairs_of(list(rows))
    modules = {place: list(kernel.parameters()) for place, kernel in _shared_kernels(generator).items()}
    groups = [*stages, *modules.values()]
    gradients = _gradients(rows, [parameter for group in groups for parameter in group], scale)
    products = [part @ part.T for part in gradients.split([sum(p.numel() for p in group) for group in groups], 1)]
    by_place = dict(zip(modules, products[len(stages) :], strict=True))
    order = {name: index for index, name in enumerate(rows)}
    found = [
        _cosine(product, by_place.get(Place(stage, pair)), order[pair[0]], order[pair[1]])
        for stage, product in enumerate(products[: len(stages)], 1)
        for pair in pairs
    ]
    return torch.stack(found).view(len(stages), len(pairs))


def _shared_kernels(generator: Generator) -> dict[Place, nn.Module]:
    if not isinstance(generator.kernels, Kernels):
        return {}
    grown = generator.kernels.grown
    return {place: grown[place.name] for place in generator.kernels.places() if len(place.owners) > 1}


def _gradients(rows: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], scale: Tensor | None) -> Tensor:
    """Of every row at every parameter, float64 [m, Σ numel], averaged over the processes."""
    found = []
    for row in rows.values():
        gradients = torch.autograd.grad(scaled(row, scale), parameters, retain_graph=True, allow_unused=True)
        pairs = zip(parameters, gradients, strict=True)
        found.append(torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in pairs]))
    return reduce_rows(torch.stack(found)).double()


def _cosine(shared: Tensor, own: Tensor | None, i: int, j: int) -> Tensor:
    product = shared if own is None else shared + own
    norms = (product[i, i] * product[j, j]).sqrt()
    return product[i, j] / norms.clamp_min(1e-300)


class Counts(nn.Module):
    """Q of Eq. 11, gathered on the device; `read` is the one host sync, once per detection.

    Attributes:
        pairs: of the tasks, the columns.
        conflicts: mini-batches with a negative cosine, int64 [4, pairs].
        cosines: their sum, float64 [4, pairs].
        batches: mini-batches in which both tasks had a label, int64 [pairs].
    """

    conflicts: Tensor
    cosines: Tensor
    batches: Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.pairs: list[Pair] = pairs_of(tasks)
        shape = (len(STRIDES), len(self.pairs))
        self.register_buffer("conflicts", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("cosines", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("batches", torch.zeros(len(self.pairs), dtype=torch.int64))

    def see(self, generator: Generator, rows: Mapping[str, Tensor], scale: Tensor | None = None) -> None:
        """Count one mini-batch; `rows` are those of the tasks of which some frame has a label."""
        found = pairs_of(list(rows))
        if not found:
            return
        cosines = stage_cosines(generator, rows, scale)
        for column, pair in enumerate(found):
            at = self.pairs.index(pair)
            self.conflicts[:, at] += cosines[:, column] < 0  # Eq. 10; a gradient that overflowed is no conflict
            self.cosines[:, at] += torch.nan_to_num(cosines[:, column])
            self.batches[at] += 1

    def read(self) -> tuple[dict[Place, int], dict[Place, float]]:
        """Counts and mean cosines by place, and start anew. Host sync."""
        batches = self.batches.tolist()
        counts, cosines = self.conflicts.tolist(), self.cosines.tolist()
        for values in (self.conflicts, self.cosines, self.batches):
            values.zero_()
        places = {(s, p): Place(s + 1, pair) for s in range(len(STRIDES)) for p, pair in enumerate(self.pairs)}
        return (
            {place: counts[s][p] for (s, p), place in places.items()},
            {place: cosines[s][p] / batches[p] for (s, p), place in places.items() if batches[p]},
        )
