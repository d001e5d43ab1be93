"""Houses: boxes with roofs whose fronts are painted by the facade texture, with some relief added."""

from __future__ import annotations

import numpy as np

from preprocessing.scenes.mesh import Mesh, Pose, box, flat, sheet, tube
from preprocessing.scenes.stage import BUILDING, Actor, Colour, Look, Stage, pick, tinted

_RENDER: tuple[Colour, ...] = (
    (0.55, 0.48, 0.36), (0.6, 0.57, 0.5), (0.5, 0.4, 0.28), (0.42, 0.4, 0.38), (0.55, 0.42, 0.36),
    (0.62, 0.52, 0.3), (0.4, 0.42, 0.4), (0.35, 0.22, 0.16), (0.66, 0.64, 0.6), (0.36, 0.42, 0.46),
    (0.5, 0.34, 0.26), (0.3, 0.28, 0.26),
)  # fmt: skip
_BRICK: tuple[Colour, ...] = ((0.3, 0.12, 0.075), (0.25, 0.13, 0.09), (0.36, 0.2, 0.12), (0.22, 0.17, 0.14))
_AWNINGS: tuple[Colour, ...] = ((0.4, 0.05, 0.05), (0.06, 0.2, 0.1), (0.07, 0.12, 0.3), (0.5, 0.4, 0.2))
_ROOF: tuple[Colour, ...] = ((0.26, 0.09, 0.05), (0.16, 0.08, 0.06), (0.09, 0.09, 0.1), (0.14, 0.12, 0.11))


def add_house(stage: Stage, rng: np.random.Generator, where: Pose, width: float, side: int, theme: str) -> None:
    """A house `width` metres wide: `where` is the middle of its front, local x along the street.

    Its body lies on the side of the street it belongs to: -y for the right (+1), +y for the left (-1).
    """
    actor = stage.actor(BUILDING, where, width / 2)
    depth = rng.uniform(8, 13)
    storey = rng.uniform(2.9, 3.7)
    floors = int(rng.integers(2, 4) if theme == "suburb" else rng.integers(3, 8))
    if rng.random() < 0.06:
        floors += 4
    tall = floors * storey + 0.6
    brick = rng.random() < 0.3
    palette = _BRICK if brick else _RENDER
    colour = tinted(pick(rng, palette), rng.uniform(0.8, 1.15))
    bay = width / max(round(width / rng.uniform(1.9, 3.4)), 1)
    shop = 1.0 if theme != "suburb" and rng.random() < 0.45 else 0.0
    style = float(rng.integers(1 << 12)) + (0.5 if brick else 0.0)
    look = Look("facade", colour, (bay, storey, width / 2, shop, style, tall))
    y0, y1 = (-depth, 0.0) if side > 0 else (0.0, depth)
    actor.add(box([-width / 2, y0, -1.5], [width / 2, y1, tall]), look)
    _roof(actor, rng, (width, y0, y1, tall), pitched=theme == "suburb" or rng.random() < 0.55)
    _relief(actor, rng, look, (width, storey, floors), -1 if side < 0 else 1)


_HALLS: tuple[Colour, ...] = (
    (0.4, 0.42, 0.44),
    (0.5, 0.5, 0.47),
    (0.2, 0.28, 0.36),
    (0.36, 0.3, 0.24),
    (0.3, 0.36, 0.32),
)
_GATES: tuple[Colour, ...] = ((0.25, 0.27, 0.3), (0.45, 0.12, 0.06), (0.1, 0.18, 0.3), (0.55, 0.5, 0.3))


def add_hall(stage: Stage, rng: np.random.Generator, where: Pose, width: float, side: int) -> None:
    """A hall of sheet metal with gates and a strip of windows; placed as a house."""
    actor = stage.actor(BUILDING, where, width / 2)
    depth, tall, out = rng.uniform(14, 24), rng.uniform(5, 10), -1 if side < 0 else 1
    y0, y1 = (-depth, 0.0) if side > 0 else (0.0, depth)
    actor.add(box([-width / 2, y0, -1.5], [width / 2, y1, tall]), Look("panel", pick(rng, _HALLS)))
    actor.add(box([-width / 2, y0 - 0.1, tall], [width / 2, y1 + 0.1, tall + 0.4]), Look("metal", (0.3, 0.31, 0.32)))
    gate, x = Look("awning", pick(rng, _GATES)), -width / 2 + rng.uniform(1.5, 4)
    while x + 3.6 < width / 2:
        front = sorted((0.0, out * 0.09))
        actor.add(box([x, front[0], 0.1], [x + 3.4, front[1], 3.8]), gate)
        bumper = sorted((0.0, out * 0.3))
        actor.add(box([x - 0.25, bumper[0], 0.3], [x - 0.05, bumper[1], 1.0]), Look("plain", (0.5, 0.4, 0.03)))
        x += rng.uniform(4.6, 8)
    strip = sorted((0.0, out * 0.05))
    actor.add(
        box([-width * 0.42, strip[0], tall - 1.4], [width * 0.42, strip[1], tall - 0.7]),
        Look("glass", (0.05, 0.07, 0.08)),
    )


