"""Textures of built surfaces: facades, roofs, walls; rules as in textures.py."""

from __future__ import annotations

from functools import cache

import numpy as np

from preprocessing.scenes.bodywork import BODYWORK
from preprocessing.scenes.ground_textures import GROUND, courses
from preprocessing.scenes.layout import Street
from preprocessing.scenes.noise import clamped, hashed, layered, noise
from preprocessing.scenes.textures import GRAIN, MATERIALS, Finish, Points, Texture, band, mixed, mixed_at, shaded
from preprocessing.scenes.vectors import Floats, rgb


def brick(p: Points, street: Street) -> Finish:
    """Brickwork with stains."""
    mortar, tone = courses(p, 0.25, 0.083, 0.014)
    stain = p.noise({3.1: 0.1, 1.1: 0.12, 0.4: 0.12, 0.15: 0.1})
    return Finish(mixed(shaded(p.colour, 1 + 0.5 * tone + stain), [0.36, 0.33, 0.29], mortar * 0.6))


def stone(p: Points, street: Street) -> Finish:
    """Squared rubble."""
    wobble = 0.05 * noise(p.u, p.v, 0.5)
    moved = Points(p.local, p.u + wobble, p.v + wobble, p.axis, p.colour, p.params, p.seed, p.size)
    joint, tone = courses(moved, 0.55, 0.3, 0.03)
    return Finish(
        shaded(
            p.colour,
            (1 + 0.7 * tone + p.noise({2.1: 0.1, 0.5: 0.12, 0.15: 0.14, 0.05: 0.1})) * (1 - 0.5 * joint),
        )
    )


def concrete(p: Points, street: Street) -> Finish:
    """Cast panels, streaked by rain."""
    streaks = layered(p.u * 2.2, p.v * 0.25, {0.9: 0.1, 0.3: 0.12}, p.size * 2)
    seam = band(np.mod(p.u, 2.4), 0, 0.03, 0.02) * clamped(0.06 / p.size, 0, 1)
    return Finish(
        shaded(p.colour, (1 + streaks + p.noise({1.5: 0.1, 0.5: 0.1, 0.16: 0.09, 0.05: 0.08})) * (1 - 0.5 * seam))
    )


def roof(p: Points, street: Street) -> Finish:
    """Tiles in rows."""
    row = np.floor(p.v / 0.32)
    tone = hashed(p.u / 0.24, row, p.seed) - 0.5
    edge = band(np.mod(p.v, 0.32), 0, 0.05, 0.04) * clamped(0.2 / p.size, 0, 1)
    return Finish(
        shaded(
            p.colour,
            (1 + 0.5 * tone * clamped(0.2 / p.size, 0, 1) + p.noise({2.3: 0.14, 0.6: 0.12})) * (1 - 0.35 * edge),
        )
    )


def facade(p: Points, street: Street) -> Finish:
    """A house front; params: bay, storey, half width [m], shop (0/1), style (+0.5: brick), height [m]."""
    bay, storey, half, shop, style, tall = p.params.T
    across = np.where(p.axis == 0, p.local[:, 1], p.local[:, 0] + half).astype(np.float32)
    z = p.local[:, 2]
    column, floor = np.floor(across / bay), np.floor(z / storey)
    x, h = (across / bay - column) * bay, z - floor * storey
    soft = clamped(p.size, 0.02, 0.4)
    albedo = _wall(p, style, h, storey, soft)
    drawn = _styles()[:, style.astype(np.int64)]
    wide = bay * (0.2 + 0.14 * drawn[1])
    sill, head = storey * (0.22 + 0.12 * drawn[2]), storey * (0.8 + 0.08 * drawn[3])
    ground = (floor == 0) & (p.axis == 1)
    door = ground & (hashed(column, p.seed, 5) < 0.22)
    wide = np.where(ground & (shop > 0), bay * 0.44, np.where(door, np.minimum(bay * 0.3, 0.62), wide))
    sill = np.where(ground & (shop > 0), 0.45, np.where(door, 0.05, sill))
    head = np.where(ground & (shop > 0), storey * 0.74, np.where(door, 2.15, head))
    off = np.abs(x - bay / 2)
    blind_wall = (p.axis == 2) | (floor < 0) | (z > tall - 0.45) | ((p.axis == 0) & (hashed(column, p.seed, 9) < 0.5))
    hole = band(h, sill, head, soft) * band(off, -1, wide, soft) * ~blind_wall
    frame = band(h, sill - 0.12, head + 0.12, soft) * band(off, -1, wide + 0.12, soft) * ~blind_wall
    tone = np.where(drawn[4] < 0.6, np.float32(0.62), np.float32(0.16))
    albedo = mixed(albedo, tone[:, None], frame * 0.8)
    cell = np.stack([column, floor, x - bay / 2, h, sill, head, wide]).astype(np.float32)
    albedo = _with_openings(p, albedo, (hole, door & (shop < 1), cell, soft))
    board = band(h, storey * 0.78, storey * 0.97, soft) * ground * (shop > 0) * ~blind_wall
    if (rows := np.flatnonzero(board)).size:
        albedo = mixed_at(albedo, rows, _signboard(p.at(rows), across[rows], h[rows]), board[rows])
    shadow = band(h, head - 0.16, head, 0.1) * hole
    albedo = shaded(albedo, 1 - 0.55 * shadow)
    if not street.lamps:
        return Finish(albedo, 0.22 * hole * ~door)
    lit = (hole * ~door * ~(ground & (shop > 0) & (hashed(p.seed, 16) < 0.4))).astype(np.float32)
    lit *= hashed(column, floor, p.seed, 15) < np.where(ground & (shop > 0), 0.8, 0.3)
    room = rgb(0.55, 0.4, 0.22)[:, None] * (0.35 + 0.65 * hashed(column, floor, p.seed, 17))
    return Finish(mixed(albedo, room.T + 0.6 * albedo, lit), 0.22 * hole * ~door, 0.9 * street.lamps * lit)


