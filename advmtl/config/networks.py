"""Configuration of encoder, generator and discriminators, and of their losses."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from advmtl.config.typed import IMAGE, Strict

if TYPE_CHECKING:
    from advmtl.adversarial_objectives import AdversarialObjective


class EncoderConfig(Strict):
    """The encoder: name of `advmtl.networks.encoders.ENCODERS`, or timm's of a network with maps at strides 4 to 32.

    weights: `imagenet` (torchvision's download, width 1; timm's own for a network of timm), a file, or null for random.
    """

    name: Annotated[str, Field(min_length=1)] = "mobilenet_v3_small"
    weights: str | None = "imagenet"
    width: PositiveFloat = 1.0
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class GeneratorConfig(Strict):
    """Shared generator: width of z; stages of its pooling blocks, one number or one per level (finest first).

    A stage at stride 4 costs 64 times one at stride 32 and sees an eighth as far, so the default has few of them there
    (docs/results.md compares it with four at every level).
    """

    channels: PositiveInt = 64
    crp_stages: NonNegativeInt | Annotated[list[NonNegativeInt], Field(min_length=4, max_length=4)] = [1, 2, 4, 4]


class TaskConfig(Strict):
    """Weights of a task's losses (0 or absent = not used), their options, and the weight of the task as a whole.

    What options a loss has stands beside it, in its task; those that are not given keep the loss's own defaults.
    """

    losses: dict[str, NonNegativeFloat]
    options: dict[str, dict[str, Any]] = {}
    weight: PositiveFloat = 1.0

    def options_of(self, loss: str) -> dict[str, Any]:
        """Keyword arguments of one loss."""
        return dict(self.options.get(loss, {}))


class PerceptualConfig(Strict):
    """Frozen network of the perceptual loss. weights: null = torchvision's download, or a file."""

    network: Literal["vgg16", "squeezenet", "lpips"] = "vgg16"
    weights: str | None = None
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0


class DiscriminatorConfig(Strict):
    """A discriminator is defined by what it `sees`. weight 0: it is trained, but the generator has no loss from it.

    In a `Config`, a weight and a learning rate that are not given are those of the objective.
    """

    sees: Annotated[list[str], Field(min_length=1)]
    objective: str
    weight: NonNegativeFloat = 0.15
    channels: PositiveInt = 32
    layers: PositiveInt = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: PositiveFloat | None = None  # None: train.discriminator_learning_rate

    @property
    def tasks(self) -> list[str]:
        """The task maps among what it sees."""
        return [name for name in self.sees if name != IMAGE]


def with_objectives_own(values: Any, objectives: Callable[[], Mapping[str, "AdversarialObjective"]]) -> Any:
    """Plain values of a configuration with each discriminator's weight and learning rate where it has none: those of
    its objective. A learning rate of `train.discriminator_learning_rate` that is given goes before the objective's.

    What is not written as it must be is left for the check to name. `objectives`: the table, which loads torch.
    """
    critics = values.get("discriminators") if isinstance(values, Mapping) else None
    if not isinstance(critics, Mapping) or not critics:
        return values
    train, table = values.get("train"), objectives()
    given = isinstance(train, Mapping) and "discriminator_learning_rate" in train
    return {**values, "discriminators": {name: _filled(one, table, given) for name, one in critics.items()}}


def _filled(critic: Any, table: Mapping[str, "AdversarialObjective"], rate_given: bool) -> Any:
    objective = critic.get("objective") if isinstance(critic, Mapping) else None
    if not isinstance(objective, str) or objective not in table:
        return critic
    own = table[objective]
    return {"weight": own.weight, **({} if rate_given else {"learning_rate": own.learning_rate}), **critic}
