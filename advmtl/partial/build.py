"""The methods a configuration asks for."""

from torch import nn

from advmtl.config import Config
from advmtl.partial.mean_teacher import MeanTeacher
from advmtl.partial.method import Method


def build_methods(config: Config) -> nn.ModuleDict:
    """By name, in the order in which they are asked. Raises: InputError where one cannot work with the tasks."""
    methods: dict[str, Method] = {}
    if config.partial is not None and config.partial.mean_teacher is not None:
        methods["mean_teacher"] = MeanTeacher(config.partial.mean_teacher, config)
    return nn.ModuleDict(methods)
