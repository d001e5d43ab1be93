"""Networks, and what they learn from."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from advmtl.config.typed import Fraction, ObjectiveName, Seen, Strict


class EncoderConfig(Strict):
    """MobileNetV3-Small. weights: `imagenet` (torchvision's download, width 1), a file, or null for random."""

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


class LossOptions(Strict):
    """Options of one loss; what is not given keeps the default of `advmtl/tasks/losses.py`."""

    space: Literal["log", "metric"] | None = None
    lam: Fraction | None = None
    delta: PositiveFloat | None = None
    epsilon: PositiveFloat | None = None


class TaskConfig(Strict):
    """Weights of a task's losses (0 or absent = not used), their options, and the weight of the task as a whole."""

    losses: dict[str, NonNegativeFloat]
    options: dict[str, LossOptions] = {}
    weight: PositiveFloat = 1.0

    def options_of(self, loss: str) -> dict[str, Any]:
        """Keyword arguments of one loss."""
        return self.options[loss].model_dump(exclude_none=True) if loss in self.options else {}


class PerceptualConfig(Strict):
    """Frozen network of the perceptual loss. weights: null = torchvision's download, or a file."""

    network: Literal["vgg16", "squeezenet", "lpips"] = "vgg16"
    weights: str | None = None
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0


class DiscriminatorConfig(Strict):
    """A discriminator is what it sees. weight 0: it learns, but the generator does not listen to it."""

    sees: Annotated[list[Seen], Field(min_length=1)]
    objective: ObjectiveName
    weight: NonNegativeFloat = 0.02
    channels: PositiveInt = 32
    layers: PositiveInt = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: PositiveFloat | None = None  # None: train.discriminator_learning_rate

    @property
    def tasks(self) -> list[str]:
        """The task maps among what it sees."""
        return [name for name in self.sees if name != "image"]
