"""Trees, bushes and hedges: trunks and crowns of leafy blobs; in winter without leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from preprocessing.scenes.bare import Outline, bare_bush, bare_crown, bare_hedge, bark_of
from preprocessing.scenes.layout import Street
from preprocessing.scenes.mesh import Mesh, Pose, ellipsoid, given, join, lump, sphere_points, tube
from preprocessing.scenes.pieces import Given
from preprocessing.scenes.stage import VEGETATION, Colour, Look, Stage, pick, tinted
from preprocessing.scenes.vectors import Floats

_LEAVES: tuple[Colour, ...] = (
    (0.085, 0.16, 0.035),
    (0.11, 0.18, 0.04),
    (0.06, 0.125, 0.035),
    (0.15, 0.18, 0.04),
)
_AUTUMN: tuple[Colour, ...] = ((0.25, 0.13, 0.03), (0.2, 0.15, 0.03), (0.16, 0.06, 0.02), (0.12, 0.13, 0.03))


_EVERGREEN = 0.35  # of bushes and hedges


@dataclass(frozen=True)
class Leaf:
    """What a plant's leaves look like, and whether they are down, of those that shed them."""

    look: Look
    bare: bool = False


def leaf_of(rng: np.random.Generator, season: str) -> Leaf:
    """Leaves of summer, autumn or winter, from as many draws in each."""
    colour = tinted(pick(rng, _AUTUMN if season == "autumn" else _LEAVES), rng.uniform(0.8, 1.25, 3))
    return Leaf(Look("foliage", colour), season == "winter")


def _own(rng: np.random.Generator) -> np.random.Generator:
    """A stream for one bare plant. It takes nothing from `rng`, so that the street is the same in every season."""
    return rng.spawn(1)[0]


def _evergreen(leaf: Leaf, own: np.random.Generator) -> Look | None:
    """The look of a bush or hedge that keeps its leaves in winter, darker than those of summer; None of another."""
    return Look("foliage", tinted(leaf.look.colour, 0.75)) if own.random() < _EVERGREEN else None


def blob(rng: np.random.Generator, centre: Floats, radii: Floats, detail: int) -> Mesh:
    """An ellipsoid with an uneven surface."""
    points = sphere_points(detail)
    waves = rng.normal(size=(4, 3)) * np.array([[2.5], [3.5], [5.0], [7.0]])
    phase = rng.uniform(0, 6.3, 4)
    bump = 1 + 0.07 * np.sin(points @ waves.T + phase).sum(1)
    return lump(points * bump[:, None] * radii + centre, detail)


