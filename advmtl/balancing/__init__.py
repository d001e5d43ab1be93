"""Gradient and loss balancing: how the objectives of a step become one update.

A balancer is an `nn.Module` of one of three kinds, told apart by type: `GramBalancer`, `LossBalancer`,
`JacobianBalancer`; `Sum` has nothing to decide. `advmtl.config.balance` names every method and its options without
torch; `build_balancer` makes the module. No autograd through networks happens in a balancer: `balanced_backward` takes
the gradients, asks it, and writes what comes of them.
"""

from advmtl.balancing.balancer import Balancer as Balancer
from advmtl.balancing.balancer import GramBalancer as GramBalancer
from advmtl.balancing.balancer import JacobianBalancer as JacobianBalancer
from advmtl.balancing.balancer import LossBalancer as LossBalancer
from advmtl.balancing.balancer import NonFiniteObjective as NonFiniteObjective
from advmtl.balancing.balancer import Sum as Sum
from advmtl.balancing.build import BALANCERS as BALANCERS
from advmtl.balancing.build import build_balancer as build_balancer
from advmtl.balancing.gradients import ObjectiveGradients as ObjectiveGradients
from advmtl.balancing.gradients import backward_through_encoder as backward_through_encoder
from advmtl.balancing.gradients import gradients_at_parameters as gradients_at_parameters
from advmtl.balancing.gradients import gradients_at_representation as gradients_at_representation
from advmtl.balancing.gradients import gramian_at_representation as gramian_at_representation
from advmtl.balancing.gradients import gramian_of as gramian_of
from advmtl.balancing.gradients import joined as joined
from advmtl.balancing.gradients import scaled as scaled
from advmtl.balancing.gradients import write_heads as write_heads
from advmtl.balancing.gradients import write_shared as write_shared
from advmtl.balancing.update import StepObjectives as StepObjectives
from advmtl.balancing.update import balanced_backward as balanced_backward
from advmtl.balancing.update import split_parameters as split_parameters

__all__ = [
    "BALANCERS",
    "Balancer",
    "GramBalancer",
    "JacobianBalancer",
    "LossBalancer",
    "NonFiniteObjective",
    "ObjectiveGradients",
    "StepObjectives",
    "Sum",
    "backward_through_encoder",
    "balanced_backward",
    "build_balancer",
    "gradients_at_parameters",
    "gradients_at_representation",
    "gramian_at_representation",
    "gramian_of",
    "joined",
    "scaled",
    "split_parameters",
    "write_heads",
    "write_shared",
]
