"""Surface textures: albedo, gloss and glow as functions of the point on the surface.

Nothing here knows the pixel or the view beyond its footprint on the surface, so both cameras see the same
paint. Albedo is linear RGB; coordinates are object metres (for the ground: s, t and height).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from preprocessing.scenes.layout import Street
from preprocessing.scenes.noise import clamped, hashed, layered
from preprocessing.scenes.vectors import Floats, rgb


@dataclass(frozen=True)
class Points:
    """n points of one texture."""

    local: Floats  # [n,3] object metres
    u: Floats  # [n] the two object coordinates along the face, shifted per object, metres
    v: Floats  # [n]
    axis: np.ndarray  # [n] int8: the object axis the face looks along
    colour: Floats  # [n,3]
    params: Floats  # [n,6]
    seed: Floats  # [n]
    size: Floats  # [n] metres on the surface that one pixel covers

    def noise(self, waves: dict[float, float]) -> Floats:
        """Noise of mean 0 along the face, {wavelength [m]: deviation}."""
        return layered(self.u, self.v, waves, self.size)

    def at(self, rows: np.ndarray) -> Points:
        """Some of the points."""
        tables = (np.take(table.T, rows, axis=1).T for table in (self.local, self.colour, self.params))
        local, colour, params = tables
        u, v, seed, size = self.u[rows], self.v[rows], self.seed[rows], self.size[rows]
        return Points(local, u, v, self.axis[rows], colour, params, seed, size)


@dataclass(frozen=True)
class Finish:
    """Albedo [n,3]; share of light mirrored [n]; light given off, as a multiple of the albedo [n]."""

    albedo: Floats
    gloss: Floats | float = 0.0
    glow: Floats | float = 0.0


Texture = Callable[[Points, Street], Finish]
GRAIN = {2.3: 0.06, 0.7: 0.06, 0.22: 0.06, 0.07: 0.06, 0.025: 0.05}


def shaded(colour: Floats, factor: Floats) -> Floats:
    return colour * clamped(factor, 0.12, 3)[:, None]


def mixed(a: Floats, b: Floats | list[float], share: Floats) -> Floats:
    return a + (np.asarray(b, np.float32) - a) * share[:, None]


def mixed_at(a: Floats, rows: np.ndarray, b: Floats | list[float], share: Floats) -> Floats:
    """`mixed` in some rows, for which `b` and `share` are given."""
    a[rows] = mixed(a[rows], b, share)
    return a


def band(x: Floats, low: Floats | float, high: Floats | float, soft: Floats | float) -> Floats:
    """1 between low and high, 0 outside, with edges blurred over `soft`."""
    rise = clamped((x - low) / soft + 0.5, 0, 1)
    return np.asarray(rise * clamped((high - x) / soft + 0.5, 0, 1), np.float32)


def plain(p: Points, street: Street) -> Finish:
    """Even paint with a little dirt."""
    return Finish(shaded(p.colour, 1 + p.noise(GRAIN)), 0.03)


def cloth(p: Points, street: Street) -> Finish:
    """Fabric with folds."""
    return Finish(shaded(p.colour, 1 + p.noise({0.5: 0.1, 0.16: 0.16, 0.05: 0.14, 0.02: 0.1})))


def skin(p: Points, street: Street) -> Finish:
    """Skin."""
    return Finish(shaded(p.colour, 1 + p.noise({0.15: 0.06, 0.05: 0.08})), 0.02)


def metal(p: Points, street: Street) -> Finish:
    """Painted or galvanised steel with stickers and rust low down."""
    tone = 1 + p.noise({1.1: 0.12, 0.35: 0.14, 0.12: 0.12, 0.04: 0.08})
    return Finish(shaded(p.colour, tone), 0.06)


def rubber(p: Points, street: Street) -> Finish:
    """Tyres."""
    return Finish(shaded(p.colour, 1 + p.noise({0.2: 0.2, 0.06: 0.25})))


def glow(p: Points, street: Street) -> Finish:
    """Lamps; params: light given off by day, 1 = off where others are lit."""
    light = p.params[:, 0]
    if street.lamps:
        light = light * (1 + np.where(p.params[:, 1] > 0, -1, 9) * np.float32(street.lamps))
    return Finish(shaded(p.colour, 1 + p.noise({0.1: 0.1, 0.04: 0.12})), 0.1, light)


def display(p: Points, street: Street) -> Finish:
    """A lit destination board."""
    y, z = p.local[:, 1], p.local[:, 2]
    lit = (hashed(y / 0.045, z / 0.05, p.seed) > 0.55) & (p.axis == 0)
    return Finish(mixed(np.full_like(p.colour, 0.015), p.colour[0], lit.astype(np.float32)), 0.05, lit * 0.7)


def sign(p: Points, street: Street) -> Finish:
    """A traffic sign's face towards local -x; params: kind, height of its middle, size."""
    y, z = p.local[:, 1], p.local[:, 2] - p.params[:, 1]
    kind, size = p.params[:, 0], p.params[:, 2]
    soft = clamped(p.size, 0.006, 0.1)
    radius = np.where(kind == 2, np.maximum(-z * 2, np.abs(y) * 1.732 + z), np.hypot(y, z))
    rim = band(radius, size * np.where(kind == 2, 0.72, 0.76), 9, soft)
    rim = rim * np.isin(kind, (0, 2))
    picture = band(np.abs(y + 0.05 * np.sin(z * 40)), 0, size * 0.16, soft) * band(np.abs(z), 0, size * 0.45, soft)
    rows = np.where(kind >= 4, band(np.mod(z + size, size * 0.5), size * 0.14, size * 0.36, soft), picture)
    words = np.where(kind >= 4, hashed(y / 0.09, (z + size) / (size * 0.5), p.seed) > 0.3, True) * (
        np.abs(y) < size * 1.7
    )
    ink = np.where((kind == 0) | (kind == 2) | (kind == 5), 0.03, 0.75)[:, None] * np.ones(3, np.float32)
    face = mixed(p.colour, ink.astype(np.float32), (rows * words).astype(np.float32))
    face = mixed(face, [0.6, 0.02, 0.03], rim.astype(np.float32))
    back = (p.axis != 0) | (p.local[:, 0] > 0.0)
    face = np.where(back[:, None], rgb(0.3, 0.3, 0.31), face)
    return Finish(shaded(face, 1 + p.noise({0.5: 0.06, 0.15: 0.06, 0.05: 0.05})), 0.05)


