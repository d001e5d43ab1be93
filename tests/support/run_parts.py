"""Parts of a run by the names that a configuration gives them."""

from torch import nn

from advmtl.terms.adversarial import DiscriminatorTerm
from advmtl.training.state import State


def discriminators_of(state: State) -> nn.ModuleDict:
    """The discriminators' networks, the run's own, by name."""
    terms = [term for term in state.terms.values() if isinstance(term, DiscriminatorTerm)]
    return nn.ModuleDict({term.name: term.network for term in terms})