def leaves(rng: np.random.Generator, centre: Floats, radii: Floats, count: int, size: float) -> Mesh:
    """Loose quadrilateral sprays standing out of a blob's surface, so that its outline is leafy."""
    out = rng.normal(size=(count, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    middle = centre + out * radii * rng.uniform(0.92, 1.12, (count, 1))
    a, b = rng.normal(size=(2, count, 3)) * size
    points = np.stack([middle - a, middle + b, middle + a, middle - b], 1).reshape(-1, 3)
    # Sprays are lit like the crown they belong to: their own normals would sparkle.
    normals = np.repeat(np.concatenate([out, out])[:, None], 3, axis=1).astype(np.float32)
    return given(points.astype(np.float32), _sprays(count), normals)


@cache
def _sprays(count: int) -> Given:
    first = np.arange(count)[:, None] * 4
    return Given(np.concatenate([first + np.array(corner) for corner in ([0, 1, 2], [0, 2, 3])]))


def add_tree(stage: Stage, rng: np.random.Generator, where: Pose, leaf: Leaf, far: bool) -> None:
    """A broad-leaved tree, 5 to 13 m tall; `far` ones have fewer triangles."""
    actor = stage.actor(VEGETATION, where, 0.35)
    tall, radius = rng.uniform(5, 13), rng.uniform(0.12, 0.28)
    fork = tall * rng.uniform(0.3, 0.42)
    spread = tall * rng.uniform(0.2, 0.32)
    lean = rng.normal(0, 0.2, 2)
    wood = [tube([0, 0, -0.4], [lean[0], lean[1], fork], radius * 1.15, radius * 0.75)]
    crown = []
    for _ in range(5 if far else int(rng.integers(7, 12))):
        angle, out = rng.uniform(0, 2 * np.pi), spread * rng.uniform(0.15, 0.75)
        centre = np.array([out * np.cos(angle), out * np.sin(angle), rng.uniform(fork + 0.12 * tall, tall * 0.9)])
        radii = spread * rng.uniform(0.42, 0.7) * np.array([1, 1, rng.uniform(0.7, 1.0)])
        crown.append(blob(rng, centre, radii, 1 if far else 2))
        crown.append(leaves(rng, centre, radii, 25 if far else 80, 0.22 if far else 0.15))
        if not far and len(wood) < 5:
            wood.append(tube([lean[0], lean[1], fork - 0.1], centre, radius * 0.5, radius * 0.2, sides=6))
    if leaf.bare:
        own = _own(rng)
        shape = Outline(np.array([*lean, fork]), radius * 0.75, tall, spread * 1.3)
        actor.add([wood[0], *bare_crown(own, shape, far)], bark_of(own))
        return
    actor.add(wood, Look("bark", (0.1, 0.075, 0.05)))
    actor.add(crown, leaf.look)


def add_conifer(stage: Stage, rng: np.random.Generator, where: Pose, leaf: Leaf) -> None:
    """A spruce of stacked cones, green all year."""
    look = leaf.look
    actor = stage.actor(VEGETATION, where, 0.35)
    tall, wide = rng.uniform(5, 12), rng.uniform(1.3, 2.2)
    actor.add(tube([0, 0, -0.4], [0, 0, tall * 0.5], 0.16, 0.08), Look("bark", (0.09, 0.06, 0.04)))
    tiers = []
    for k in range(6):
        low = tall * (0.1 + 0.14 * k)
        spread = wide * (1 - k / 6.5)
        tiers.append(tube([0, 0, low], [0, 0, low + tall * 0.27], spread, 0.05, sides=10))
        tiers.append(leaves(rng, np.array([0, 0, low + 0.2]), np.array([spread, spread, 0.35]), 50, 0.2))
    actor.add(tiers, Look(look.texture, (look.colour[0] * 0.6, look.colour[1] * 0.75, look.colour[2])))


def add_bush(stage: Stage, rng: np.random.Generator, where: Pose, leaf: Leaf) -> None:
    """A rounded shrub."""
    size = rng.uniform(0.5, 1.3)
    crown = []
    for _ in range(3):
        centre = np.array([*rng.normal(0, size * 0.4, 2), size * 0.6])
        radii = size * rng.uniform(0.5, 0.8) * np.ones(3)
        crown += [blob(rng, centre, radii, 2), leaves(rng, centre, radii, 60, 0.07)]
    actor, look = stage.actor(VEGETATION, where, size), leaf.look
    if leaf.bare:
        own = _own(rng)
        look = _evergreen(leaf, own) or bark_of(own)
        if look.texture == "bark":
            crown = bare_bush(own, size)
    actor.add(crown, look)


def add_hedge(
    stage: Stage, rng: np.random.Generator, street: Street, span: tuple[float, float], t: float, leaf: Leaf
) -> None:
    """A clipped hedge along the frontage line."""
    tall, half = rng.uniform(0.8, 1.8), 0.4
    own = _own(rng) if leaf.bare else None
    look = (_evergreen(leaf, own) or bark_of(own)) if own else leaf.look
    for s in np.arange(span[0], span[1], 1.1):
        actor = stage.actor(VEGETATION, street.upright(float(s), t, 0.13), 0.6)
        radii = np.array([0.85, half, tall * 0.5])
        centre = np.array([0, 0, tall * 0.48])
        body = join([blob(rng, centre, radii * 1.15, 2), ellipsoid(centre, radii)])
        grown = [body, leaves(rng, centre, radii * 1.12, 45, 0.06)]
        actor.add(bare_hedge(own, tall, 1.1, half) if own and look.texture == "bark" else grown, look)
