"""The methods a configuration asks for."""

from torch import nn

from advmtl.config import Config
from advmtl.partial.domain_adversary import DomainAdversary
from advmtl.partial.method import Method


def build_methods(config: Config) -> nn.ModuleDict:
    """By name, in the order in which they are asked. Raises: InputError where one cannot work with the tasks."""
    methods: dict[str, Method] = {}
    if config.partial is not None and config.partial.adversary is not None:
        methods["adversary"] = DomainAdversary(config, config.partial.adversary)
    return nn.ModuleDict(methods)
