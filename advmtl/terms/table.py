"""The terms of a run, in the order in which they are evaluated and added."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from advmtl.config import Config
from advmtl.terms.adversarial import build_discriminators
from advmtl.terms.consistency import CrossTaskConsistency, places
from advmtl.terms.domain_adversary import DomainAdversary
from advmtl.terms.mean_teacher import MeanTeacher
from advmtl.terms.supervised import build_supervised
from advmtl.terms.term import Term
from preprocessing.ground import InputError

Builder = Callable[[Config, torch.device], Mapping[str, Term]]
"""The terms that a configuration asks for, by name, on the device; nothing where it asks for none."""


def _adversary(config: Config, device: torch.device) -> dict[str, Term]:
    asked = config.partial and config.partial.adversary
    return {"partial/adversary": DomainAdversary(config, asked).to(device)} if asked else {}


def _consistency(config: Config, device: torch.device) -> dict[str, Term]:
    asked = config.partial and config.partial.consistency
    if not asked:
        return {}
    if len(config.tasks) < 2:
        only = next(iter(config.tasks))
        raise InputError(
            f"partial.consistency: needs two tasks, and {only} is the only one; add one or set partial.consistency=null"
        )
    channels = {name: config.task_table[name].learning.encoded_channels(config.spec) for name in config.tasks}
    return {
        "partial/consistency": CrossTaskConsistency(
            asked, channels, config.generator.z_channels, places(config.tasks, config.task_table)
        ).to(device)
    }


def _mean_teacher(config: Config, device: torch.device) -> dict[str, Term]:
    asked = config.partial and config.partial.mean_teacher
    return {"partial/mean_teacher": MeanTeacher(asked, config).to(device)} if asked else {}


TERMS: Mapping[str, Builder] = MappingProxyType(
    {
        "supervised": build_supervised,
        "discriminators": build_discriminators,
        "adversary": _adversary,
        "consistency": _consistency,
        "mean_teacher": _mean_teacher,
    }
)


def build_terms(config: Config, device: torch.device, terms: Mapping[str, Builder] = TERMS) -> nn.ModuleDict:
    """All terms, by name. `terms`: a larger table has further ones.

    Raises: InputError where one cannot work with the tasks, or weights are missing.
    """
    found: dict[str, Term] = {}
    for build in terms.values():
        found |= build(config, device)
    for name, term in found.items():
        if not isinstance(term, Term):
            raise InputError(f"term {name}: is {type(term).__name__}; it must be an advmtl.terms.Term")
    return nn.ModuleDict(found)
