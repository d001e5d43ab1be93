"""What is asked of a generated set beyond its seed; nothing asked gives the streets of always."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from preprocessing.ground import InputError
from preprocessing.scenes.mounting import AS_CITYSCAPES, Mounting

LIGHTS = ("day", "dusk", "night")
STREETS = ("city", "suburb", "avenue", "motorway", "rural", "industrial", "plaza")
SEASONS = ("usual", "summer", "autumn", "winter")
EVENTS = ("stepping-out", "fallen-load", "animals", "roadworks", "barriers")
DENSE = (
    "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "person", "rider", "car", "truck", "bus",
    "train", "motorcycle", "bicycle",
)  # fmt: skip
"""Classes of things that can be thinned out or added; the others are surfaces."""
_MOST = 20.0

Weights = tuple[tuple[str, float], ...]


def _among(option: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"{option}: {name!r} is none of {', '.join(known)}")


@dataclass(frozen=True)
class Asked:
    """Light, weather, season, streets and what stands in them.

    Attributes:
        mounting: Lens and place of the camera.
        light: One of LIGHTS.
        wet: Whether the ground is wet and mirrors.
        streets: Types of STREETS with weights; () = city, suburb and avenue as 50 : 28 : 22.
        season: Of SEASONS with weights, drawn scene by scene; () = usual, summer with some autumn.
        events: Which of EVENTS may happen; each scene shows one of them, in turn.
        density: Class names of DENSE with factors over what a set has otherwise.

    Raises: InputError naming the value that is none of these.
    """

    mounting: Mounting = AS_CITYSCAPES
    light: str = "day"
    wet: bool = False
    streets: Weights = ()
    events: tuple[str, ...] = ()
    density: Weights = ()
    season: Weights = ()

    def __post_init__(self) -> None:
        _among("light", (self.light,), LIGHTS)
        _among("streets", (name for name, _ in self.streets), STREETS)
        _among("season", (name for name, _ in self.season), SEASONS)
        _among("events", self.events, EVENTS)
        if twice := [name for name in self.events if self.events.count(name) > 1]:
            raise InputError(f"events: {twice[0]} is named twice; scenes show them in turn, all equally often")
        _among("density", (name for name, _ in self.density), DENSE)
        for option, values in (("streets", self.streets), ("season", self.season), ("density", self.density)):
            for name, value in values:
                if not (math.isfinite(value) and 0 <= value <= _MOST):
                    raise InputError(f"{option}: {name}={value:g} must be within 0..{_MOST:g}")
        for option, one, values in (("streets", "street", self.streets), ("season", "season", self.season)):
            if values and not sum(weight for _, weight in values):
                raise InputError(f"{option}: all weights are 0; give one {one} some")
        if all(name == "usual" for name, weight in self.season if weight):
            object.__setattr__(self, "season", ())  # what sets are anyhow: recorded as if not asked

    def given(self) -> dict[str, object]:
        """What is asked for, as synth.json holds it."""
        own = {
            "light": self.light if self.light != "day" else None,
            "wet": self.wet or None,
            "streets": dict(self.streets) or None,
            "season": dict(self.season) or None,
            "events": list(self.events) or None,
            "density": dict(self.density) or None,
        }
        return {**self.mounting.given(), **{name: value for name, value in own.items() if value is not None}}


AS_EVER = Asked()


def weights_of(text: str, option: str, *, bare: float | None = None) -> Weights:
    """Read "person=2,rider=3"; a name alone counts `bare`. Raises: InputError naming the piece that is neither."""
    pairs = []
    for piece in text.split(","):
        name, equals, number = piece.partition("=")
        try:
            value = float(number) if equals else bare
        except ValueError:
            value = None
        if value is None or not name.strip():
            raise InputError(f"{option}: {piece!r}; expected NAME=NUMBER, with commas between them")
        pairs.append((name.strip().replace("_", " "), value))
    if len({name for name, _ in pairs}) < len(pairs):
        raise InputError(f"{option}: {text!r} names one of them twice")
    return tuple(pairs)
