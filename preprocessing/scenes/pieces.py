"""Triangles of simple shapes, made many at a time: a scene has thousands of small pieces of a few kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preprocessing.scenes.topology import Topology, faceted, grid_faces, sphere
from preprocessing.scenes.vectors import Floats, Index, cross, dot, unit


class Kind(Protocol):
    """What a piece is but for its numbers; equal kinds are built together."""

    @property
    def index(self) -> Index:
        """Triangles [F,3] of one piece over its vertices, V of them."""

    def build(self, numbers: list[Any]) -> tuple[Floats, Floats]:
        """Vertices [K,V,3] and normals at corners [K,F,3,3], float32, of K pieces from what each was given."""


@dataclass(frozen=True)
class Piece:
    """A kind and its numbers."""

    kind: Kind
    numbers: Any


@dataclass(frozen=True)
class Faceted:
    """Flat triangles; numbers: vertices [V,3]."""

    triangles: tuple[tuple[int, int, int], ...]

    @property
    def index(self) -> Index:
        return np.array(self.triangles)

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        points = np.array(numbers, np.float32)
        return points, faceted(points, self.index)


@dataclass(frozen=True, eq=False)
class Smooth:
    """One of the standing topologies; numbers: vertices [V,3]. `ends` closes a tube of rings with flat lids."""

    topology: Topology
    ends: tuple[Index, ...] = ()

    @property
    def index(self) -> Index:
        return np.concatenate([self.topology.index, *self.ends])

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        points = np.array(numbers, np.float32)
        return points, np.concatenate(
            [self.topology.smooth(points), *(faceted(points, lid) for lid in self.ends)], axis=1
        )


_BOX = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4]]
_BOX += [[1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]


@dataclass(frozen=True)
class Box:
    """Numbers: least and greatest corner, and by how much the top is drawn in: 7."""

    @property
    def index(self) -> Index:
        return np.array(_BOX)

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        x0, y0, z0, x1, y1, z1, i = np.array(numbers, float).T
        foot = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
        head = [(x0 + i, y0 + i, z1), (x1 - i, y0 + i, z1), (x1 - i, y1 - i, z1), (x0 + i, y1 - i, z1)]
        points = np.stack([np.stack(corner, -1) for corner in foot + head], 1).astype(np.float32)
        return points, faceted(points, self.index)


@dataclass(frozen=True)
class Tube:
    """Numbers: both ends and the radius at each: 8."""

    sides: int

    @property
    def index(self) -> Index:
        return _barrel(self.sides).index

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        table = np.array(numbers, float)
        a, b, first, last = table[:, :3], table[:, 3:6], table[:, 6], table[:, 7]
        axis = (b - a) / (np.sqrt(dot(b - a, b - a)) + 1e-9)[:, None]
        upright = np.where((np.abs(axis[:, 2]) < 0.9)[:, None], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
        side = cross(axis, upright)
        side /= np.sqrt(dot(side, side))[:, None]
        angle = np.arange(self.sides) * 2 * np.pi / self.sides
        around = np.cos(angle)[:, None] * side[:, None] + np.sin(angle)[:, None] * cross(axis, side)[:, None]
        ends = [a[:, None] + around * first[:, None, None], b[:, None] + around * last[:, None, None]]
        return _barrel(self.sides).build(list(np.concatenate(ends, 1)))


@dataclass(frozen=True)
class Ball:
    """Numbers: centre and half axes: 6."""

    detail: int

    @property
    def index(self) -> Index:
        return sphere(self.detail)[1].index

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        points, topology = sphere(self.detail)
        table = np.array(numbers, float).astype(np.float32)[:, None]
        centre, half = table[..., :3], table[..., 3:]
        return points * half + centre, unit(points / half)[:, topology.index]


@dataclass(frozen=True, eq=False)
class Given:
    """Numbers: vertices [V,3] and normals [F,3,3], both float32."""

    index: Index

    def build(self, numbers: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        return np.stack([n[0] for n in numbers]), np.stack([n[1] for n in numbers])


@cache
def rolled(rows: int, columns: int) -> Smooth:
    """A grid of vertices whose last column joins the first."""
    return Smooth(Topology.of(grid_faces(rows, columns, closed=True)))


@cache
def lofted(rings: int, around: int) -> Smooth:
    """A body through rings of vertices, anticlockwise seen from the last, with lids on both ends."""
    fan = np.array([[0, k, k + 1] for k in range(1, around - 1)])
    return Smooth(rolled(rings, around).topology, (fan + (rings - 1) * around, fan[:, ::-1]))


@cache
def _barrel(sides: int) -> Smooth:
    """The wall of a tube between two rings of vertices, and its lids."""
    fan = np.array([[0, k + 1, k] for k in range(1, sides - 1)])
    return Smooth(rolled(2, sides).topology, (fan, fan[:, ::-1] + sides))


@dataclass(frozen=True)
class Triangles:
    """Vertices [V,3], triangles [F,3] over them, a normal at every corner [F,3,3]."""

    vertices: Floats
    index: NDArray[np.int32]
    normals: Floats

    @property
    def corners(self) -> Floats:
        """[F,3,3]: face, corner, xyz."""
        return np.asarray(self.vertices[self.index])


def build(parts: Sequence[Sequence[Piece]]) -> tuple[Triangles, Index, Index]:
    """All parts' triangles, one after the other, and where each part's vertices and triangles begin (and the end)."""
    shapes: dict[Kind, tuple[Index, int]] = {}
    rows: dict[Kind, list[tuple[int, int, Any]]] = {}
    vertices = faces = 0
    starts = [(0, 0)]
    for part in parts:
        for piece in part:
            if piece.kind not in shapes:
                index = piece.kind.index
                shapes[piece.kind] = index, int(index.max()) + 1
                rows[piece.kind] = []
            rows[piece.kind].append((vertices, faces, piece.numbers))
            index, count = shapes[piece.kind]
            vertices, faces = vertices + count, faces + len(index)
        starts.append((vertices, faces))
    points, normals = np.empty((vertices, 3), np.float32), np.empty((faces, 3, 3), np.float32)
    triangles = np.empty((faces, 3), np.int32)
    for kind, found in rows.items():
        index, count = shapes[kind]
        first, at = np.array([row[0] for row in found]), np.array([row[1] for row in found])
        at = at[:, None] + np.arange(len(index))
        points[first[:, None] + np.arange(count)], normals[at] = kind.build([row[2] for row in found])
        triangles[at] = index + first[:, None, None]
    edges = np.array(starts)
    return Triangles(points, triangles, normals), edges[:, 0], edges[:, 1]
