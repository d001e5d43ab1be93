"""Lamps as light sources: street lamps and headlights, with shadows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.scenes.mesh import Pose
from preprocessing.scenes.noise import clamped
from preprocessing.scenes.vectors import Floats, dot

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

_FAINT = 0.004  # irradiance below which no shadow is looked for and nothing is added


@dataclass(frozen=True)
class Lamp:
    """A cone of light.

    Attributes:
        place: World position [m].
        aim: Unit vector along the middle of the cone.
        colour: Linear RGB irradiance at 1 m in the middle of the cone.
        edge, full: Cosines between which the cone fades from nothing to all.
        reach: Where its light is taken to end [m].
    """

    place: tuple[float, float, float]
    aim: tuple[float, float, float]
    colour: tuple[float, float, float]
    edge: float
    full: float
    reach: float


def street_lamp(where: Pose, local: tuple[float, float, float]) -> Lamp:
    """The lamp of a post, shining down; sodium or white by where it stands."""
    x, y, z = (float(value) for value in where.point(local))
    warm = (x * 3.7 + y * 1.3) % 1.0 < 0.5
    colour = (62.0, 42.0, 20.0) if warm else (54.0, 52.0, 45.0)
    return Lamp((x, y, z), (0.0, 0.0, -1.0), colour, 0.12, 0.6, 30.0)


def headlights(where: Pose, ahead: float, height: float) -> Lamp:
    """Both headlights of a vehicle as one, dipped."""
    x, y, z = (float(value) for value in where.point((ahead, 0.0, height)))
    forward = where.matrix[:, 0] / np.linalg.norm(where.matrix[:, 0])
    aim = forward - np.array([0, 0, 0.05])
    aim = aim / np.linalg.norm(aim)
    return Lamp((x, y, z), (float(aim[0]), float(aim[1]), float(aim[2])), (250.0, 235.0, 205.0), 0.87, 0.985, 70.0)


class LitBy:
    """The lamps of a scene at some strength."""

    def __init__(self, lamps: tuple[Lamp, ...], strength: float, embree: EmbreeScene) -> None:
        self._lamps, self._strength, self._embree = lamps, np.float32(strength), embree

    def at(self, point: Floats, normal: Floats) -> Floats:
        """Irradiance [3,n] at points with unit normals [n,3]."""
        total = np.zeros((3, len(point)), np.float32)
        if not len(point):
            return total
        low, high = point.min(0), point.max(0)
        for lamp in self._lamps:
            place = np.array(lamp.place, np.float32)
            if np.linalg.norm(place - np.minimum(np.maximum(place, low), high)) < lamp.reach:
                self._add(total, lamp, (point, normal))
        return total * self._strength

    def _add(self, total: Floats, lamp: Lamp, surface: tuple[Floats, Floats]) -> None:
        point, normal = surface
        gap = np.array(lamp.place, np.float32) - point
        square = dot(gap, gap)
        near = np.flatnonzero(square < lamp.reach**2)
        gap, square = gap[near], square[near]
        length = np.sqrt(square)
        towards = gap / length[:, None]
        cone = clamped((-dot(towards, np.array(lamp.aim, np.float32)) - lamp.edge) / (lamp.full - lamp.edge), 0, 1)
        fade = clamped(1.5 - 1.5 * length / lamp.reach, 0, 1)
        share = cone * fade * clamped(dot(normal[near], towards), 0, 1) / (square + 0.5)
        lit = np.flatnonzero(share * max(lamp.colour) > _FAINT)
        if not lit.size:
            return
        start = point[near[lit]] + normal[near[lit]] * 0.02
        way = towards[lit] * np.maximum(length[lit] - 0.7, 0.01)[:, None]
        # The lamp's own housing stands before it: rays end 0.7 m short.
        limit = np.ones(lit.size, np.float32)
        hidden = self._embree.run(np.ascontiguousarray(start), np.ascontiguousarray(way), dists=limit, query="OCCLUDED")
        free = lit[np.asarray(hidden) < 0]
        total[:, near[free]] += np.array(lamp.colour, np.float32)[:, None] * share[free]
