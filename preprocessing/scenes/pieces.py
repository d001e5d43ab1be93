"""Triangles of simple shapes, made many at a time: a scene has thousands of small pieces of a few kinds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Index = NDArray[np.int64]


class Kind(Protocol):
    """What a piece is but for its numbers; equal kinds are built together."""

    @property
    def faces(self) -> int:
        """Triangles of one piece."""

    def build(self, numbers: list[Any]) -> tuple[Floats, Floats]:
        """Corners and normals [K,F,3,3] float32 of K pieces, from what each was given."""


@dataclass(frozen=True)
class Piece:
    """A kind and its numbers."""

    kind: Kind
    numbers: Any


def rgb(red: float, green: float, blue: float) -> NDArray[np.float32]:
    """A linear RGB colour as an array [3]."""
    return np.array([red, green, blue], np.float32)


def dot(a: Floats, b: Floats) -> Floats:
    """Scalar products of rows: [...,3] and [...,3] or [3] to [...]."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


def unit(vectors: Floats) -> Floats:
    """Rows [...,3] scaled to length 1."""
    length = np.sqrt(dot(vectors, vectors)) + 1e-12
    return np.asarray(vectors / length[..., None])


def cross(a: Floats, b: Floats) -> Floats:
    """The cross product of rows [...,3]; np.cross spends ten times as long on small arrays."""
    ax, ay, az, bx, by, bz = *np.moveaxis(a, -1, 0), *np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


@dataclass(frozen=True, eq=False)
class Topology:
    """Triangles [F,3] over vertices; `slots` [S,V] says which faces meet at each vertex, F for none."""

    index: Index
    slots: Index

    @classmethod
    def of(cls, index: Index) -> Topology:
        """For these triangles."""
        count, vertices = len(index), int(index.max()) + 1
        around: list[list[int]] = [[] for _ in range(vertices)]
        for corner in range(3):  # the order in which area is summed is part of the result's bits
            for face, vertex in enumerate(index[:, corner].tolist()):
                around[vertex].append(face)
        slots = np.full((max(map(len, around)), vertices), count)
        for vertex, faces in enumerate(around):
            slots[: len(faces), vertex] = faces
        return cls(index, slots)

    def smooth(self, points: Floats) -> tuple[Floats, Floats]:
        """Corners and normals [K,F,3,3] of points float32 [K,V,3], normals averaged at vertices, weighted by area."""
        corners = points[:, self.index]
        area = cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        area = np.concatenate([area, np.zeros_like(area[:, :1])], 1)
        normals = np.zeros_like(points)
        for faces in self.slots:
            normals += area[:, faces]
        return corners, unit(normals)[:, self.index]


def faceted(points: Floats, index: Index) -> tuple[Floats, Floats]:
    """Corners and normals [K,F,3,3] of points float32 [K,V,3], every triangle flat."""
    corners = points[:, index]
    normal = unit(cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]))
    return corners, np.repeat(normal[:, :, None], 3, axis=2)


@dataclass(frozen=True)
class Faceted:
    """Flat triangles; numbers: vertices [V,3]."""

    index: tuple[tuple[int, int, int], ...]

    @property
    def faces(self) -> int:
        return len(self.index)

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        return faceted(np.array(numbers, np.float32), np.array(self.index))


@dataclass(frozen=True, eq=False)
class Smooth:
    """One of the standing topologies; numbers: vertices [V,3]. `ends` closes a tube of rings with flat lids."""

    topology: Topology
    ends: tuple[Index, ...] = ()

    @property
    def faces(self) -> int:
        return len(self.topology.index) + sum(map(len, self.ends))

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        points = np.array(numbers, np.float32)
        parts = [self.topology.smooth(points), *(faceted(points, lid) for lid in self.ends)]
        return np.concatenate([p[0] for p in parts], 1), np.concatenate([p[1] for p in parts], 1)


