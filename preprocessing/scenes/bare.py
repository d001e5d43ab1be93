"""What trees, bushes and hedges are without leaves: boughs that fork, and at their ends a veil of twigs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from preprocessing.scenes.mesh import Mesh, given
from preprocessing.scenes.pieces import Given, Piece, Tube
from preprocessing.scenes.stage import Colour, Look, pick, tinted
from preprocessing.scenes.vectors import Floats, cross, unit

_BARK: tuple[Colour, ...] = ((0.13, 0.11, 0.09), (0.15, 0.135, 0.115), (0.11, 0.09, 0.075), (0.14, 0.11, 0.08))


def bark_of(rng: np.random.Generator) -> Look:
    """Grey-brown bark, which is all that one sees of a bare plant."""
    return Look("bark", tinted(pick(rng, _BARK), rng.uniform(0.85, 1.2) * rng.uniform(0.96, 1.04, 3)))


@dataclass(frozen=True)
class Outline:
    """The room of a crown: where the trunk forks [3] and how thick it is there, its top and half its width [m]."""

    fork: Floats
    radius: float
    top: float
    half: float


@dataclass(frozen=True)
class _Boughs:
    """n straight pieces of wood: both ends [n,3] and the radius at the first [n]."""

    start: Floats
    end: Floats
    radius: Floats

    def forked(self, rng: np.random.Generator, count: int, reach: float, stray: float, lowest: float) -> _Boughs:
        """`count` more on each, from `lowest` of its length to its end, `reach` times as long, `stray` aside."""
        number = len(self.start) * count
        step = (np.arange(number) % count + rng.random(number)) / count
        at = (lowest + (1 - lowest) * step)[:, None]
        start, way = np.repeat(self.start, count, axis=0), np.repeat(self.end - self.start, count, axis=0)
        aside = rng.normal(0, stray, (number, 3)) + np.array([0, 0, 0.3])
        length = np.linalg.norm(way, axis=1, keepdims=True) * reach * rng.uniform(0.75, 1.25, (number, 1))
        first = start + way * at
        # The nearer to the end, the thinner the wood and the shorter what grows there.
        radius = np.repeat(self.radius, count) * (0.62 - 0.3 * at[:, 0])
        return _Boughs(first, first + unit(unit(way) + aside) * length * (1.25 - 0.5 * at), radius)

    def stretched(self, about: Floats, factor: Floats) -> _Boughs:
        return _Boughs(about + (self.start - about) * factor, about + (self.end - about) * factor, self.radius)

    def tubes(self, sides: int) -> Mesh:
        numbers = np.concatenate([self.start, self.end, self.radius[:, None], self.radius[:, None] * 0.45], 1)
        return Mesh(tuple(Piece(Tube(sides), row) for row in numbers))

    def twigs(self, rng: np.random.Generator, centre: Floats, width: float) -> Mesh:
        """Each as one long triangle that ends in a point."""
        aside = unit(cross(self.end - self.start, rng.normal(size=self.start.shape))) * (width / 2)
        points = np.stack([self.start - aside, self.start + aside, self.end], 1)
        # Lit like the crown they belong to, as leaves are.
        normals = np.repeat(unit(points.mean(1) - centre)[:, None], 3, axis=1)
        return given(points.reshape(-1, 3).astype(np.float32), _slivers(len(points)), normals.astype(np.float32))


@cache
def _slivers(count: int) -> Given:
    return Given(np.arange(count * 3).reshape(-1, 3))


def bare_crown(rng: np.random.Generator, room: Outline, far: bool) -> list[Mesh]:
    """Limbs, branches and twigs above the fork of a trunk; `far` ones have a sixth of the triangles."""
    limbs = _limbs(rng, room, 4 if far else 6)
    levels = [limbs, limbs.forked(rng, 4 if far else 5, 0.55, 0.5, 0.3)]
    if not far:
        levels.append(levels[-1].forked(rng, 4, 0.6, 0.55, 0.25))
    twigs = levels[-1].forked(rng, 26 if far else 20, 0.8, 0.65, 0.1)
    grown = twigs.end - room.fork
    wide, tall = np.quantile(np.hypot(grown[:, 0], grown[:, 1]), 0.95), np.quantile(grown[:, 2], 0.99)
    factor = np.array([room.half / wide, room.half / wide, (room.top - room.fork[2]) / tall])
    levels, twigs = [level.stretched(room.fork, factor) for level in levels], twigs.stretched(room.fork, factor)
    middle = room.fork + np.array([0, 0, 0.4 * (room.top - room.fork[2])])
    wood = [level.tubes(max(6 - k - far, 3)) for k, level in enumerate(levels)]
    # Wider than real ones, as there are fewer: half of a crown of any size is covered.
    width = (0.022 if far else 0.0098) * np.sqrt(room.half * (room.top - room.fork[2]))
    return [*wood, twigs.twigs(rng, middle, float(width))]


def _limbs(rng: np.random.Generator, room: Outline, count: int) -> _Boughs:
    """The trunk's own way up, and limbs around it at even angles."""
    tall = room.top - room.fork[2]
    angle = rng.uniform(0, 6.3) + 2.4 * np.arange(count) + rng.normal(0, 0.25, count)
    out, high = room.half * rng.uniform(0.4, 0.65, count), tall * rng.uniform(0.4, 0.7, count)
    out[0], high[0] = out[0] * 0.25, tall * 0.78
    end = room.fork + np.stack([out * np.cos(angle), out * np.sin(angle), high], 1)
    start = room.fork + (end[0] - room.fork) * np.linspace(0, 0.3, count)[:, None]
    start[0] = room.fork
    return _Boughs(start, end, room.radius * np.append(0.95, rng.uniform(0.45, 0.7, count - 1)))


def bare_bush(rng: np.random.Generator, size: float) -> list[Mesh]:
    """Stems from one root, with twigs; as wide and as tall as with leaves."""
    count = 14
    angle, out = rng.uniform(0, 6.3, count), size * rng.uniform(0.1, 0.75, count)
    end = np.stack([out * np.cos(angle), out * np.sin(angle), size * rng.uniform(0.6, 1.0, count)], 1)
    stems = _Boughs(end * np.array([0.15, 0.15, 0]), end, np.full(count, 0.014))
    twigs = stems.forked(rng, 22, 0.5, 0.5, 0.25)
    return [stems.tubes(3), twigs.twigs(rng, np.array([0, 0, size * 0.4]), 0.022)]


def bare_hedge(rng: np.random.Generator, tall: float, length: float, half: float) -> list[Mesh]:
    """A stretch of clipped hedge: upright stems and twigs that end at its sides."""
    count = 12
    low = np.stack([rng.uniform(-length, length, count) / 2, rng.uniform(-half, half, count) * 0.5, np.zeros(count)], 1)
    stems = _Boughs(low, low + np.array([0, 0, tall * 0.9]) + rng.normal(0, 0.06, (count, 3)), np.full(count, 0.016))
    twigs = stems.forked(rng, 20, 0.28, 0.9, 0.0)
    limit = np.array([length * 0.6, half * 1.15, tall])
    twigs = _Boughs(twigs.start, np.clip(twigs.end, -limit, limit), twigs.radius)
    return [stems.tubes(3), twigs.twigs(rng, np.array([0, 0, tall * 0.4]), 0.03)]
