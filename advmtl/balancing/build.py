"""From a method's name and options to a balancer."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torchjd import aggregation, scalarization

from advmtl.balancing.balancer import Balancer, Sum
from advmtl.balancing.directions import CentralDirection, MinNorm, Tensioner
from advmtl.balancing.progress_based import GradNorm, Prioritisation, RotoGrad, StopAndGo
from advmtl.balancing.scalarizations import (
    DynamicWeightAverage,
    Famo,
    FocusedGeometricMean,
    RevisedUncertainty,
    Scalarized,
)
from advmtl.balancing.torchjd_adapters import Aggregated, Conflictless, NashMtl, Remembering, Weighted
from advmtl.config.balance_methods import SCALARIZATIONS, read_options
from preprocessing.ground import InputError

Rows = Sequence[str]

# The extra of TorchJD that a method's solver comes with.
EXTRAS = {"cagrad": "cagrad", "fairgrad": "fairgrad", "nash_mtl": "fairgrad"} | dict.fromkeys(
    ("upgrad", "dualproj"), "quadprog-projector"
)


def build_balancer(method: str, options: Mapping[str, Any], tasks: Rows, rows: Rows) -> Balancer:
    """Make the balancer of a checked configuration.

    Args:
        method: key of `methods.METHODS`.
        options: as configured; what is not given has its default.
        tasks: what a loss-based method balances.
        rows: what a gradient-based method balances.

    Raises: InputError where the method's solver is not installed.
    """
    names = tasks if method in SCALARIZATIONS else rows
    try:
        return BUILDERS[method](names, read_options(method, options))
    except ImportError:
        extra = EXTRAS[method]
        raise InputError(f"balance.method: {method} needs a solver; pip install 'torchjd[{extra}]'") from None


def _vector(values: Mapping[str, float], rows: Rows, default: float = 1.0) -> Tensor:
    return torch.tensor([values.get(name, default) for name in rows], dtype=torch.float64)


def _uniform(options: Any, rows: Rows) -> Tensor | None:
    """Preference over the rows with sum 1, or None for TorchJD's default, which is that of equal ones."""
    if not options.preference:
        return None
    vector = _vector(options.preference, rows)
    return vector / vector.sum()


def _stch(rows: Rows, o: Any) -> Balancer:
    weights = _vector(o.weights, rows)
    reference = _vector(o.reference, rows, 0.0)
    return Scalarized(rows, scalarization.STCH(o.mu, weights / weights.sum(), reference))


def _pbi(rows: Rows, o: Any) -> Balancer:
    return Scalarized(rows, scalarization.PBI(o.theta, _vector(o.weights, rows), _vector(o.reference, rows, 0.0)))


def _cosmos(rows: Rows, o: Any) -> Balancer:
    return Scalarized(rows, scalarization.COSMOS(o.strength, _vector(o.weights, rows)))


def _sdmgrad(rows: Rows, o: Any) -> Balancer:
    weighting = aggregation.SDMGradWeighting(o.learning_rate, o.momentum, o.iterations, o.strength, _uniform(o, rows))
    return Remembering(rows, weighting, ("_w", "_state_key"))


def _cr_mogm(rows: Rows, o: Any) -> Balancer:
    base = {
        "mgda": aggregation.MGDAWeighting,
        "pcgrad": aggregation.PCGradWeighting,
        "imtl_g": aggregation.IMTLGWeighting,
        "aligned_mtl": aggregation.AlignedMTLWeighting,
    }[o.base]()
    return Remembering(rows, aggregation.CRMOGMWeighting(base, o.alpha), ("_lambda",))


def _graddrop(rows: Rows, o: Any) -> Balancer:
    leak = _vector(o.leak, rows, 0.0).float() if o.leak else None
    return Aggregated(rows, aggregation.GradDrop(leak=leak))


def _excess_mtl(rows: Rows, o: Any) -> Balancer:
    history = ("_weights", "_sq_grad_sum", "_initial_w", "_warmup_w_sum", "_n_steps", "_state_key")
    return Aggregated(rows, aggregation.ExcessMTL(o.robust_step_size, o.n_warmup_steps), history)


