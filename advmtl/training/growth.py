"""Growth during training: counting gradient conflicts, adding modules between steps, the part saved in checkpoints.

Conflicts are those of the tasks' gradients, stage by stage (MAMO, Tan et al. 2024, section 3.3).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from advmtl.balancing import joined, scaled
from advmtl.config import STRIDES, Config, Detection, Pair, Place, average, choose, detection_of, modules_for, pairs_of
from advmtl.distributed import SINGLE, Processes
from advmtl.networks import Architecture, Generator, Kernels, architecture, grow, growable, regrow, set_batch_norm
from advmtl.terms import StepContext


class Growth:
    """What of a run grows, and what it remembers of it: generator, average and optimizer take new modules in alike.

    Args:
        config: with a section `growth`.
        generator, average, optimizer: of the run; grown in place, all their other values stay.
        processes: those that train together; they decide alike.

    Attributes:
        settings: when, what and how much.
        counts: of the window in hand.
        history: detections made so far.
        added_at_step: the step since which the average has a value, by the value's name; those of the start are not
            in it.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        average: Generator,
        optimizer: torch.optim.Optimizer,
        processes: Processes = SINGLE,
    ) -> None:
        assert config.growth is not None
        self.config, self.settings, self.processes = config, config.growth, processes
        self.generator, self.average, self.optimizer = generator, average, optimizer
        self.device = next(generator.parameters()).device
        self.counts = Counts(list(config.tasks)).to(self.device)
        self.history: list[Detection] = []
        self.added_at_step: dict[str, int] = {}

    def observe(self, step: StepContext, objectives: Mapping[str, Tensor]) -> None:
        """Count a step's conflicts where it lies in a detection's window; the graph of the objectives stays."""
        if self.settings.counts(step.number):
            tasks: dict[str, Tensor] = {task: objectives[task] for task in self.config.tasks if step.labelled[task]}
            self.counts.see(self.generator, tasks, step.scale, self.processes)

    def grow_where_due(self, steps: int) -> Detection | None:
        """Make the detection that is due once `steps` steps have been taken, if one is, and grow where it says (Eq. 12
        and 13). Returns: what was found, None where nothing was due.
        """
        settings = self.settings
        if not settings.due(steps):
            return None
        # Equal everywhere, up to the last bits.
        counts, cosines = self.processes.object_from_rank0(self.counts.read())
        conflicts = choose(counts, cosines, settings.top_k)
        there = self.generator.kernels.places() if isinstance(self.generator.kernels, Kernels) else []
        new = [place for place in modules_for(conflicts, settings.modules == "exclusive") if place not in there]
        number = (steps - 1 - settings.start_step) // settings.every_steps + 1
        added = self._grow_at(new, steps, (2**32 * number + self.config.seed) % 2**63) if new else 0
        detection = Detection(
            number=number,
            step=steps,
            counts=counts,
            cosines=cosines,
            threshold=average(counts) if settings.top_k is None else None,
            conflicts=conflicts,
            grown=tuple(new),
            added=added,
            parameters=sum(p.numel() for p in self.generator.parameters()),
        )
        self.history.append(detection)
        return detection

    def regrow(self, recorded: Architecture) -> None:
        """Grow what has not grown yet as another run's did, for weights that are loaded next."""
        expansion, steps = self.settings.expansion, [one.step for one in self.history if one.grown]
        for number, places in enumerate(recorded):
            for parameters in regrow(self.generator, [places], expansion):
                self._add_parameters(parameters)
            known = set(self.average.state_dict())
            regrow(self.average, [places], expansion)
            if number < len(steps):
                self._remember(known, steps[number])
        self._settle()

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return {
            "counts": self.counts.state_dict(),
            "history": [{"step": detection.step, **detection.row()} for detection in self.history],
            "architecture": architecture(self.generator),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Bring what has not grown yet to the architecture that was saved, and to what it remembers; weights are loaded
        after it. Raises: ValueError where it has grown already, or nothing was saved.
        """
        if not saved:
            raise ValueError("growth is missing")
        if architecture(self.generator):
            raise ValueError("growth is of another run")
        self.counts.load_state_dict(saved["counts"])
        self.history = [detection_of(row) for row in saved["history"]]
        self.regrow(saved["architecture"])

    def _grow_at(self, places: list[Place], steps: int, seed: int) -> int:
        """Grow generator, average and optimizer. Returns: how many numbers can learn now that were not there."""
        parameters = grow(self.generator, places, self.settings.expansion, seed)
        known = set(self.average.state_dict())
        grow(self.average, places, self.settings.expansion, seed)
        self._remember(known, steps)
        self._add_parameters(parameters)
        self._settle()
        return sum(parameter.numel() for parameter in parameters)

    def _remember(self, known: set[str], steps: int) -> None:
        self.added_at_step |= dict.fromkeys(self.average.state_dict().keys() - known, steps)

    def _add_parameters(self, parameters: list[nn.Parameter]) -> None:
        """Give new parameters to the optimizer; decay as for the others, not on norms and scales."""
        decay = self.config.train.weight_decay
        for chosen, rate in (
            ([p for p in parameters if p.ndim > 1], decay),
            ([p for p in parameters if p.ndim <= 1], 0.0),
        ):
            self.optimizer.add_param_group({"params": chosen, "weight_decay": rate})

    def _settle(self) -> None:
        """The run's kind of batch norm for the modules that learn; the average does not.

        Frozen statistics are learnt ones, and a new module has none: it takes its own, the same on all processes.
        """
        kind = self.config.train.batch_norm
        if self.generator.kernels is not None:
            kind = "synchronised" if kind == "frozen" else kind
            set_batch_norm(self.generator.kernels, kind, self.device, self.processes)
        self.average.eval().requires_grad_(False)


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

    def see(
        self,
        generator: Generator,
        objectives: Mapping[str, Tensor],
        scale: Tensor | None = None,
        processes: Processes = SINGLE,
    ) -> None:
        """Count one mini-batch; `objectives` are those of the tasks of which some frame has a label."""
        found = pairs_of(list(objectives))
        if not found:
            return
        cosines = stage_cosines(generator, objectives, scale, processes)
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


def stage_cosines(
    generator: Generator, objectives: Mapping[str, Tensor], scale: Tensor | None = None, processes: Processes = SINGLE
) -> Tensor:
    """Cosine of every two objectives' gradients at every stage, float64 [4, pairs of objectives] (Eq. 9).

    At a stage's shared parameters together with those of the pair's own module there (section 3.1: the products of both
    parts add up). A task's exclusive module is not shared and counts for nothing. The gradients are those of the mean
    over the processes. One backward per objective through heads and encoder; the graph stays.

    Args: tasks' objectives by name, 0-d with graph; the loss scale. 0 where one of the two has no gradient.
    """
    stages = growable(generator.encoder, "of this network").stage_parameters()
    pairs = pairs_of(list(objectives))
    modules = {place: list(kernel.parameters()) for place, kernel in _shared_kernels(generator).items()}
    groups = [*stages, *modules.values()]
    gradients = _gradients(objectives, [parameter for group in groups for parameter in group], scale)
    processes.average([gradients])
    gradients = gradients.double()
    products = [part @ part.T for part in gradients.split([sum(p.numel() for p in group) for group in groups], 1)]
    by_place = dict(zip(modules, products[len(stages) :], strict=True))
    order = {name: index for index, name in enumerate(objectives)}
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


def _gradients(objectives: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], scale: Tensor | None) -> Tensor:
    """Of every objective at every parameter, of this process's frames [m, Σ numel]."""
    found = []
    for objective in objectives.values():
        gradients = torch.autograd.grad(scaled(objective, scale), parameters, retain_graph=True, allow_unused=True)
        found.append(joined(parameters, gradients))
    return torch.stack(found)


def _cosine(shared: Tensor, own: Tensor | None, i: int, j: int) -> Tensor:
    product = shared if own is None else shared + own
    norms = (product[i, i] * product[j, j]).sqrt()
    return product[i, j] / norms.clamp_min(1e-300)
