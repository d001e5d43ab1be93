"""Loss terms of a step: supervised losses, discriminators, and partial supervision.

A `Term` may have parameters of its own that learn in a step, and adds to the objectives of the generator; both see one
`StepContext`. `TERMS` is the table of all of them; a caller builds a run with a larger one.
"""

from advmtl.terms.adversarial import DiscriminatorTerm
from advmtl.terms.class_weights import ClassWeights
from advmtl.terms.consistency import CrossTaskConsistency
from advmtl.terms.domain_adversary import DomainAdversary
from advmtl.terms.mean_teacher import MeanTeacher
from advmtl.terms.mixing import mixed_panels
from advmtl.terms.supervised import SupervisedLosses
from advmtl.terms.table import TERMS, Builder, build_terms
from advmtl.terms.term import Logs, StepContext, Term, gather
