"""The table of balancing methods, and building a balancer from a method's name and options."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torchjd import aggregation, scalarization

from advmtl.balancing.balancer import Balancer, GramBalancer, JacobianBalancer, LossBalancer, Sum
from advmtl.balancing.directions import CentralDirection, MinNorm, Tensioner, min_norm_weights
from advmtl.balancing.exact import CaGrad, DualCone, FairGrad, ImtlG, NashMtl, Solved, impartial_weights
from advmtl.balancing.progress_based import GradNorm, Prioritisation, StopAndGo
from advmtl.balancing.rotograd import RotoGrad
from advmtl.balancing.scalarizations import (
    DynamicWeightAverage,
    Famo,
    FocusedGeometricMean,
    RevisedUncertainty,
    Scalarized,
)
from advmtl.balancing.torchjd_adapters import ConFIG, StatefulWeighting, TorchJDAggregator, Weighted
from advmtl.config import SCALARIZATIONS, read_options
from preprocessing.ground import InputError

Names = Sequence[str]
Builder = Callable[[Names, Any], Balancer]  # of what is balanced, and the method's options

# The extra of TorchJD that a method's solver comes with; pip up to 23.2.1 finds it in this spelling alone.
EXTRAS = dict.fromkeys(("upgrad", "dualproj"), "quadprog-projector")


def build_balancer(method: str, options: Mapping[str, Any], tasks: Names, objectives: Names) -> Balancer:
    """Make the balancer of a checked configuration.

    Args:
        method: key of `config.balance.METHODS`.
        options: as configured; what is not given has its default.
        tasks: what a loss-based method balances.
        objectives: what a gradient-based method balances.

    Raises: InputError where the method's solver is not installed.
    """
    names = tasks if method in SCALARIZATIONS else objectives
    try:
        return BALANCERS[method](names, read_options(method, options))
    except ImportError:
        extra = EXTRAS[method]
        raise InputError(f"balance.method: {method} needs a solver; pip install 'torchjd[{extra}]'") from None


def check_balancer(balancer: Balancer, tasks: Names, objectives: Names) -> None:
    """Raises: InputError naming a caller's balancer that is of no kind, or of other objectives than the run's."""
    who = f"balancer {type(balancer).__name__}"
    if not isinstance(balancer, Sum | LossBalancer | GramBalancer | JacobianBalancer):
        raise InputError(f"{who}: is none of Sum, LossBalancer, GramBalancer, JacobianBalancer; see advmtl.balancing")
    if isinstance(balancer, GramBalancer) and balancer.transforms_representation:
        raise InputError(f"{who}: transforms z, which only the configured rotograd can; set balance.method: rotograd")
    wanted = tasks if isinstance(balancer, LossBalancer) else objectives
    if not isinstance(balancer, Sum) and list(balancer.objectives) != list(wanted):
        raise InputError(f"{who}: is of {', '.join(balancer.objectives)}; this run balances {', '.join(wanted)}")


def _own(kind: Callable[..., Balancer]) -> Builder:
    """A class that takes its options by their names."""
    return lambda names, o: kind(names, **o.model_dump())


def _vector(values: Mapping[str, float], names: Names, default: float = 1.0) -> Tensor:
    return torch.tensor([values.get(name, default) for name in names], dtype=torch.float64)


def _uniform(options: Any, names: Names) -> Tensor | None:
    """Preference over the objectives with sum 1, or None for TorchJD's default, which is that of equal ones."""
    if not options.preference:
        return None
    vector = _vector(options.preference, names)
    return vector / vector.sum()


def _stch(names: Names, o: Any) -> Balancer:
    weights = _vector(o.weights, names)
    reference = _vector(o.reference, names, 0.0)
    return Scalarized(names, scalarization.STCH(o.mu, weights / weights.sum(), reference))


def _pbi(names: Names, o: Any) -> Balancer:
    return Scalarized(names, scalarization.PBI(o.theta, _vector(o.weights, names), _vector(o.reference, names, 0.0)))


def _cosmos(names: Names, o: Any) -> Balancer:
    return Scalarized(names, scalarization.COSMOS(o.strength, _vector(o.weights, names)))


def _sdmgrad(names: Names, o: Any) -> Balancer:
    weighting = aggregation.SDMGradWeighting(o.learning_rate, o.momentum, o.iterations, o.strength, _uniform(o, names))
    return StatefulWeighting(names, weighting, ("_w", "_state_key"))


