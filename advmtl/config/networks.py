"""Configuration of encoder, generator and discriminators, and of their losses."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from advmtl.config.rare_classes import ClassWeights
from advmtl.config.typed import IMAGE, Strict


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
    """A discriminator is defined by what it `sees`. weight 0: it is trained, but the generator has no loss from it."""

    sees: Annotated[list[str], Field(min_length=1)]
    objective: str
    weight: NonNegativeFloat = 0.02
    channels: PositiveInt = 32
    layers: PositiveInt = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: PositiveFloat | None = None  # None: train.discriminator_learning_rate

    @property
    def tasks(self) -> list[str]:
        """The task maps among what it sees."""
        return [name for name in self.sees if name != IMAGE]
