"""The content of a scene: labelled parts gathered into one triangle soup with per-part attributes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preprocessing.scenes.lamps import Lamp
from preprocessing.scenes.mesh import Mesh, Pose, join, turned
from preprocessing.scenes.pieces import Triangles, build
from preprocessing.scenes.vectors import Floats, cross, unit

# Cityscapes labelIds (cityscapesScripts, helpers/labels.py; ids 1, 4, 5 and 14 are void in every label set).
EGO_VEHICLE, STATIC, DYNAMIC, ROAD, SIDEWALK = 1, 4, 5, 7, 8
BUILDING, WALL, FENCE, GUARD_RAIL, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN = 11, 12, 13, 14, 17, 19, 20
VEGETATION, TERRAIN, SKY, PERSON, RIDER, CAR, TRUCK, BUS = 21, 22, 23, 24, 25, 26, 27, 28
TRAIN, MOTORCYCLE, BICYCLE = 31, 32, 33
THINGS = frozenset((PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE))

Colour = tuple[float, float, float]
PARAMS = 6


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of several colours."""
    return colours[int(rng.integers(len(colours)))]


def tinted(colour: Colour, factor: float | NDArray[np.float64], most: float = 1.0) -> Colour:
    """A colour brightened by a factor, or by one per channel, up to `most`."""
    red, green, blue = np.minimum(np.array(colour) * factor, most)
    return float(red), float(green), float(blue)


@dataclass(frozen=True)
class Look:
    """How a part is painted: a key of masonry.TEXTURES, its linear RGB albedo, and that texture's numbers."""

    texture: str
    colour: Colour
    params: tuple[float, ...] = ()


@dataclass(frozen=True)
class Placed:
    """An object of the scene: its label id, where it stands (world metres) and the radius it takes up."""

    label: int
    x: float
    y: float
    radius: float
    seed: float = 0.0  # of its actor


@dataclass(frozen=True)
class Geometry:
    """All triangles of a scene (F) and the parts they belong to (P)."""

    vertices: Floats  # [V,3] world
    triangles: NDArray[np.int32]  # [F,3] vertices of each
    normals: Floats  # [F,3,3] world, unit
    local: Floats  # [F,3,3] object coordinates: what textures are functions of
    axis: NDArray[np.int8]  # [F] the object axis the face looks along most
    part: NDArray[np.int32]  # [F]
    label: NDArray[np.uint8]  # [P] Cityscapes labelIds
    instance: NDArray[np.uint16]  # [P] Cityscapes instanceIds
    texture: NDArray[np.str_]  # [P]
    colour: Floats  # [P,3]
    params: Floats  # [P,PARAMS]
    seed: Floats  # [P] a number per object that shifts its noise

    @property
    def corners(self) -> Floats:
        """[F,3,3] world."""
        return np.asarray(self.vertices[self.triangles])


@dataclass
class Stage:
    """Collects parts; `actor` starts an object."""

    placed: list[Placed] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    _rows: list[tuple[Mesh | None, Mesh, Look, Actor]] = field(default_factory=list)
    _counts: dict[int, int] = field(default_factory=dict)
    _objects: int = 0

    def actor(self, label: int, where: Pose, radius: float = 0.3) -> Actor:
        """A new object of class `label` at `where`; things get their own instance id (class * 1000 + k)."""
        self._objects += 1
        seed = self._objects * 17.31
        self.placed.append(Placed(label, float(where.offset[0]), float(where.offset[1]), radius, seed))
        instance = label
        if label in THINGS:
            instance = label * 1000 + self._counts.get(label, 0)
            self._counts[label] = self._counts.get(label, 0) + 1
        return Actor(self, label, instance, where, seed)

    def add(self, local: Mesh, actor: Actor, look: Look) -> None:
        """Put one part of an actor on the stage."""
        self._rows.append((None, local, look, actor))

    def add_raw(self, world: Mesh, local: Mesh, actor: Actor, look: Look) -> None:
        """Put a part on the stage whose world shape is no rigid placement of its local one (the ground)."""
        self._rows.append((world, local, look, actor))

    def drop(self, seeds: set[float]) -> None:
        """Take actors (by their `seed`) off the stage again, with what stands there."""
        self._rows = [row for row in self._rows if row[3].seed not in seeds]
        self.placed = [placed for placed in self.placed if placed.seed not in seeds]

    def finish(self) -> Geometry:
        """Everything added so far as arrays."""
        rows = self._rows
        made, first_vertex, first_face = build([row[1].pieces for row in rows])
        vertices, normals = self._in_the_world(made, first_vertex, first_face)
        local = made.corners
        facing = np.abs(cross(local[:, 1] - local[:, 0], local[:, 2] - local[:, 0]))
        params = np.zeros((len(rows), PARAMS), np.float32)
        for k, row in enumerate(rows):
            params[k, : len(row[2].params)] = row[2].params
        return Geometry(
            vertices=vertices,
            triangles=made.index,
            normals=normals,
            local=local,
            axis=facing.argmax(1).astype(np.int8),
            part=np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(first_face)),
            label=np.array([r[3].label for r in rows], np.uint8),
            instance=np.array([r[3].instance for r in rows], np.uint16),
            texture=np.array([r[2].texture for r in rows]),
            colour=np.array([r[2].colour for r in rows], np.float32),
            params=params,
            seed=np.array([r[3].seed for r in rows], np.float32),
        )

    def _in_the_world(
        self, made: Triangles, first_vertex: NDArray[np.int64], first_face: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """World vertices and normals of all rows; rows of one actor go together."""
        vertices, normals = np.empty_like(made.vertices), np.zeros_like(made.normals)
        ready: list[tuple[slice, Floats]] = []
        k = 0
        while k < len(self._rows):
            world, _, _, actor = self._rows[k]
            end = k + 1
            while world is None and end < len(self._rows) and self._rows[end][3] is actor:
                end += 1
            points, faces = slice(first_vertex[k], first_vertex[end]), slice(first_face[k], first_face[end])
            if world is None:
                vertices[points], normals[faces] = turned(made.vertices[points], made.normals[faces], actor.where)
            else:
                raw = build([world.pieces])[0]
                vertices[points] = raw.vertices
                ready.append((faces, raw.normals))
            k = end
        normals = unit(normals)
        for faces, own in ready:
            normals[faces] = own
        return vertices, normals


@dataclass(frozen=True)
class Actor:
    """One object while it is being built."""

    stage: Stage
    label: int
    instance: int
    where: Pose
    seed: float

    def add(self, mesh: Mesh | list[Mesh], look: Look) -> None:
        """Add a part given in object coordinates."""
        self.stage.add(join(mesh) if isinstance(mesh, list) else mesh, self, look)
