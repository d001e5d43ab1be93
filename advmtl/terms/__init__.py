"""What adds to a step: supervised losses, discriminators, and ways to learn from frames that lack a label.

A `Term` may have parameters of its own that learn in a step, and adds to the objectives of the generator; both see one
`StepContext`. `TERMS` is the table of all of them; a caller builds a run with a larger one.
"""

from advmtl.terms.adversarial import OBJECTIVES as OBJECTIVES
from advmtl.terms.adversarial import AdversarialObjective as AdversarialObjective
from advmtl.terms.adversarial import DiscriminatorTerm as DiscriminatorTerm
from advmtl.terms.consistency import CrossTaskConsistency as CrossTaskConsistency
from advmtl.terms.domain_adversary import DomainAdversary as DomainAdversary
from advmtl.terms.mean_teacher import MeanTeacher as MeanTeacher
from advmtl.terms.mixing import mixed_panels as mixed_panels
from advmtl.terms.supervised import SupervisedLosses as SupervisedLosses
from advmtl.terms.table import TERMS as TERMS
from advmtl.terms.table import Builder as Builder
from advmtl.terms.table import build_terms as build_terms
from advmtl.terms.term import Logs as Logs
from advmtl.terms.term import StepContext as StepContext
from advmtl.terms.term import Term as Term
from advmtl.terms.term import gather as gather

__all__ = [
    "OBJECTIVES",
    "TERMS",
    "AdversarialObjective",
    "Builder",
    "CrossTaskConsistency",
    "DiscriminatorTerm",
    "DomainAdversary",
    "Logs",
    "MeanTeacher",
    "StepContext",
    "SupervisedLosses",
    "Term",
    "build_terms",
    "gather",
    "mixed_panels",
]
