"""Parts of the generator that do not learn, for the whole run or until a step."""

from collections.abc import Mapping

from torch import nn

from advmtl.config import Config
from advmtl.networks import Generator, modules_within, part_parameters
from preprocessing.ground import InputError


class Freezing:
    """Sets what learns at each step: no gradient reaches a frozen part, its batch norms keep their statistics, and
    nothing in it is dropped.

    What is frozen is a function of the step, so nothing of it is saved. Optimizer and average hold all parameters at
    all times.
    """

    def __init__(self, generator: Generator, config: Config) -> None:
        """Raises: InputError where nothing is left to learn, or none of what a balancer would take gradients at."""
        self.generator = generator
        self._until = dict(config.train.freeze)
        self._parts = {part: part_parameters(generator, part, "train.freeze") for part in self._until}
        self._frozen: tuple[str, ...] | None = None
        self._modules: list[nn.Module] = []
        if self._until:
            self._check(config)

    def _check(self, config: Config) -> None:
        frozen = {id(parameter) for parameters in self._parts.values() for parameter in parameters}
        if all(id(parameter) in frozen for parameter in self.generator.parameters()):
            raise InputError("train.freeze: nothing is left to learn; leave a part out")
        shared = [*self.generator.encoder.parameters(), *self.generator.shared.parameters()]
        if config.balance.at == "parameters" and all(id(parameter) in frozen for parameter in shared):
            raise InputError(
                "train.freeze: no shared parameter learns, so balance.at=parameters has nothing to take gradients at; "
                "set balance.at=representation"
            )

    def frozen_at(self, step: int) -> tuple[str, ...]:
        """The parts that do not learn in a step, counted from 0."""
        return tuple(part for part, until in self._until.items() if until is None or step < until)

    def thawed_at(self, step: int) -> list[str]:
        """The parts that learn from this step on."""
        return [part for part, until in self._until.items() if until == step]

    def begin(self, step: int) -> Generator:
        """The generator in training mode for the forward of a step."""
        self.generator.train()
        here = self.frozen_at(step)
        if self._until and here != self._frozen:
            self.generator.requires_grad_(True)
            parameters = [parameter for part in here for parameter in self._parts[part]]
            for parameter in parameters:
                parameter.requires_grad_(False)
                parameter.grad = None
            self._frozen, self._modules = here, modules_within(self.generator, parameters)
        for module in self._modules:
            module.eval()
        return self.generator

    def forget(self) -> None:
        """Something else has set what learns: set all of it anew at the next step."""
        self._frozen = None

    def text(self, step: int) -> str:
        """How much learns at a step, for a line; empty where all does."""
        here = self.frozen_at(step)
        if not here:
            return ""
        frozen = {id(parameter) for part in here for parameter in self._parts[part]}
        learning = sum(p.numel() for p in self.generator.parameters() if id(p) not in frozen)
        return f", {learning / 1e6:.2f} M of them learn (frozen: {_listed(here, self._until)})"


def _listed(parts: tuple[str, ...], until: Mapping[str, int | None]) -> str:
    return ", ".join(part if until[part] is None else f"{part} until step {until[part]}" for part in parts)