def _cr_mogm(names: Names, o: Any) -> Balancer:
    bases: dict[str, Callable[[], aggregation.Weighting[Any]]] = {
        "mgda": lambda: Solved(min_norm_weights),
        "pcgrad": aggregation.PCGradWeighting,
        "imtl_g": lambda: Solved(impartial_weights),
        "aligned_mtl": aggregation.AlignedMTLWeighting,
    }
    return StatefulWeighting(names, aggregation.CRMOGMWeighting(bases[o.base](), o.alpha), ("_lambda",))


def _graddrop(names: Names, o: Any) -> Balancer:
    leak = _vector(o.leak, names, 0.0).float() if o.leak else None
    return TorchJDAggregator(names, aggregation.GradDrop(leak=leak))


def _excess_mtl(names: Names, o: Any) -> Balancer:
    history = ("_weights", "_sq_grad_sum", "_initial_w", "_warmup_w_sum", "_n_steps", "_state_key")
    aggregator = aggregation.ExcessMTL(o.robust_step_size, o.n_warmup_steps)
    return TorchJDAggregator(names, aggregator, history, begins=o.n_warmup_steps)


# Names as in `config.balance.METHODS`. "MoDo" and "SDMGrad" are meant for G = J₁J₂ᵀ of two batches; here both are the
# same batch, which costs nothing and biases the weights towards the batch.
BALANCERS: Mapping[str, Builder] = MappingProxyType(
    {
        "sum": _own(Sum),
        "mean": lambda names, o: Scalarized(names, scalarization.Mean()),
        "constant": lambda names, o: Scalarized(names, scalarization.Constant(_vector(o.weights, names))),
        "random": lambda names, o: Scalarized(names, scalarization.Random()),
        "uncertainty": lambda names, o: Scalarized(names, scalarization.UW(len(names))),
        "revised_uncertainty": _own(RevisedUncertainty),
        "imtl_l": lambda names, o: Scalarized(names, scalarization.IMTLL(len(names))),
        "dwa": _own(DynamicWeightAverage),
        "famo": _own(Famo),
        "geometric_mean": lambda names, o: Scalarized(names, scalarization.GeometricMean()),
        "focused_geometric_mean": _own(FocusedGeometricMean),
        "stch": _stch,
        "cosmos": _cosmos,
        "pbi": _pbi,
        "dynamic_task_prioritisation": _own(Prioritisation),
        "stop_and_go": _own(StopAndGo),
        "mgda": lambda names, o: MinNorm(names),
        "min_norm": _own(MinNorm),
        "central_direction": _own(CentralDirection),
        "tensioner": _own(Tensioner),
        "pcgrad": lambda names, o: Weighted(names, aggregation.PCGradWeighting()),
        "cagrad": _own(CaGrad),
        "fairgrad": _own(FairGrad),
        "nash_mtl": _own(NashMtl),
        "imtl_g": _own(ImtlG),
        "aligned_mtl": lambda names, o: Weighted(
            names, aggregation.AlignedMTLWeighting(scale_mode=o.scale_mode), preference=_uniform(o, names)
        ),
        "gradvac": lambda names, o: StatefulWeighting(
            names, aggregation.GradVacWeighting(o.beta), ("_phi_t", "_state_key")
        ),
        "upgrad": lambda names, o: DualCone(names, each=True, preference=_uniform(o, names)),
        "dualproj": lambda names, o: DualCone(names, each=False, preference=_uniform(o, names)),
        "config": lambda names, o: ConFIG(names, _vector(o.preference, names)),
        "pcd": lambda names, o: StatefulWeighting(
            names, aggregation.PCDWeighting(o.tau, o.beta), ("_sq_norm_ema", "_n_steps", "_state_key")
        ),
        "modo": lambda names, o: StatefulWeighting(
            names, aggregation.MoDoWeighting(o.gamma, o.rho), ("_lambda", "_state_key")
        ),
        "sdmgrad": _sdmgrad,
        "cr_mogm": _cr_mogm,
        "gradnorm": _own(GradNorm),
        "rotograd": _own(RotoGrad),
        "graddrop": _graddrop,
        "trimmed_mean": lambda names, o: TorchJDAggregator(names, aggregation.TrimmedMean(o.trim_number)),
        "excess_mtl": _excess_mtl,
    }
)