@cache
def _styles() -> Floats:
    """`hashed(style, k)` of every style of house, at [k, style]."""
    return np.stack([hashed(np.arange(1 << 12), k) for k in range(7)])


def _with_openings(p: Points, albedo: Floats, opening: tuple[Floats, Floats, Floats, Floats]) -> Floats:
    """Panes and doors where there are holes; a point without one costs nothing."""
    hole, door, cell, soft = opening
    rows = np.flatnonzero(hole)
    if not rows.size:
        return albedo
    inside = p.at(rows)
    pane = _pane(inside, cell[:, rows], soft[rows])
    if (doors := np.flatnonzero(door[rows])).size:
        pane[doors] = _door(inside.at(doors), np.floor(inside.params[doors, 4]))
    return mixed_at(albedo, rows, pane, hole[rows])


def _wall(p: Points, style: Floats, h: Floats, storey: Floats, soft: Floats) -> Floats:
    stain = p.noise({4.5: 0.07, 1.6: 0.08, 0.5: 0.08, 0.16: 0.08, 0.055: 0.07})
    drip = layered(p.u * 1.6, p.v * 0.16, {0.9: 0.07, 0.35: 0.06}, p.size * 2)
    tone, mortar = np.zeros_like(stain), np.zeros_like(stain)
    if (bricks := np.flatnonzero(np.mod(style, 1) > 0.25)).size:
        share, brightness = courses(p.at(bricks), 0.26, 0.09, 0.016)
        mortar[bricks], tone[bricks] = 0.5 * share, 0.5 * brightness
    albedo = mixed(shaded(p.colour, 1 + stain + drip + tone), [0.36, 0.33, 0.29], mortar)
    course = band(h, storey - 0.14, storey, soft) * (_styles()[6][style.astype(np.int64)] < 0.6)
    base = band(p.local[:, 2], -9, 0.55, soft)
    return shaded(albedo, (1 + 0.25 * course) * (1 - 0.35 * base))


def _pane(p: Points, cell: Floats, soft: Floats) -> Floats:
    """What is seen in a window: dark room or sky, curtains, blinds, glazing bars."""
    column, floor, x, h, sill, head, wide = cell
    luck = hashed(column, floor, p.seed, 11)
    up = (h - sill) / np.maximum(head - sill, 0.1)
    room = 0.03 + 0.12 * hashed(column, floor, p.seed, 12) * up + 0.02 * p.noise({1.1: 1.0, 0.35: 0.8, 0.12: 0.5})
    albedo = _tints(clamped(room, 0.01, 1), (0.85, 0.95, 1.1))
    drawn = np.where(luck < 0.25, np.abs(x) > wide * (0.2 + 0.8 * hashed(column, floor, 13)), False)
    blind = (luck > 0.78) & (up > hashed(column, floor, p.seed, 14))
    if (rows := np.flatnonzero(drawn | blind)).size:
        folds = 0.42 * (1 + layered(p.u[rows] * 3, p.v[rows] * 0.3, {0.5: 0.25, 0.2: 0.2}, p.size[rows] * 2))
        albedo = mixed_at(albedo, rows, _tints(folds, (1, 0.96, 0.88)), np.ones_like(folds))
    bars = np.maximum(band(np.abs(x), -1, 0.035, soft), band(np.abs(up - 0.68), -1, 0.02, soft / 2))
    return mixed(albedo, [0.5, 0.5, 0.48], bars * (wide < 1.0) * 0.9)


def _tints(tone: Floats, colour: tuple[float, float, float]) -> Floats:
    """One colour at every brightness of `tone` [n]: [n,3]."""
    return np.asarray((rgb(*colour)[:, None] * tone).T)


def _door(p: Points, style: Floats) -> Floats:
    tint = np.stack([0.05 + 0.2 * hashed(style, p.seed, 20 + k) for k in range(3)]).T
    return shaded(tint, 1 + p.noise({0.5: 0.15, 0.15: 0.15, 0.05: 0.1}))


def _signboard(p: Points, across: Floats, h: Floats) -> Floats:
    shop = np.floor(across / 5.5)
    tint = np.stack([0.04 + 0.5 * hashed(shop, p.seed, 30 + k) ** 2 for k in range(3)]).T
    letters = (noise(p.u * 1.6, p.v, 0.3) > 0.5) & (hashed(shop, p.seed, 34) < 0.8)
    return mixed(shaded(tint, 1 + p.noise(GRAIN)), [0.7, 0.7, 0.62], letters * 0.9)


TEXTURES: dict[str, Texture] = MATERIALS | BODYWORK | GROUND | {
    "brick": brick, "stone": stone, "concrete": concrete, "roof": roof, "facade": facade,
}  # fmt: skip
