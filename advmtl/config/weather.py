"""Configuration of weather in training: how often, which kinds, between which numbers."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from advmtl.config.steps import SomeStepsOrNone
from advmtl.config.typed import Fraction, Strict
from preprocessing.weather import KINDS, Kind, check_kind

_USUAL = ("fog", "rain", "snow", "dusk", "night", "drops", "dirt", "motion")

Ranges = dict[str, dict[str, tuple[float, float]]]


class WeatherConfig(Strict):
    """Weather, light and faults of the camera on training pictures, one kind a picture; labels stay as they are.

    Attributes:
        chance: of a picture to be changed.
        kinds: which, all equally often, each with the ranges of its parameters: a number or [least, most], drawn evenly
            in its logarithm; what is not given has the kind's usual range. A list of names is the same without ranges.
        hidden: depth where less than 5 % of the street's light comes through: "keep", or "ignore", unknown there.
        guess_depth: a frame without depth is taken for a flat street, where its classes show a ground; else kinds that
            need depth are not drawn for it.
        until: the step, or share of the training, after which pictures are clear, to the nearest epoch; None: to the
            end. The last steps are then for what is seen most of the time.
    """

    chance: Fraction = 0.5
    kinds: Ranges = {name: {} for name in _USUAL}
    hidden: Literal["keep", "ignore"] = "keep"
    guess_depth: bool = False
    until: SomeStepsOrNone = None

    @field_validator("kinds", mode="before")
    @classmethod
    def _known(cls, told: Any, info: ValidationInfo) -> Any:
        table: Mapping[str, Kind] = (info.context or {}).get("weather", KINDS)
        if isinstance(told, list) and all(isinstance(name, str) for name in told):
            told = {name: {} for name in told}
        if not isinstance(told, dict) or not told:
            raise ValueError("write kinds with ranges, {fog: {visibility_m: [30, 300]}}, or a list, [fog, night]")
        for name, given in told.items():
            if given is not None and not isinstance(given, dict):
                raise ValueError(f"{name}: write its parameters as a mapping, {{}} for the usual ranges")
        return {name: check_kind(str(name), given or {}, table) for name, given in told.items()}