def foliage(p: Points, street: Street) -> Finish:
    """Leaves in clumps of light and shade."""
    clumps = p.noise({1.2: 0.16, 0.45: 0.24, 0.17: 0.3, 0.07: 0.25})
    warm = p.noise({0.9: 0.12})
    tint = np.stack([1 + warm, np.ones_like(warm), 1 - warm], 1)
    return Finish(shaded(p.colour * tint, 1 + clumps))


def bark(p: Points, street: Street) -> Finish:
    """Tree bark, grained upwards."""
    stretched = layered(p.u * 3, p.v * 0.7, {0.5: 0.15, 0.18: 0.25, 0.08: 0.2}, p.size * 2)
    return Finish(shaded(p.colour, 1 + stretched + p.noise({0.6: 0.12})))


def wood(p: Points, street: Street) -> Finish:
    """Boards, each of its own tone."""
    board = hashed(p.u / 0.14, p.seed, 7) - 0.5
    grain = layered(p.u * 4, p.v * 0.6, {0.6: 0.14, 0.2: 0.14, 0.07: 0.1}, p.size * 3)
    gap = band(np.mod(p.u, 0.14), 0, 0.012, 0.012) * clamped(0.02 / p.size, 0, 1)
    return Finish(
        shaded(
            p.colour,
            (1 + 0.6 * board * clamped(0.1 / p.size, 0, 1) + grain + p.noise({1.5: 0.1, 0.3: 0.1})) * (1 - 0.7 * gap),
        )
    )


def awning(p: Points, street: Street) -> Finish:
    """Striped canvas."""
    stripe = np.where(np.mod(p.local[:, 0], 0.7) < 0.35, 1.0, 0.0).astype(np.float32)
    return Finish(mixed(shaded(p.colour, 1 + p.noise(GRAIN)), [0.6, 0.58, 0.5], stripe * (hashed(p.seed) > 0.4)))


MATERIALS: dict[str, Texture] = {
    "plain": plain, "cloth": cloth, "skin": skin, "metal": metal, "rubber": rubber, "glow": glow, "display": display,
    "sign": sign, "foliage": foliage, "bark": bark, "wood": wood, "awning": awning,
}  # fmt: skip
