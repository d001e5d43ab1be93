"""Street furniture: lamps, lights, signs, bollards, walls, fences, bins. Sizes in metres."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from preprocessing.scenes.lamps import Lamp, street_lamp
from preprocessing.scenes.layout import Street
from preprocessing.scenes.mesh import Mesh, Pose, box, ellipsoid, flat, pose, slab, tube
from preprocessing.scenes.stage import (
    FENCE,
    GUARD_RAIL,
    POLE,
    STATIC,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    WALL,
    Colour,
    Look,
    Stage,
    pick,
    tinted,
)

_STEEL: tuple[Colour, ...] = ((0.3, 0.31, 0.32), (0.12, 0.13, 0.13), (0.05, 0.12, 0.08), (0.22, 0.2, 0.18))

_RAILS: tuple[Colour, ...] = ((0.3, 0.31, 0.32), (0.06, 0.14, 0.09), (0.5, 0.5, 0.48))
_WALLS: dict[str, Colour] = {
    "brick": (0.3, 0.12, 0.07),
    "concrete": (0.38, 0.37, 0.35),
    "stone": (0.3, 0.27, 0.22),
}
# By kind of sign: prohibition (round), command (round), warning (triangle), notice (square).
_PLATES: tuple[Colour, ...] = ((0.75, 0.75, 0.75), (0.05, 0.16, 0.5), (0.75, 0.75, 0.75), (0.04, 0.15, 0.45))


def steel(rng: np.random.Generator) -> Look:
    """A post's paint."""
    return Look("metal", pick(rng, _STEEL))


def add_lamp(stage: Stage, rng: np.random.Generator, where: Pose, look: Look) -> None:
    """A street lamp; its arm reaches along local y."""
    actor = stage.actor(POLE, where, 0.25)
    tall, reach = rng.uniform(5.5, 8.5), rng.uniform(0.8, 2.0)
    post = [tube([0, 0, 0], [0, 0, 1.1], 0.12), tube([0, 0, 1.0], [0, 0, tall], 0.085, 0.06)]
    post += [tube([0, 0, tall - 0.05], [0, reach, tall + 0.35], 0.05)]
    actor.add([*post, slab([0.26, 0.7, 0.12], [0, reach + 0.25, tall + 0.38])], look)
    stage.lamps.append(street_lamp(where, (0, reach + 0.25, tall + 0.31)))


def add_bulbs(stage: Stage, lamps: list[Lamp]) -> None:
    """What can be seen of street lamps that are lit: a bright pane under each head (class pole, as the lamp)."""
    for lamp in lamps:
        if lamp.aim[2] < -0.9:
            actor = stage.actor(POLE, pose(*lamp.place), 0.2)
            actor.add(slab([0.3, 0.3, 0.03], [0, 0, -0.02]), Look("glow", (1.0, 0.85, 0.6), (1.5,)))


def add_post(stage: Stage, rng: np.random.Generator, where: Pose, look: Look) -> None:
    """A plain mast that carries overhead lines or a notice."""
    tall = rng.uniform(3.5, 9)
    stage.actor(POLE, where, 0.2).add(tube([0, 0, 0], [0, 0, tall], rng.uniform(0.07, 0.14)), look)


def add_bollards(stage: Stage, rng: np.random.Generator, street: Street, s: float, t: float) -> None:
    """A short row of bollards along the kerb."""
    look, tall = steel(rng), rng.uniform(0.7, 1.0)
    for k in range(int(rng.integers(2, 6))):
        actor = stage.actor(POLE, street.upright(s + 1.6 * k, t, 0.13), 0.15)
        actor.add([tube([0, 0, 0], [0, 0, tall], 0.075), ellipsoid([0, 0, tall], [0.09, 0.09, 0.06])], look)


