"""What may be set under `balance.options`, method by method. Imports no torch."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

Fraction = Annotated[float, Field(ge=0, le=1)]
PerRow = dict[str, PositiveFloat]  # by row, a task's name or adversarial/<critic>; rows left out have 1


class Options(BaseModel):
    """A method without options."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Weights(Options):
    """Fixed weights of the losses."""

    weights: PerRow


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
    weights: PerRow = {}
    reference: dict[str, float] = {}


class Cosmos(Options):
    """strength: of the cosine term, the paper's λ."""

    strength: NonNegativeFloat
    weights: PerRow


class Pbi(Options):
    """theta: of the distance from the preferred ray."""

    theta: NonNegativeFloat
    weights: PerRow
    reference: dict[str, float] = {}


class FocusedGeometric(Options):
    """focus: tasks that count twice."""

    focus: Annotated[list[str], Field(min_length=1)]


class Prioritisation(Options):
    """gamma: how much more hard tasks count; discount: share of the newest figure."""

    gamma: NonNegativeFloat = 1.0
    discount: Annotated[float, Field(gt=0, le=1)] = 0.5


class StopAndGo(Options):
    """patience [validations]; stop, go: relative changes."""

    patience: PositiveInt = 2
    stop: NonNegativeFloat = 0.001
    go: NonNegativeFloat = 0.005


class Mgda(Options):
    """Of the Frank-Wolfe solver."""

    epsilon: PositiveFloat = 1e-3
    max_iters: PositiveInt = 100


class MinNorm(Options):
    """normalise: what gradients are divided by for the weights. floor: the least weight of a row."""

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
    """c: radius of the ball around the mean gradient, relative to its norm; 0.4 is the paper's."""

    c: NonNegativeFloat = 0.4


class FairGrad(Options):
    """alpha: fairness; 1 is proportional, as in Nash-MTL."""

    alpha: NonNegativeFloat
    max_iters: PositiveInt | None = None


class NashMtl(Options):
    """max_norm: bound of the direction's length, 0 for none."""

    max_norm: NonNegativeFloat = 1.0


class AlignedMtl(Options):
    """scale_mode: which eigenvalue all are brought to."""

    preference: PerRow = {}
    scale_mode: Literal["min", "median", "rmse"] = "min"


class GradVac(Options):
    """beta: share of the newest cosine in its target."""

    beta: Fraction = 0.5


class Preference(Options):
    """preference: weight per row before projection."""

    preference: PerRow = {}


class Pcd(Options):
    """The first task is the primary one; tau: progress kept for each other."""

    tau: Fraction = 0.02
    beta: Annotated[float, Field(ge=0, lt=1)] = 0.999


class MoDo(Options):
    """gamma: step on the weights; rho: their regularisation."""

    gamma: PositiveFloat = 0.1
    rho: NonNegativeFloat = 0.1


class SdmGrad(Options):
    """strength: pull towards the preference, the paper's λ."""

    learning_rate: PositiveFloat = 10.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    iterations: PositiveInt = 20
    strength: NonNegativeFloat = 0.3
    preference: PerRow = {}


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

    angle: PositiveFloat = 0.01


class GradDrop(Options):
    """leak: share of a row that is never dropped."""

    leak: dict[str, Fraction] = {}


class TrimmedMean(Options):
    """trim_number: values left out at either end."""

    trim_number: NonNegativeInt


class ExcessMtl(Options):
    """Step of the weights; steps before they move."""

    robust_step_size: PositiveFloat = 1.0
    n_warmup_steps: NonNegativeInt = 0
