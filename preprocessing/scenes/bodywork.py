"""Textures of vehicles: paint, panes, coaches, panels, tarpaulins; rules as in textures.py."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes.layout import Street
from preprocessing.scenes.noise import clamped, hashed
from preprocessing.scenes.textures import GRAIN, Finish, Points, Texture, band, mixed, shaded
from preprocessing.scenes.vectors import Floats


def paint(p: Points, street: Street) -> Finish:
    """Car paint: dust towards the sills, clear coat."""
    dust = clamped(0.75 - p.local[:, 2], 0, 1) * (0.35 + p.noise({0.5: 0.2, 0.15: 0.15}))
    tone = 1 + p.noise({1.3: 0.07, 0.4: 0.06, 0.13: 0.06, 0.045: 0.06})
    seams = _seams(p)
    colour = mixed(shaded(p.colour, tone * seams), [0.12, 0.11, 0.09], clamped(dust, 0, 0.6))
    return Finish(colour, 0.22)


def _seams(p: Points) -> Floats:
    """Dark door gaps on the flanks and around the bonnet, in car coordinates."""
    x, y = p.local[:, 0], p.local[:, 1]
    flank = (p.axis == 1) & (p.local[:, 2] > 0.3)
    gap = np.maximum(band(np.abs(x + 0.05), 0.0, 0.02, 0.015), band(np.abs(np.abs(x + 0.1) - 0.95), 0, 0.02, 0.015))
    gap = np.maximum(gap * flank, band(np.abs(np.abs(y) - 0.7), 0, 0.012, 0.01) * (p.axis == 2))
    return np.asarray(1 - 0.75 * gap * clamped(0.03 / p.size, 0, 1), np.float32)


def cabin(p: Points, street: Street) -> Finish:
    """The upper body of a car: glass between pillars; params: belt, roof, roof ends x, half width, van."""
    x, y, z = p.local.T
    belt, top, rear, front, half, van = p.params.T
    soft = clamped(p.size, 0.01, 0.2)
    upright = band(z, belt + 0.03, top - 0.09, soft)
    flank = p.axis == 1
    middle = (rear + front) / 2
    pillar = band(np.abs(x - middle), 0, 0.05, soft)
    side = upright * (1 - pillar) * np.where((van > 0) & (x < middle), 0, 1)
    slope = np.maximum((rear + 0.02 - x), (x - front - 0.02))
    edge = np.maximum(band(slope, 0.0, 0.09, soft), 0)
    ends = upright * band(np.abs(y), -1, half * 0.95 - (z - belt) * 0.28 - 0.09, soft)
    glass = np.where(flank, side * (1 - edge * 0.9), np.where(p.axis == 2, 0, ends))
    steep = (p.axis == 2) & ((x > front + 0.03) | (x < rear - 0.03)) & (z < top - 0.05)
    glass = np.where(steep, band(np.abs(y), -1, half * 0.68, soft), glass)
    inside = shaded(np.full_like(p.colour, 0.035), 1 + p.noise({0.6: 0.35, 0.2: 0.25, 0.07: 0.15}))
    seats = band(z, belt - 0.1, belt + 0.22, 0.04) * band(np.abs(np.abs(y) - 0.35), 0, 0.2, 0.05)
    inside = shaded(inside, 1 - 0.5 * seats)
    body = shaded(p.colour, 1 + p.noise({1.3: 0.07, 0.4: 0.06, 0.13: 0.06, 0.045: 0.06}))
    return Finish(mixed(body, inside, glass), 0.22 + 0.3 * glass)


def glass(p: Points, street: Street) -> Finish:
    """Dark panes."""
    return Finish(shaded(p.colour, 1 + p.noise({0.6: 0.35, 0.2: 0.3, 0.07: 0.2})), 0.5)


def coach(p: Points, street: Street) -> Finish:
    """Bus and tram bodies; params: window foot, window head, pane length, half width, skirt height."""
    x, y, z = p.local.T
    low, high, pane, half, skirt, _ = p.params.T
    soft = clamped(p.size, 0.015, 0.3)
    along = np.where(p.axis == 0, y, x)
    step = np.where(p.axis == 0, half, pane)
    cell = np.mod(along / step, 1.0) * step
    number = np.floor(along / step)
    window = band(z, low, high, soft) * band(cell, 0.05, step - 0.05, soft)
    door = (p.axis == 1) & (np.mod(number + np.floor(p.seed), 4) == 1)
    window = np.where(
        door, band(z, 0.5, high, soft) * band(np.abs(cell - step / 2), 0.03, step / 2 - 0.06, soft), window
    )
    window = np.where(p.axis == 2, 0, window).astype(np.float32)
    people = hashed(number, p.seed, 3)
    seat = band(z, low - 0.1, low + 0.25 + 0.35 * people, 0.05)
    inside = shaded(
        np.full_like(p.colour, 0.05),
        (1 - 0.5 * seat) * (1 + 0.5 * (people - 0.5)) + p.noise({0.5: 0.3, 0.15: 0.2}),
    )
    stripe = band(z, skirt - 0.06, skirt - 0.0, soft)
    body = shaded(p.colour, (1 - 0.5 * stripe) * (1 + p.noise(GRAIN)))
    body = mixed(body, [0.6, 0.6, 0.58], band(z, high + 0.1, 9, soft) * (p.axis != 2))
    body = mixed(body, [0.05, 0.05, 0.055], band(z, -1, 0.42, soft))
    return Finish(mixed(body, inside, window), 0.12 + 0.3 * window)


def panel(p: Points, street: Street) -> Finish:
    """Sheet-metal boxes with seams and a painted band."""
    x, z = p.u, p.local[:, 2]
    seam = band(np.mod(x, 1.2), 0, 0.03, clamped(p.size, 0.01, 0.2)) * clamped(0.05 / p.size, 0, 1)
    tone = (1 - 0.4 * seam) * (1 + p.noise({1.7: 0.09, 0.5: 0.08, 0.17: 0.08, 0.06: 0.07}))
    letters = band(z, 1.9, 2.6, p.size + 0.02) * (p.noise({0.55: 1.0, 0.2: 0.7}) > 0.75)
    tint = np.stack([hashed(p.seed, k) for k in range(3)], 1) * 0.6
    return Finish(mixed(shaded(p.colour, tone), tint, letters * 0.9), 0.05)


def tarpaulin(p: Points, street: Street) -> Finish:
    """Canvas with folds."""
    tone = 1 + p.noise({0.9: 0.12, 0.3: 0.14, 0.1: 0.1, 0.04: 0.07})
    letters = (p.noise({0.7: 1.0, 0.25: 0.6}) > 0.9) * band(p.local[:, 2], 1.7, 2.5, 0.05)
    return Finish(mixed(shaded(p.colour, tone), [0.7, 0.7, 0.65], letters * 0.8), 0.04)


BODYWORK: dict[str, Texture] = {
    "paint": paint, "cabin": cabin, "glass": glass, "coach": coach, "panel": panel, "tarpaulin": tarpaulin,
}  # fmt: skip