def add_traffic_light(stage: Stage, rng: np.random.Generator, where: Pose, mast: float) -> None:
    """A signal on a post facing local -x; with `mast` > 0 a second head hangs that far out along local y."""
    look = steel(rng)
    tall = 2.5 if mast <= 0 else 5.6
    pole = stage.actor(POLE, where, 0.25)
    pole.add(tube([0, 0, 0], [0, 0, tall + 0.9], 0.075), look)
    heads = [(-0.16, 0.0, 2.5)]
    if mast > 0:
        pole.add(tube([0, 0, 6.2], [0, mast, 6.3], 0.06), look)
        heads.append((-0.16, mast, 5.5))
    lit = int(rng.choice([0, 2], p=[0.5, 0.5]))
    colours: list[Colour] = [(0.03, 0.9, 0.35), (0.95, 0.6, 0.02), (0.95, 0.05, 0.03)]
    for x, y, z in heads:
        actor = stage.actor(TRAFFIC_LIGHT, where, 0.25)
        shell = [slab([0.22, 0.34, 1.0], [x, y, z + 0.5]), slab([0.02, 0.5, 1.16], [x + 0.1, y, z + 0.5])]
        actor.add(shell, Look("plain", (0.025, 0.028, 0.025)))
        for k, colour in enumerate(colours):
            lens = tube([x - 0.1, y, z + 0.18 + 0.32 * k], [x - 0.13, y, z + 0.18 + 0.32 * k], 0.115, sides=12)
            dim: Colour = (colour[0] * 0.12, colour[1] * 0.12, colour[2] * 0.12)
            actor.add(lens, Look("glow", colour if k == lit else dim, (1.2 if k == lit else 0.0,)))


def _disc(x: float, z: float, radius: float, sides: int) -> Mesh:
    return tube([x + 0.015, 0, z], [x - 0.015, 0, z], radius, sides=sides)


def add_sign(stage: Stage, rng: np.random.Generator, where: Pose, look: Look) -> None:
    """A traffic sign on a post, facing local -x; the post is pole, the plate traffic sign."""
    tall = rng.uniform(2.3, 3.1)
    stage.actor(POLE, where, 0.15).add(tube([0.06, 0, 0], [0.06, 0, tall], 0.04, sides=6), look)
    actor = stage.actor(TRAFFIC_SIGN, where, 0.3)
    size = rng.uniform(0.3, 0.4)
    kind, middle = int(rng.integers(5)), tall - 0.25
    if kind == 4:  # a direction board
        actor.add(
            slab([0.03, 1.5, 0.7], [0, 0, middle - 0.2]),
            Look("sign", (0.04, 0.12, 0.4), (4, middle - 0.2, 0.4)),
        )
        return
    shapes = {
        0: _disc(0, middle, size, 18),
        1: _disc(0, middle, size, 18),
        3: slab([0.03, 0.62, 0.62], [0, 0, middle]),
    }
    plate = shapes.get(kind, _triangle(middle, size * 1.15))
    colour = _PLATES[kind]
    actor.add(plate, Look("sign", colour, (float(kind), middle, size)))
    if rng.random() < 0.4:
        extra = slab([0.025, 0.5, 0.24], [0, 0, middle - size - 0.22])
        actor.add(extra, Look("sign", (0.75, 0.75, 0.75), (5.0, middle - size - 0.22, 0.25)))


def _triangle(z: float, size: float) -> Mesh:
    front = [[-0.015, size * np.sin(a), z + size * np.cos(a)] for a in np.arange(3) * 2 * np.pi / 3]
    back = [[0.015, y, h] for _, y, h in front]
    return flat(front + back, [[0, 1, 2], [3, 5, 4]])


def add_bin(stage: Stage, rng: np.random.Generator, where: Pose) -> None:
    """A litter bin, a cabinet, a bench or a container (class static: void)."""
    actor = stage.actor(STATIC, where, 0.7)
    kind = int(rng.integers(4))
    if kind == 0:
        actor.add(tube([0, 0, 0.1], [0, 0, 0.95], 0.24, 0.27, sides=10), Look("plain", (0.25, 0.12, 0.03)))
    elif kind == 1:
        actor.add(box([-0.5, -0.2, 0], [0.5, 0.2, 1.15]), Look("panel", (0.28, 0.29, 0.28)))
    elif kind == 2:
        planks = [slab([1.7, 0.14, 0.04], [0, y, 0.45]) for y in (-0.18, 0.0, 0.18)]
        planks += [slab([1.7, 0.04, 0.14], [0, 0.27, z]) for z in (0.62, 0.8)]
        actor.add(planks, Look("wood", (0.22, 0.13, 0.06)))
        actor.add(
            [box([x - 0.05, -0.25, 0], [x + 0.05, 0.28, 0.43]) for x in (-0.6, 0.6)],
            Look("plain", (0.2, 0.2, 0.2)),
        )
    else:
        actor.add(box([-0.65, -0.4, 0.1], [0.65, 0.4, 1.2], -0.06), Look("plain", (0.04, 0.09, 0.05)))


