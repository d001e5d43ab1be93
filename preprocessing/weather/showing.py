"""Kinds as they are written, checked; and a scene shown under some of them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import InputError
from preprocessing.weather.kinds import KINDS, Kind
from preprocessing.weather.light import UInt8, encoded, linear
from preprocessing.weather.scene import Bool, Scene

HIDDEN_BELOW = 0.05
"""Of light that comes through: a pixel with less does not show its street any more."""


@dataclass(frozen=True)
class Weathered:
    """A picture now, and the share of light [H,W] that comes through from the street to it (None: all of it)."""

    image: UInt8
    share: NDArray[np.float32] | None

    @property
    def hidden(self) -> Bool:
        """What does not show its street any more [H,W]."""
        return np.zeros(self.image.shape[:2], np.bool_) if self.share is None else self.share < HIDDEN_BELOW


def weathered(
    scene: Scene,
    kinds: Sequence[tuple[str, Mapping[str, float]]],
    rng: np.random.Generator,
    table: Mapping[str, Kind] = KINDS,
) -> Weathered:
    """The scene's picture under these kinds with all their parameters, by their stages, in linear light.

    The sky is never counted as hidden: it has nothing to hide. Raises: InputError naming a kind that needs depth where
    the frame has none.
    """
    light, through = linear(scene.image), None
    for name, given in sorted(kinds, key=lambda one: table[one[0]].stage):
        if lack := lacking(scene, name, table):
            raise InputError(lack)
        light, share = table[name].effect(scene, light, given, rng)
        if share is not None:
            through = share if through is None else through * share
    if through is not None:
        through = np.where(scene.sky, 1, through).astype(np.float32)
    return Weathered(encoded(light), through)


def lacking(scene: Scene, name: str, table: Mapping[str, Kind] = KINDS) -> str:
    """Why a frame cannot be shown under this kind; "" where it can."""
    if not table[name].needs_depth or scene.distance_m is not None:
        return ""
    how = "no class of it is a road or other ground" if scene.guess else "a flat street is assumed with guess_depth"
    return f"weather {name}: needs depth, and the frame has none; {how}"


def check_kind(
    name: str, given: Mapping[str, Any], table: Mapping[str, Kind] = KINDS
) -> dict[str, tuple[float, float]]:
    """Ranges of a kind's parameters as they are written, a number or [least, most]. Raises: ValueError, one line."""
    if name not in table:
        close = difflib.get_close_matches(name, table, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(table)}"
        raise ValueError(f"no kind of weather {name!r}; {hint}")
    found = {}
    for key, value in given.items():
        known = table[name].parameters
        if key not in known:
            raise ValueError(f"{name}.{key}: no such parameter; {name} has {', '.join(known)}")
        pair = [value, value] if isinstance(value, int | float) else value
        numbers = (
            isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(one, int | float) for one in pair)
        )
        if not numbers or isinstance(value, bool):
            raise ValueError(f"{name}.{key}: {value!r}; write a number or [least, most] in {known[key].unit}")
        low, high = (float(one) for one in pair)
        least, most = known[key].limits
        if not (least <= low <= high <= most):
            raise ValueError(
                f"{name}.{key}: {low:g} to {high:g} {known[key].unit}; the least first, within {least:g} to {most:g}"
            )
        found[key] = (low, high)
    return found


def read_kind(text: str, table: Mapping[str, Kind] = KINDS) -> tuple[str, dict[str, tuple[float, float]]]:
    """A kind as a command line has it: `fog`, `fog=visibility_m:60`, `rain=rate_mm_h:5..50,wetness:1`.

    Raises: InputError.
    """
    name, _, rest = text.partition("=")
    given: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition(":")
        low, dots, high = value.partition("..")
        try:
            given[key.strip()] = [float(low), float(high if dots else low)]
        except ValueError:
            raise InputError(f"kind {text!r}: {part!r}; write KIND=NAME:NUMBER or NAME:LEAST..MOST") from None
    try:
        return name, check_kind(name, given, table)
    except ValueError as error:
        raise InputError(f"kind {text!r}: {error}") from None
