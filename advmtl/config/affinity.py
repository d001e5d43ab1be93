"""The section `affinity`: how often a run measures what each task's step does to the others' losses. No torch."""

import math
from typing import Annotated

from pydantic import Field

from advmtl.config.typed import Strict

_FORWARD, _BACKWARD, _COPIES = 1 / 3, 2 / 3, 1 / 3  # of the work of a step
_HALF = 3  # what a forward in float32 counts where the run's own are in half precision


class AffinityConfig(Strict):
    """Inter-task affinity (TAG, Fifty et al. 2021), measured every so many steps; changes nothing that is computed.

    Attributes:
        share: of the work of training that measuring may add. Work is counted, not timed, so that the steps are the
            same on every machine and after every resume.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.05

    def every(self, objectives: int, half: bool = False) -> int:
        """Steps from one measurement to the next.

        A measurement is a forward, copies of the weights, and for each of the `objectives` a backward and a forward
        after its step. What a step does beside its forward and backward (critics, optimizer, average) is left out, so
        that the true share is rather below. `half`: the run's forwards are in half precision, a measurement's never.
        """
        forward = _FORWARD * (_HALF if half else 1)
        work = objectives * (_BACKWARD + forward) + forward + _COPIES
        return max(1, math.ceil(work / self.share - 1e-9))


def measured(step: int, every: int) -> bool:
    """Whether `step`, from 0, is measured: the middle one of every so many."""
    return step % every == every // 2
