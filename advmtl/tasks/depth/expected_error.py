"""How far a depth may be wrong: a second channel of the head, learnt by a likelihood of the log depth.

Where it is asked for, the map of depth is `[N,2,H,W]`: metres, and the expected relative error, |Z − Z*| / Z*, of
which 1 is 100 %. What looks at depth alone takes `metres` of it, which of a map without the error is the map itself.
"""

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.spec import ErrorScale

Likelihood = Literal["laplace", "normal"]
SMALLEST, LARGEST = 1e-3, 3.0
"""The expected relative errors that a head can state before calibration."""
_INITIAL = 0.1  # what a head says that has not learnt yet
OPTIONS: dict[str, Any] = {
    "likelihood": Likelihood,
    "beta": Annotated[float, Field(ge=0, le=1)],
    "teach_depth": bool,
}


def metres(output: Tensor) -> Tensor:
    """The metres [N,1,H,W] of a depth map with or without its error; the same tensor where it has none."""
    return output if output.shape[1] == 1 else output[:, :1]


def with_metres(output: Tensor, changed: Tensor) -> Tensor:
    """A depth map with other metres [N,1,H,W] and the error that it had: a share does not change with the unit."""
    return changed if output.shape[1] == 1 else torch.cat([changed, output[:, 1:]], 1)


def relative_error(x: Tensor, scale: ErrorScale) -> Tensor:
    """What the head says, unbounded [N,1,H,W], to the expected relative error, in float32 or wider."""
    wide = x if x.dtype == torch.float64 else x.float()
    return scale.factor * torch.exp((wide + math.log(_INITIAL)).clamp(math.log(SMALLEST), math.log(LARGEST)))


def expected_error(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    likelihood: Likelihood = "laplace",
    beta: float = 0.0,
    teach_depth: bool = False,
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean of |e| / b + ln(b / b_least), e = ln Z − ln Z*: the cost of the scale b of a Laplace distribution of log
    depth (Kendall & Gal 2017, Eq. 8, of L1) over the least that can be stated, so that it is never negative.

    b is the stated error: the best answer is the mean |e| of pixels that look like this one, and |e| is the relative
    error to first order. "normal": ½ e² / σ² + ln(σ / σ_least), σ = b √(π/2), so that b is the mean |e| here, too.

    Args:
        prediction: [N,2,H,W], metres and relative error.
        beta: weight b^2β of each pixel, without gradient (Seitzer et al. 2022, who call it β): 0 = the likelihood.
        teach_depth: whether the depth learns from it, too; else e is a number that the error is told.
    """
    counts = target > 0 if mask is None else mask & (target > 0)
    one = torch.ones((), dtype=prediction.dtype, device=prediction.device)
    z, true = torch.where(counts, prediction[:, :1], one), torch.where(counts, target.to(prediction.dtype), one)
    error = z.log() - true.log()
    error = error if teach_depth else error.detach()
    b = torch.where(counts, prediction[:, 1:], one)
    if likelihood == "laplace":
        cost = error.abs() / b + (b / SMALLEST).log()
    else:
        cost = (error / b).square() / math.pi + (b / SMALLEST).log()  # σ² = b² π / 2
    if beta:
        cost = cost * b.detach() ** (2 * beta)
    return torch.where(counts, cost, 0).sum() / processes.global_count(counts.sum())