# Names as in `methods.METHODS`. "MoDo" and "SDMGrad" are meant for G = J₁J₂ᵀ of two batches; here both are the same
# batch, which costs nothing and biases the weights towards the batch.
BUILDERS: Mapping[str, Callable[[Rows, Any], Balancer]] = MappingProxyType(
    {
        "sum": lambda rows, o: Sum(rows),
        "mean": lambda rows, o: Scalarized(rows, scalarization.Mean()),
        "constant": lambda rows, o: Scalarized(rows, scalarization.Constant(_vector(o.weights, rows))),
        "random": lambda rows, o: Scalarized(rows, scalarization.Random()),
        "uncertainty": lambda rows, o: Scalarized(rows, scalarization.UW(len(rows))),
        "revised_uncertainty": lambda rows, o: RevisedUncertainty(rows),
        "imtl_l": lambda rows, o: Scalarized(rows, scalarization.IMTLL(len(rows))),
        "dwa": lambda rows, o: DynamicWeightAverage(rows, **o.model_dump()),
        "famo": lambda rows, o: Famo(rows, **o.model_dump()),
        "geometric_mean": lambda rows, o: Scalarized(rows, scalarization.GeometricMean()),
        "focused_geometric_mean": lambda rows, o: FocusedGeometricMean(rows, focus=o.focus),
        "stch": _stch,
        "cosmos": _cosmos,
        "pbi": _pbi,
        "dynamic_task_prioritisation": lambda rows, o: Prioritisation(rows, **o.model_dump()),
        "stop_and_go": lambda rows, o: StopAndGo(rows, **o.model_dump()),
        "mgda": lambda rows, o: Weighted(rows, aggregation.MGDAWeighting(o.epsilon, o.max_iters)),
        "min_norm": lambda rows, o: MinNorm(rows, **o.model_dump()),
        "central_direction": lambda rows, o: CentralDirection(rows),
        "tensioner": lambda rows, o: Tensioner(rows, **o.model_dump()),
        "pcgrad": lambda rows, o: Weighted(rows, aggregation.PCGradWeighting()),
        "cagrad": lambda rows, o: Weighted(rows, aggregation.CAGradWeighting(o.c)),
        "fairgrad": lambda rows, o: Weighted(
            rows, aggregation.FairGradWeighting(o.alpha, o.max_iters), degree=-o.alpha / (1 + o.alpha)
        ),
        "nash_mtl": lambda rows, o: NashMtl(rows, **o.model_dump()),
        "imtl_g": lambda rows, o: Weighted(rows, aggregation.IMTLGWeighting()),
        "aligned_mtl": lambda rows, o: Weighted(
            rows, aggregation.AlignedMTLWeighting(scale_mode=o.scale_mode), preference=_uniform(o, rows)
        ),
        "gradvac": lambda rows, o: Remembering(rows, aggregation.GradVacWeighting(o.beta), ("_phi_t", "_state_key")),
        "upgrad": lambda rows, o: Weighted(rows, aggregation.UPGradWeighting(), preference=_uniform(o, rows)),
        "dualproj": lambda rows, o: Weighted(rows, aggregation.DualProjWeighting(), preference=_uniform(o, rows)),
        "config": lambda rows, o: Conflictless(rows, _vector(o.preference, rows)),
        "pcd": lambda rows, o: Remembering(
            rows, aggregation.PCDWeighting(o.tau, o.beta), ("_sq_norm_ema", "_n_steps", "_state_key")
        ),
        "modo": lambda rows, o: Remembering(rows, aggregation.MoDoWeighting(o.gamma, o.rho), ("_lambda", "_state_key")),
        "sdmgrad": _sdmgrad,
        "cr_mogm": _cr_mogm,
        "gradnorm": lambda rows, o: GradNorm(rows, **o.model_dump()),
        "rotograd": lambda rows, o: RotoGrad(rows, **o.model_dump()),
        "graddrop": _graddrop,
        "trimmed_mean": lambda rows, o: Aggregated(rows, aggregation.TrimmedMean(o.trim_number)),
        "excess_mtl": _excess_mtl,
    }
)
