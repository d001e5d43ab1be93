"""The methods a configuration asks for."""

from torch import nn

from advmtl.config import Config, ConsistencyConfig
from advmtl.tasks.table import head_channels
from advmtl.terms.consistency import CrossTaskConsistency
from advmtl.terms.domain_adversary import DomainAdversary
from advmtl.terms.mean_teacher import MeanTeacher
from advmtl.terms.term import Method
from preprocessing.ground import LABEL_SETS, InputError


def build_methods(config: Config) -> nn.ModuleDict:
    """By name, in the order in which they are asked. Raises: InputError where one cannot work with the tasks."""
    methods: dict[str, Method] = {}
    asked = config.partial
    if asked is not None and asked.adversary is not None:
        methods["adversary"] = DomainAdversary(config, asked.adversary)
    if asked is not None and asked.consistency is not None:
        methods["consistency"] = _consistency(config, asked.consistency)
    if asked is not None and asked.mean_teacher is not None:
        methods["mean_teacher"] = MeanTeacher(asked.mean_teacher, config)
    return nn.ModuleDict(methods)


def _consistency(config: Config, settings: ConsistencyConfig) -> CrossTaskConsistency:
    if len(config.tasks) < 2:
        only = next(iter(config.tasks))
        raise InputError(
            f"partial.consistency: needs two tasks, and {only} is the only one; add one or set partial.consistency=null"
        )
    channels = head_channels(list(config.tasks), len(LABEL_SETS[config.data.classes].names))
    return CrossTaskConsistency(settings, channels, config.generator.channels)
