"""The section `balance`: the methods, the options of each, and the check of what is asked for. Imports no torch."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from advmtl.config.typed import Fraction, Strict


class BalanceConfig(Strict):
    """How objectives (one per task, and a multi-task discriminator's own) become one update.

    A discriminator of one task always adds to its task's objective. One of several tasks is folded into theirs in equal
    parts, or has an objective of its own: the same update under a plain sum, but its gradient is short on purpose, and
    methods that favour short gradients (MGDA, Nash-MTL) then train for the discriminator. Scalarizations weigh the
    tasks by their supervised losses alone, since a discriminator's score has no zero point: it shares its task's
    weight, and an objective of its own has weight 1.

    Attributes:
        method: key of `METHODS`.
        at: where gradient-based methods compare gradients: at the shared representation z, at about the price of a sum,
            or at all shared parameters, one backward through the encoder per objective.
        heads: under gradient-based methods a head learns from its own loss unweighted, as in Sener & Koltun 2018,
            Algorithm 2, and Nakamura 2023, Algorithm 1 ("own"), or weighted like all else ("weighted").
        options: of the method.
        multi_task_row: see above.
    """

    method: str = "sum"
    at: Literal["representation", "parameters"] = "representation"
    heads: Literal["own", "weighted"] = "own"
    options: dict[str, Any] = {}
    multi_task_row: Literal["folded", "own"] = "folded"


PerObjective = dict[str, PositiveFloat]  # by a task's name or adversarial/<discriminator>; 1 where left out


class Options(BaseModel):
    """A method without options.

    transforms_representation: whether its network has a transform of z for each task.
    """

    transforms_representation: ClassVar[bool] = False
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Weights(Options):
    """Fixed weights of the losses."""

    weights: PerObjective


class Dwa(Options):
    """temperature: of the softmax over the rates of descent."""

    temperature: PositiveFloat = 2.0


class Famo(Options):
    """Of the logits."""

    learning_rate: PositiveFloat = 0.025
    weight_decay: NonNegativeFloat = 1e-3


class Stch(Options):
    """mu: smoothing; reference: the ideal losses."""

    mu: PositiveFloat
    weights: PerObjective = {}
    reference: dict[str, float] = {}


class Cosmos(Options):
    """strength: of the cosine term, λ of Ruchte & Grabocka 2021."""

    strength: NonNegativeFloat
    weights: PerObjective


class Pbi(Options):
    """theta: of the distance from the preferred ray."""

    theta: NonNegativeFloat
    weights: PerObjective
    reference: dict[str, float] = {}


class FocusedGeometric(Options):
    """focus: tasks that count twice."""

    focus: Annotated[list[str], Field(min_length=1)]


class Prioritisation(Options):
    """gamma: how much more hard tasks count; discount: share of the newest metric."""

    gamma: NonNegativeFloat = 1.0
    discount: Annotated[float, Field(gt=0, le=1)] = 0.5


class StopAndGo(Options):
    """patience [validations]; stop, go: relative changes."""

    patience: PositiveInt = 2
    stop: NonNegativeFloat = 0.001
    go: NonNegativeFloat = 0.005


class Mgda(Options):
    """The solver is exact: `epsilon` and `max_iters`, of Frank-Wolfe, are read and change nothing."""

    epsilon: PositiveFloat = 1e-3
    max_iters: PositiveInt = 100


class MinNorm(Options):
    """normalise: what gradients are divided by for the weights. floor: the least weight of an objective."""

    normalise: Literal["none", "norm", "loss", "loss_norm"] = "none"
    floor: Annotated[float, Field(ge=0, le=0.1)] = 0.0


class Tensioner(Options):
    """See `directions.Tensioner`."""

    base: Literal["central_direction", "min_norm"] = "central_direction"
    period: PositiveInt = 10
    alpha: Fraction = 0.3
    offset: bool = True
    pull: Literal["unit", "relative"] = "unit"


class CaGrad(Options):
    """c: radius of the ball around the mean gradient, relative to its norm; 0.4 as in Liu et al. 2021."""

    c: NonNegativeFloat = 0.4


class FairGrad(Options):
    """alpha: fairness; 1 is proportional, as in Nash-MTL. max_iters: of the solver."""

    alpha: NonNegativeFloat
    max_iters: PositiveInt | None = None


class NashMtl(Options):
    """max_norm: bound of the direction's length, 0 for none. Without it the length is √k of k objectives, so 1 binds in
    every step."""

    max_norm: NonNegativeFloat = 1.0


class AlignedMtl(Options):
    """scale_mode: which eigenvalue all are brought to."""

    preference: PerObjective = {}
    scale_mode: Literal["min", "median", "rmse"] = "min"


class GradVac(Options):
    """beta: share of the newest cosine in its target."""

    beta: Fraction = 0.5


class Preference(Options):
    """preference: weight per objective before projection."""

    preference: PerObjective = {}


class Pcd(Options):
    """The first task is the primary one; tau: progress kept for each other."""

    tau: Fraction = 0.02
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999


class MoDo(Options):
    """gamma: step on the weights; rho: their regularisation."""

    gamma: PositiveFloat = 0.1
    rho: NonNegativeFloat = 0.1


class SdmGrad(Options):
    """strength: pull towards the preference, λ of Xiao et al. 2023."""

    learning_rate: PositiveFloat = 10.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    iterations: PositiveInt = 20
    strength: NonNegativeFloat = 0.3
    preference: PerObjective = {}


class CrMogm(Options):
    """Moving average of another method's weights; alpha: share of the old ones."""

    base: Literal["mgda", "pcgrad", "imtl_g", "aligned_mtl"] = "mgda"
    alpha: Fraction = 0.9


class GradNorm(Options):
    """alpha: strength of the asymmetry."""

    alpha: NonNegativeFloat = 1.5
    learning_rate: PositiveFloat = 0.025


class RotoGrad(Options):
    """angle: of a rotation per step [rad]."""

    transforms_representation: ClassVar[bool] = True
    angle: PositiveFloat = 0.01


class GradDrop(Options):
    """leak: share of an objective that is never dropped."""

    leak: dict[str, Fraction] = {}


class TrimmedMean(Options):
    """trim_number: values left out at either end."""

    trim_number: NonNegativeInt


class ExcessMtl(Options):
    """Step of the weights; steps before they move."""

    robust_step_size: PositiveFloat = 1.0
    n_warmup_steps: NonNegativeInt = 0


# Losses to one scalar. They weigh the tasks' losses and leave a discriminator's own objective alone; what they name are
# tasks.
SCALARIZATIONS: dict[str, type[Options]] = {
    "mean": Options,
    "constant": Weights,
    "random": Options,
    "uncertainty": Options,
    "revised_uncertainty": Options,
    "imtl_l": Options,
    "dwa": Dwa,
    "famo": Famo,
    "geometric_mean": Options,
    "focused_geometric_mean": FocusedGeometric,
    "stch": Stch,
    "cosmos": Cosmos,
    "pbi": Pbi,
    "dynamic_task_prioritisation": Prioritisation,
    "stop_and_go": StopAndGo,
}
# Gradients to one gradient; what they name are objectives.
GRADIENT_METHODS: dict[str, type[Options]] = {
    # By the Gram matrix of the objectives' gradients.
    "mgda": Mgda,
    "min_norm": MinNorm,
    "central_direction": Options,
    "tensioner": Tensioner,
    "pcgrad": Options,
    "cagrad": CaGrad,
    "fairgrad": FairGrad,
    "nash_mtl": NashMtl,
    "imtl_g": Options,
    "aligned_mtl": AlignedMtl,
    "gradvac": GradVac,
    "upgrad": Preference,
    "dualproj": Preference,
    "config": Preference,
    "pcd": Pcd,
    "modo": MoDo,
    "sdmgrad": SdmGrad,
    "cr_mogm": CrMogm,
    "gradnorm": GradNorm,
    "rotograd": RotoGrad,
    # By the gradients themselves.
    "graddrop": GradDrop,
    "trimmed_mean": TrimmedMean,
    "excess_mtl": ExcessMtl,
}
METHODS: Mapping[str, type[Options]] = MappingProxyType({"sum": Options, **SCALARIZATIONS, **GRADIENT_METHODS})


def check_balance(
    method: str,
    given: Mapping[str, Any],
    at: Literal["representation", "parameters"],
    tasks: Sequence[str],
    objectives: Sequence[str],
) -> None:
    """Refuse a `balance` section that cannot be built, naming the key.

    Args:
        method: key of `METHODS`.
        given: its options as configured.
        at: where gradients are taken.
        tasks: the configuration's tasks.
        objectives: what a gradient-based method balances: the tasks, and those of multi-task discriminators.

    Raises: ValueError, one line.
    """
    if method not in METHODS:
        raise ValueError(f"balance.method: no {method!r}; there are {', '.join(METHODS)}")
    settings = read_options(method, given)
    known = tasks if method in SCALARIZATIONS else objectives
    for key, value in settings.model_dump().items():
        unknown = [name for name in value if name not in known] if isinstance(value, dict | list) else []
        if unknown:
            raise ValueError(
                f"balance.options.{key}: {unknown[0]} is no objective here; the objectives are {', '.join(known)}"
            )
    if method == "excess_mtl" and at != "parameters":
        raise ValueError("balance.at: excess_mtl keeps a square per parameter; write parameters")
    if isinstance(settings, TrimmedMean) and len(objectives) <= 2 * settings.trim_number:
        raise ValueError(
            f"balance.options.trim_number: {settings.trim_number} leaves nothing of {len(objectives)} objectives"
        )


def read_options(method: str, given: Mapping[str, Any]) -> Options:
    """The options of `method`, defaults filled in. Raises: ValueError naming balance.KEY."""
    model = METHODS[method]
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    offered = ", ".join(model.model_fields) or "no options"
    if first["type"] == "extra_forbidden":
        message = f"unknown; {method} has {offered}"
    elif first["type"] == "missing":
        message = f"is required; {method} has {offered}"
    else:
        message = first["msg"].removeprefix("Value error, ")
    raise ValueError(f"balance.options.{key}: {message}")