_BOX = ((0, 2, 1), (0, 3, 2), (4, 5, 6), (4, 6, 7), (0, 1, 5), (0, 5, 4))
_BOX += ((1, 2, 6), (1, 6, 5), (2, 3, 7), (2, 7, 6), (3, 0, 4), (3, 4, 7))


@dataclass(frozen=True)
class Box:
    """Numbers: least and greatest corner, and by how much the top is drawn in: 7."""

    faces: int = 12

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        x0, y0, z0, x1, y1, z1, i = np.array(numbers, float).T
        foot = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
        head = [(x0 + i, y0 + i, z1), (x1 - i, y0 + i, z1), (x1 - i, y1 - i, z1), (x0 + i, y1 - i, z1)]
        points = np.stack([np.stack(corner, -1) for corner in foot + head], 1)
        return faceted(points.astype(np.float32), np.array(_BOX))


@dataclass(frozen=True)
class Tube:
    """Numbers: both ends and the radius at each: 8."""

    sides: int

    @property
    def faces(self) -> int:
        return 2 * self.sides + 2 * (self.sides - 2)

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
    def faces(self) -> int:
        return len(sphere(self.detail)[1].index)

    def build(self, numbers: list[ArrayLike]) -> tuple[Floats, Floats]:
        points, topology = sphere(self.detail)
        table = np.array(numbers, float).astype(np.float32)[:, None]
        centre, half = table[..., :3], table[..., 3:]
        normals = unit(points / half)
        return (points * half + centre)[:, topology.index], normals[:, topology.index]


@dataclass(frozen=True)
class Given:
    """Ready triangles; numbers: corners and normals, both float32 [F,3,3]."""

    faces: int

    def build(self, numbers: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        return np.stack([n[0] for n in numbers]), np.stack([n[1] for n in numbers])


def grid_faces(rows: int, columns: int, closed: bool) -> Index:
    """Two triangles per cell of a rows x columns vertex grid; `closed` joins the last column to the first."""
    across = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(across), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    d, e = a + columns, b + columns
    return np.concatenate([np.stack([a, b, e], -1).reshape(-1, 3), np.stack([a, e, d], -1).reshape(-1, 3)])


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


@cache
def sphere(subdivisions: int) -> tuple[Floats, Topology]:
    """Vertices on the unit sphere [V,3] and their triangles: an icosahedron subdivided."""
    g = (1 + 5**0.5) / 2
    points = [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g]]
    points += [[0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]
    faces = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4]]
    faces += [[11, 10, 2], [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8]]
    faces += [[3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]]
    vertices, index = np.array(points, float), np.array(faces)
    for _ in range(subdivisions):
        edges = np.sort(np.concatenate([index[:, [0, 1]], index[:, [1, 2]], index[:, [2, 0]]]), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = vertices[unique].mean(1)
        ab, bc, ca = (len(vertices) + inverse.reshape(3, -1)).tolist()
        vertices = np.concatenate([vertices, middle])
        a, b, c = index.T
        index = np.concatenate([np.stack(f, 1) for f in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    unit_points = (vertices / np.linalg.norm(vertices, axis=1, keepdims=True)).astype(np.float32)
    return unit_points, Topology.of(index)


def build(pieces: Iterable[Piece]) -> tuple[Floats, Floats]:
    """Corners and normals float32 [F,3,3] of pieces, one after the other."""
    by_kind: dict[Kind, tuple[list[int], list[Any]]] = {}
    total = 0
    for piece in pieces:
        starts, numbers = by_kind.setdefault(piece.kind, ([], []))
        starts.append(total)
        numbers.append(piece.numbers)
        total += piece.kind.faces
    corners, normals = np.empty((total, 3, 3), np.float32), np.empty((total, 3, 3), np.float32)
    for kind, (starts, numbers) in by_kind.items():
        rows = np.array(starts)[:, None] + np.arange(kind.faces)
        corners[rows], normals[rows] = kind.build(numbers)
    return corners, normals
