"""Configuration of what is done for rare classes: weights, frames drawn by class, pixels pasted from other frames."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PlainValidator,
    PositiveFloat,
    model_validator,
)

from advmtl.config.typed import Fraction, Strict


class ClassWeightsConfig(Strict):
    """How much a class weighs in a task's losses. Written as one word, it is `from_counts`; as names with numbers,
    `classes`.

    Attributes:
        from_counts: from the share f of a class among the labelled pixels of the training frames, counted before the
            first step: inverse_square_root, 1 / √f (Mikolov et al. 2013; Mahajan et al. 2018), or enet,
            1 / ln(1.02 + f) (Paszke et al. 2016, section 5.2). Divided so that the mean over these pixels is 1.
        max_ratio: the largest weight from counts is at most so many times the smallest.
        classes: or weights by the names of classes, as they are; 1 for a class that is not named.
        losses: which losses use them; null: those of single pixels (cross_entropy, focal, ohem). dice and lovasz are
            means over classes, in which a rare one counts like any other; named here, their means are weighted.
    """

    from_counts: Literal["inverse_square_root", "enet"] | None = None
    max_ratio: Annotated[float, Field(ge=1)] = 10.0
    classes: dict[str, NonNegativeFloat] = {}
    losses: list[str] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "ClassWeightsConfig":
        if (self.from_counts is None) == (not self.classes):
            raise ValueError("give either from_counts (inverse_square_root or enet) or classes ({person: 4, rider: 4})")
        if self.classes and not any(self.classes.values()):
            raise ValueError("every named class weighs 0; name one that weighs something")
        return self


def _from_word(value: Any) -> Any:
    if isinstance(value, str):
        return {"from_counts": value}
    if not isinstance(value, dict) or value.keys() & ClassWeightsConfig.model_fields.keys():
        return value
    numbers = value and all(isinstance(one, int | float) for one in value.values())
    return {"classes": value} if numbers else value


ClassWeights = Annotated[ClassWeightsConfig, BeforeValidator(_from_word)]


class RareFramesConfig(Strict):
    """Frames drawn by class: rare-class sampling (Hoyer et al. 2022, DAFormer).

    Attributes:
        temperature: T of P(c) = exp((1 − f_c) / T) / Σ exp((1 − f) / T), f a class's share of the labelled pixels: the
            smaller, the more often the rarest; from 1 on all classes come about equally often, the largest among them.
        share: of a source's frames in an epoch, how many are drawn so: a class first, then a frame that shows it.
            The others come as without, so that no frame is left out for long.
        min_share: a frame shows a class from this share of its pixels on.
        window_tries: a frame drawn for a class is shown in the first of so many drawn windows in which the class has
            `min_share` of the pixels, or in that in which it has most; 0: in whatever window is drawn.
    """

    temperature: PositiveFloat = 0.01
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    min_share: Annotated[float, Field(gt=0, lt=1)] = 0.0005
    window_tries: NonNegativeInt = 10


def _which(value: Any) -> Any:
    if value in ("rare", "half"):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r}: write rare, half, or a list of classes, e.g. [person, rider, bicycle]")
    return value


class ClassMixConfig(Strict):
    """Pixels of chosen classes of another labelled frame pasted with their labels: ClassMix (Olsson et al. 2021).

    Where both frames have a distance the nearer one is shown. The other frame is cut and mirrored by draws of its own.

    Attributes:
        probability: of a labelled frame to be mixed.
        classes: which are pasted: rare, those with less than `rare_below` of the labelled pixels; half of the other
            frame's classes, drawn, as published; or a list of names. Of rare or named ones one is drawn each time, then
            a frame that shows it, and all of them in it are pasted: a rider comes with the bicycle.
        rare_below: share of the labelled pixels of the training frames.
    """

    probability: Fraction = 0.5
    classes: Annotated[Literal["rare", "half"] | list[str], PlainValidator(_which)] = "rare"
    rare_below: Annotated[float, Field(gt=0, le=1)] = 0.01


def check_class_weights(
    key: str, settings: ClassWeightsConfig, names: Collection[str], able: Mapping[str, str], used: Collection[str]
) -> None:
    """Check the weights of a task against what there is.

    Args:
        names: the task's classes.
        able: how each of its losses takes class weights, see `tasks.Loss`.
        used: its losses with a weight.
    Raises: ValueError, one line that goes on from `key`.
    """
    if not names:
        raise ValueError(f"{key}: this task has no classes to weigh")
    check_class_names(f"{key}.classes", settings.classes, names)
    can = [loss for loss, how in able.items() if how != "never"]
    for loss in settings.losses or ():
        if loss not in can:
            raise ValueError(f"{key}.losses: {loss} takes no class weights; {', '.join(can) or 'none'} can")
    weighed = [loss for loss in used if weighs(settings, loss, able[loss])]
    if not weighed:
        raise ValueError(
            f"{key}: no loss would use them ({', '.join(used)} configured); name them in losses; {', '.join(can)} can"
        )


def weighs(settings: ClassWeightsConfig | None, loss: str, able: str) -> bool:
    """Whether a loss that takes class weights in this way gets them."""
    if settings is None or able == "never":
        return False
    return able == "always" if settings.losses is None else loss in settings.losses


def check_class_names(key: str, given: Collection[str], names: Collection[str]) -> None:
    """Raises: ValueError, one line that goes on from `key`, for a class that there is not."""
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ValueError(f"{key}: no class {name!r}; {hint}there are {', '.join(names)}")


def check_shown(
    rare_frames: RareFramesConfig | None, class_mix: ClassMixConfig | None, names: Sequence[str], tasks: Collection[str]
) -> None:
    """Check what is drawn by class; `names`: of the classes that are learnt. Raises: ValueError, one line."""
    for key, given in (("rare_frames", rare_frames), ("class_mix", class_mix)):
        if given is not None and not names:
            raise ValueError(
                f"data.{key}: needs a task that learns classes; the tasks are {', '.join(tasks)}; set data.{key}=null"
            )
    if class_mix is not None and isinstance(class_mix.classes, list):
        check_class_names("data.class_mix.classes", class_mix.classes, names)
