"""Textures of the ground: road and its markings, paving, kerbs, grass; rules as in textures.py."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes.layout import Street
from preprocessing.scenes.noise import clamped, hashed, layered
from preprocessing.scenes.textures import Finish, Points, Texture, band, mixed, mixed_at, shaded
from preprocessing.scenes.vectors import Floats


def courses(p: Points, length: float, height: float, joint: float) -> tuple[Floats, Floats]:
    """Brick bond: the share of mortar and a random number per brick."""
    row = np.floor(p.v / height)
    x = p.u / length + 0.5 * np.mod(row, 2)
    seen = clamped(1.2 * height / p.size - 0.6, 0, 1)
    inside = band(np.mod(p.v, height), joint / 2, height - joint / 2, joint / 2)
    inside = inside * band(np.mod(x, 1) * length, joint / 2, length - joint / 2, joint / 2)
    return (1 - inside) * seen, (hashed(x, row, p.seed) - 0.5) * seen


def asphalt(p: Points, street: Street) -> Finish:
    """Carriageway in (s, t): wear, cracks, patches, manholes, then the markings."""
    s, t = p.local[:, 0], p.local[:, 1]
    tone = p.noise({9.0: 0.06, 2.7: 0.08, 0.9: 0.07, 0.3: 0.09, 0.1: 0.12, 0.035: 0.12, 0.013: 0.1})
    lane = street.lane_width
    tracks = np.cos((np.mod(np.abs(t), lane) / lane - 0.5) * 4 * np.pi)
    tone = tone - 0.05 * tracks
    patch = hashed(s / 7.3, t / 2.6, street.seed)
    tone = tone + np.where(patch < 0.14, -0.22, np.where(patch > 0.93, 0.16, 0.0))
    crack = np.abs(layered(s, t, {3.0: 1.0, 0.8: 0.4}, p.size * 0.3))
    tone = tone - 0.35 * clamped(1 - crack / 0.03, 0, 1) * clamped(0.06 / p.size, 0, 1)
    albedo = shaded(p.colour, 1 + tone)
    hole = np.hypot(np.mod(s, 17.0) - 8, np.mod(t + street.seed % 3, 5.1) - 2.5)
    cover = band(hole, -1, 0.32, p.size + 0.02)
    if (rows := np.flatnonzero(cover)).size:
        cover[rows] *= hashed(s[rows] / 17, t[rows] / 5.1, 3) < 0.5
    albedo = shaded(albedo, 1 - 0.5 * cover)
    white = markings(s, t, p.size, street)
    if (rows := np.flatnonzero(white)).size:
        wear = clamped(0.85 + p.at(rows).noise({0.8: 0.12, 0.2: 0.15, 0.06: 0.15}), 0.3, 1)
        albedo = mixed_at(albedo, rows, [0.62, 0.62, 0.6], white[rows] * wear)
    if street.rails:
        albedo = _rails(albedo, t, p, street)
    return Finish(albedo)


def markings(s: Floats, t: Floats, size: Floats, street: Street) -> Floats:
    """The share of white paint at (s, t): lane lines, edge lines, stop lines, zebra crossings."""
    soft = clamped(size, 0.02, 0.25)
    open_road = np.ones_like(s)
    white = np.zeros_like(s)
    if street.junction is not None:
        a, b = street.junction
        open_road = 1 - band(s, a - 4.6, b + 4.6, soft)
        for start in (a - 4.2, b + 1.2):
            inside = band(s, start, start + 3.0, soft) * band(t, -street.kerb(-1), street.kerb(1), soft)
            white = np.maximum(white, inside * band(np.mod(t, 1.0), 0.25, 0.75, soft))
        white = np.maximum(white, band(s, a - 5.6, a - 5.2, soft) * band(t, 0.1, street.kerb(1), soft))
        white = np.maximum(white, band(s, b + 5.2, b + 5.6, soft) * band(t, -street.kerb(-1), -0.1, soft))
    dashes = band(np.mod(s, 9.0), 0, 3.0, soft)
    solid = street.seed % 3 == 0
    middle = band(np.abs(t), -1, 0.07, soft) * (1 if solid else dashes)
    for edge in [street.lane_width] * (street.lanes_right > 1) + [-street.lane_width] * (street.lanes_left > 1):
        middle = np.maximum(middle, band(np.abs(t - edge), -1, 0.06, soft) * dashes)
    for side in (-1, 1):
        if street.side(side).parking or street.seed % 2:
            at = side * (street.lane_edge(side) - (0.0 if street.side(side).parking else 0.3))
            middle = np.maximum(middle, band(np.abs(t - at), -1, 0.06, soft))
    kerbs = band(t, -street.kerb(-1), street.kerb(1), 0.01)
    return np.asarray(np.maximum(white, middle * open_road * kerbs), np.float32)


def _rails(albedo: Floats, t: Floats, p: Points, street: Street) -> Floats:
    soft = clamped(p.size, 0.02, 0.2)
    for middle in (street.lane_width * 0.5, -street.lane_width * 0.5):
        off = np.abs(np.abs(t - middle) - 0.72)
        albedo = shaded(albedo, 1 - 0.25 * band(np.abs(t - middle), -1, 1.15, soft))
        albedo = mixed(albedo, [0.03, 0.03, 0.03], band(off, -1, 0.09, soft) * 0.8)
        albedo = mixed(albedo, [0.4, 0.4, 0.4], band(off, -1, 0.035, soft))
    return albedo


def paving(p: Points, street: Street) -> Finish:
    """Slabs of uneven tone."""
    side = 0.3 + 0.3 * float(street.seed % 4) / 3
    joint, tone = courses(p, side * 1.4, side, 0.016)
    grime = p.noise({5.0: 0.07, 1.7: 0.08, 0.55: 0.09, 0.18: 0.09, 0.06: 0.1, 0.022: 0.08})
    return Finish(shaded(p.colour, (1 + 0.35 * tone + grime) * (1 - 0.4 * joint * clamped(0.03 / p.size, 0, 1))))


def kerb(p: Points, street: Street) -> Finish:
    """Kerb stones."""
    tone = hashed(p.local[:, 0], p.local[:, 1] > 0, 3) - 0.5
    return Finish(shaded(p.colour, 1 + 0.25 * tone + p.noise({0.6: 0.1, 0.2: 0.1, 0.07: 0.1})))


def grass(p: Points, street: Street) -> Finish:
    """Grass with dry and bare places."""
    tone = p.noise({6.0: 0.1, 2.0: 0.12, 0.6: 0.16, 0.2: 0.2, 0.07: 0.2, 0.03: 0.15})
    dry = clamped(0.25 + 0.4 * layered(p.u, p.v, {5.0: 1.0, 1.3: 0.6}, p.size), 0, 0.8)
    return Finish(shaded(mixed(p.colour, [0.2, 0.16, 0.08], dry), 1 + tone))


GROUND: dict[str, Texture] = {"asphalt": asphalt, "paving": paving, "kerb": kerb, "grass": grass}
