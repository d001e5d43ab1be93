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

from advmtl.config.rare_classes import ClassWeights
from advmtl.config.typed import IMAGE, Strict

if TYPE_CHECKING:
    from advmtl.adversarial_objectives import AdversarialObjective


class InitConfig(Strict):
    """Weights of another run that a run begins with, in the place of new ones; nothing else of that run is taken.

    Attributes:
        weights: its run folder (then its best checkpoint), a checkpoint, or a file of tensors by name.
        part: "whole": all that fits, "encoder": its encoder alone.
    """

    weights: Annotated[str, Field(min_length=1)]
    part: Literal["whole", "encoder"] = "whole"


class EncoderConfig(Strict):
    """The encoder: name of `advmtl.networks.encoders.ENCODERS`, or timm's of a network with maps at strides 4 to 32.

    weights: `imagenet` (torchvision's download, width 1; timm's own for a network of timm), a file, or null for random.
        A run folder or a checkpoint stands for the encoder in it.
    """

    name: Annotated[str, Field(min_length=1)] = "mobilenet_v3_small"
    weights: str | None = "imagenet"
    width: PositiveFloat = 1.0
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class GeneratorConfig(Strict):
    """Shared generator: its width and the stages of its pooling blocks, one number or one per level (finest first).

    The shared representation z has the finest level's width. There, at stride 4, half of the deployed network's time is
    spent: a level of half the width takes a third of it (docs/deployment_speed.md).

    A stage at stride 4 costs 64 times one at stride 32 and sees an eighth as far, so the default has few of them there
    (docs/results.md compares it with four at every level).
    """

    channels: PositiveInt | Annotated[list[PositiveInt], Field(min_length=4, max_length=4)] = 64
    crp_stages: NonNegativeInt | Annotated[list[NonNegativeInt], Field(min_length=4, max_length=4)] = [1, 2, 4, 4]

    @property
    def z_channels(self) -> int:
        """Width of the shared representation."""
        return self.channels if isinstance(self.channels, int) else self.channels[0]


class TaskConfig(Strict):
    """Weights of a task's losses (0 or absent = not used), their options, and the weight of the task as a whole.

    What options a loss has stands beside it, in its task; those that are not given keep the loss's own defaults.
    `class_weights`: of a task that learns classes.

    loss_stride: pointwise losses see every so many-th pixel in both directions, on a lattice that is another one at
        each step until every pixel has been seen.
    """

    losses: dict[str, NonNegativeFloat]
    options: dict[str, dict[str, Any]] = {}
    weight: PositiveFloat = 1.0
    class_weights: ClassWeights | None = None
    loss_stride: Literal[1, 2, 4] = 1

    def options_of(self, loss: str) -> dict[str, Any]:
        """Keyword arguments of one loss."""
        return dict(self.options.get(loss, {}))


class PerceptualConfig(Strict):
    """Frozen network of the perceptual loss. weights: null = torchvision's download, or a file."""

    network: Literal["vgg16", "squeezenet", "lpips"] = "vgg16"
    weights: str | None = None
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0


class DiscriminatorConfig(Strict):
    """A discriminator is defined by what it `sees`.

    Attributes:
        weight: of the objective's term in the generator's loss; 0: it is trained and not listened to.
        channels, layers: of the network; a score sees 2^(layers + 2) - 1 px of the maps as they are shown.
        label_smoothing: of true class maps, where `maps` is soft.
        learning_rate: None: train.discriminator_learning_rate.
        scale: maps are shown at 1/scale of their size, as means over squares.
        maps: how sure class maps are: "soft", smoothed one-hot labels against softmax; "confident", labels as sure as
            the prediction is at each pixel; "sharp", one-hot labels against the prediction's arg max, through which
            gradients go as through softmax.
        penalty: weight of the gradient penalty; None: that of the objective.
        penalty_every: it is taken every so many steps, with so many times the weight (Karras et al. 2020).
        feature_matching: weight of the L1 distance of hidden layers between real and generated maps in the generator's
            loss (Salimans et al. 2016).

        In a `Config`, a weight and a learning rate that are not given are those of the objective.
    """

    sees: Annotated[list[str], Field(min_length=1)]
    objective: str
    weight: NonNegativeFloat = 0.15
    channels: PositiveInt = 32
    layers: PositiveInt = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: PositiveFloat | None = None
    scale: PositiveInt = 1
    maps: Literal["soft", "confident", "sharp"] = "soft"
    penalty: NonNegativeFloat | None = None
    penalty_every: PositiveInt = 1
    feature_matching: NonNegativeFloat = 0.0

    @property
    def tasks(self) -> list[str]:
        """The task maps among what it sees."""
        return [name for name in self.sees if name != IMAGE]

    @property
    def heard(self) -> bool:
        """Whether the generator has a loss from it."""
        return self.weight > 0 or self.feature_matching > 0


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
