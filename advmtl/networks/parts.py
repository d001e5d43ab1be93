"""Parts of the network by name: their parameters, and the modules that are wholly of them."""

from collections.abc import Iterable, Mapping

from torch import nn

from advmtl.networks.encoders import Growable
from advmtl.networks.generator import Generator
from preprocessing.ground import InputError


def part_parameters(generator: Generator, part: str, key: str) -> list[nn.Parameter]:
    """The parameters of a part of `advmtl.config.PARTS`, or of a task's head.

    `key`: of the configuration that names it. Raises: InputError where the encoder does not tell its stages.
    """
    name, _, own = part.partition(".")
    if name == "decoder":
        return list(generator.shared.parameters())
    if name == "heads":
        return list((generator.heads[own] if own else generator.heads).parameters())
    if not own:
        return list(generator.encoder.parameters())
    if not isinstance(generator.encoder, Growable):
        raise InputError(
            f"{key}.{part}: encoder {type(generator.encoder).__name__} does not tell its stages; name encoder"
        )
    return [parameter for stage in generator.encoder.stage_parameters()[: int(own)] for parameter in stage]


def rate_factors(generator: Generator, rates: Mapping[str, float]) -> dict[int, float]:
    """Factor of the learning rate by a parameter's `id`, without those of 1; the narrowest part that is named holds.

    Raises: as `part_parameters`.
    """
    found = [(part_parameters(generator, part, "train.rates"), factor) for part, factor in rates.items()]
    widest_first = sorted(found, key=lambda one: -len(one[0]))
    return {id(parameter): factor for parameters, factor in widest_first for parameter in parameters}


def modules_within(network: nn.Module, parameters: Iterable[nn.Parameter]) -> list[nn.Module]:
    """The outermost modules all of whose parameters are among these; what has none belongs to what it is part of."""
    return _within(network, {id(parameter) for parameter in parameters})


def _within(network: nn.Module, chosen: set[int]) -> list[nn.Module]:
    own = {id(parameter) for parameter in network.parameters()}
    if own and own <= chosen:
        return [network]
    return [module for child in network.children() for module in _within(child, chosen)]
