"""Water on the ground: how much of it there is at a point, and which way it mirrors."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes.noise import clamped, layered
from preprocessing.scenes.vectors import Floats, dot, unit

DARKER = np.float32(0.5)
"""Albedo of wet ground, as a share of its dry one (Lekner and Dorf 1988 give about half for asphalt)."""


def puddled(point: Floats) -> Floats:
    """Share [n] of standing water at world points [n,3]; the rest has a thin film."""
    size = np.full(len(point), 0.02, np.float32)
    return clamped(0.9 * layered(point[:, 0], point[:, 1], {7.0: 0.6, 2.6: 0.5, 0.9: 0.25}, size) + 0.12, 0, 1)


def mirrored(point: Floats, normal: Floats, ray: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Directions [n,3] of mirrored rays and the share [n] of light that goes there (Schlick 1994, eq. 15, water).

    `ray` are unit vectors from the eye to the points; ripples finer than a pixel's `size` [n] [m] are left out.
    """
    water = puddled(point)
    rough = (0.035 * (1 - water) + 0.004) * clamped(0.04 / size, 0.0, 1)
    tilt = np.zeros_like(normal)
    for k in range(2):
        shift = np.float32(31.7 * k)
        tilt[:, k] = rough * layered(point[:, 0] + shift, point[:, 1] - shift, {0.11: 0.8, 0.035: 0.6}, size)
    facing = unit(normal + tilt)
    back = ray - 2 * dot(ray, facing)[:, None] * facing
    back[:, 2] = np.maximum(back[:, 2], 0.01)
    slant = clamped(-dot(ray, facing), 0, 1)
    share = (0.02 + 0.98 * (1 - slant) ** 5) * (0.5 + 0.5 * water)
    return unit(back), share