def add_guard_rail(stage: Stage, street: Street, span: tuple[float, float], t: float) -> None:
    """A crash barrier of steel (class guard rail: void among the 19)."""
    look = Look("metal", (0.36, 0.37, 0.38))
    for a, b in _pieces(span, 4.0):
        where, length = _along(street, a, b, t)
        actor = stage.actor(GUARD_RAIL, where, 0.2)
        beam = [slab([length, 0.05, 0.12], [length / 2, y, z]) for y, z in ((0.04, 0.5), (0.04, 0.68), (0.0, 0.59))]
        actor.add([*beam, box([-0.05, -0.06, -0.5], [0.05, 0.0, 0.7])], look)


def add_noise_barrier(
    stage: Stage, rng: np.random.Generator, street: Street, span: tuple[float, float], t: float
) -> None:
    """A tall wall of panels along a fast road (class wall)."""
    tall, look = rng.uniform(2.5, 4.5), Look("panel", tinted((0.3, 0.36, 0.3), rng.uniform(0.7, 1.3, 3)))
    for a, b in _pieces(span, 5.0):
        where, length = _along(street, a, b, t)
        actor = stage.actor(WALL, where, 0.3)
        actor.add(box([0, -0.08, -0.6], [length, 0.08, tall]), look)
        actor.add(box([-0.12, -0.15, -0.6], [0.12, 0.15, tall + 0.05]), Look("metal", (0.25, 0.26, 0.26)))


def add_wall(stage: Stage, rng: np.random.Generator, street: Street, span: tuple[float, float], t: float) -> None:
    """A free-standing brick, stone or concrete wall along the frontage line."""
    tall = rng.uniform(1.0, 2.6)
    texture = str(rng.choice(["brick", "concrete", "stone"]))
    look = Look(texture, tinted(_WALLS[texture], rng.uniform(0.8, 1.2, 3)))
    cap = Look("concrete", (0.4, 0.39, 0.37))
    for a, b in _pieces(span, 5.0):
        where, length = _along(street, a, b, t)
        actor = stage.actor(WALL, where, 0.3)
        actor.add(box([-0.05, -0.15, -0.6], [length + 0.05, 0.15, tall]), look)
        actor.add(box([-0.05, -0.2, tall], [length + 0.05, 0.2, tall + 0.09]), cap)


def add_fence(stage: Stage, rng: np.random.Generator, street: Street, span: tuple[float, float], t: float) -> None:
    """A fence: boards of uneven height and width, a slatted panel, or a rail with posts."""
    kind = str(rng.choice(["boards", "panel", "rail"], p=[0.4, 0.35, 0.25]))
    tall = 1.05 if kind == "rail" else rng.uniform(1.0, 1.9)
    wood = Look("wood", tinted((0.24, 0.15, 0.08), rng.uniform(0.7, 1.3, 3)))
    metal = Look("metal", pick(rng, _RAILS))
    for a, b in _pieces(span, 2.5):
        where, length = _along(street, a, b, t)
        actor = stage.actor(FENCE, where, 0.2)
        look = metal if kind == "rail" else wood
        actor.add(box([-0.05, -0.05, -0.4], [0.05, 0.05, tall + 0.08]), look)
        if kind == "rail":
            actor.add([slab([length, 0.06, 0.14], [length / 2, 0, z]) for z in (0.4, 0.68, 0.96)], look)
            continue
        actor.add([slab([length, 0.05, 0.09], [length / 2, 0.05, z]) for z in (0.3, tall - 0.25)], wood)
        if kind == "panel":
            actor.add(box([0.0, -0.03, 0.06], [length, 0.0, tall]), wood)
            continue
        edges = np.cumsum(rng.uniform(0.13, 0.24, 24))
        tops = tall + rng.uniform(-0.06, 0.06, 24)
        boards = [
            box([x, -0.03, 0.06], [min(x + 0.11, length), 0, h])
            for x, h in zip(edges, tops, strict=True)
            if x < length - 0.05
        ]
        actor.add(boards, wood)


def _pieces(span: tuple[float, float], step: float) -> list[tuple[float, float]]:
    count = max(int((span[1] - span[0]) / step), 1)
    edges = np.linspace(span[0], span[1], count + 1)
    return [(float(a), float(b)) for a, b in pairwise(edges)]


def _along(street: Street, a: float, b: float, t: float) -> tuple[Pose, float]:
    """A frame at (a, t) whose x axis points to (b, t), and the distance between them."""
    start, end = street.ground_point(a, t, 0.13), street.ground_point(b, t, 0.13)
    gap = end - start
    heading, length = float(np.arctan2(gap[1], gap[0])), float(np.hypot(gap[0], gap[1]))
    return pose(start[0], start[1], start[2], heading), length