def _roof(actor: Actor, rng: np.random.Generator, shape: tuple[float, float, float, float], pitched: bool) -> None:
    width, y0, y1, tall = shape
    half, middle = width / 2, (y0 + y1) / 2
    look = Look("roof", pick(rng, _ROOF))
    if pitched:
        rise, eave = rng.uniform(2.2, 4.5), 0.35
        ends = [[-half, y0 - eave, tall - 0.1], [half, y0 - eave, tall - 0.1], [half, y1 + eave, tall - 0.1]]
        ends += [[-half, y1 + eave, tall - 0.1], [-half, middle, tall + rise], [half, middle, tall + rise]]
        faces = [[0, 1, 5], [0, 5, 4], [2, 3, 4], [2, 4, 5], [0, 4, 3], [1, 2, 5], [0, 2, 1], [0, 3, 2]]
        actor.add(flat(ends, faces), look)
        if rng.random() < 0.6:
            x = rng.uniform(-half * 0.7, half * 0.7)
            actor.add(
                box([x - 0.35, middle - 0.9, tall], [x + 0.35, middle - 0.3, tall + rise + 0.9]),
                Look("brick", (0.25, 0.12, 0.08)),
            )
        return
    edge = Look("concrete", (0.35, 0.34, 0.33))
    rim = rng.uniform(0.3, 0.7)
    actor.add(box([-half, y0 - 0.12, tall], [half, y1 + 0.12, tall + rim]), edge)
    if rng.random() < 0.5:
        x = rng.uniform(-half * 0.5, half * 0.5)
        actor.add(box([x - 1.5, middle - 1.5, tall], [x + 1.5, middle + 1.5, tall + 2.4]), edge)


def _relief(actor: Actor, rng: np.random.Generator, look: Look, shape: tuple[float, float, int], outward: int) -> None:
    """Cornices, balconies, awnings and down-pipes; `outward` is the sign of local y in front."""
    width, storey, floors = shape
    half, bay = width / 2, look.params[0]
    trim = Look("concrete", tinted(look.colour, 1.25, 0.8))

    def strip(x0: float, x1: float, z0: float, z1: float, out: float) -> Mesh:
        y0, y1 = sorted((0.0, outward * out))
        return box([x0, y0, z0], [x1, y1, z1])

    if rng.random() < 0.6:
        actor.add(strip(-half, half, storey + 0.02, storey + 0.2, 0.12), trim)
    if rng.random() < 0.35 and floors > 2:
        metal = Look("metal", (0.1, 0.1, 0.11))
        columns = rng.choice(int(width / bay), size=max(int(width / bay) // 2, 1), replace=False)
        for column in columns:
            x0 = -half + float(column) * bay + 0.1
            for floor in range(1, floors):
                z = floor * storey + 0.35
                actor.add(strip(x0, x0 + bay - 0.2, z, z + 0.14, 1.0), trim)
                y = outward * 0.97
                panel = [
                    [x0, y, z + 0.14],
                    [x0 + bay - 0.2, y, z + 0.14],
                    [x0 + bay - 0.2, y, z + 1.0],
                    [x0, y, z + 1.0],
                ]
                actor.add(sheet(panel), metal if column % 2 else trim)
    if look.params[3] > 0 and rng.random() < 0.6:
        colour = pick(rng, _AWNINGS)
        z, out, x1 = storey * 0.86, outward * 1.2, half * rng.uniform(0.2, 0.9)
        awning = [[-half + 0.2, 0, z], [x1, 0, z], [x1, out, z - 0.5], [-half + 0.2, out, z - 0.5]]
        actor.add(sheet(awning), Look("awning", colour))
    if rng.random() < 0.5:
        actor.add(
            tube([half - 0.15, outward * 0.08, 0], [half - 0.15, outward * 0.08, look.params[5]], 0.05, sides=6),
            Look("metal", (0.3, 0.3, 0.3)),
        )
