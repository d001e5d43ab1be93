"""Fog and haze by distance: Koschmieder's law."""

from collections.abc import Mapping

import numpy as np

from preprocessing.weather.light import Floats, airlight, mixed
from preprocessing.weather.scene import Scene

CONTRAST = 3.912
"""−ln 0.02: at the visibility, a black thing before the sky keeps 2 % of its contrast (Koschmieder 1924)."""


def transmission(distance_m: Floats, visibility_m: float) -> Floats:
    """Share of light that comes through, exp(−3.912 Z / visibility): 0.02 at the visibility, 0 at infinity.

    Along the optical axis, as depth is told; the way along the ray is longer towards the edges, by 12 % at 27 degrees.
    """
    return np.exp(np.float32(-CONTRAST / visibility_m) * distance_m)


def veiled(light: Floats, share: Floats, air: Floats) -> Floats:
    """I = J t + A (1 − t), linear light."""
    return mixed(light, air, 1 - share)


def fog(
    scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """Fog of one density everywhere, the sky behind all of it."""
    assert scene.distance_m is not None
    share = transmission(scene.distance_m, given["visibility_m"])
    return veiled(light, share, airlight(light, scene.sky)), share
