"""Gradient and loss balancing: from the objectives of a step to one update.

A balancer is an `nn.Module` of one of three kinds, distinguished by type: `GramBalancer`, `LossBalancer`,
`JacobianBalancer`; `Sum` has nothing to decide. `advmtl.config.balance` names every method and its options without
torch; `build_balancer` makes the module. No autograd through networks happens in a balancer: `balanced_backward` takes
the gradients, asks it, and writes what comes of them.
"""

from advmtl.balancing.balancer import Balancer, GramBalancer, JacobianBalancer, LossBalancer, NonFiniteObjective, Sum
from advmtl.balancing.build import BALANCERS, build_balancer, check_balancer
from advmtl.balancing.gradients import (
    ObjectiveGradients,
    backward_through_encoder,
    gradients_at_parameters,
    gradients_at_representation,
    gramian_at_representation,
    gramian_of,
    joined,
    scaled,
    write_heads,
    write_shared,
)
from advmtl.balancing.update import StepObjectives, balanced_backward, split_parameters
