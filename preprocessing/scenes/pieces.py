"""Triangles of simple shapes, made many at a time: a scene has thousands of small pieces of a few kinds."""

from __future__ import annotations

from collections.abc import Sequence
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
    def index(self) -> Index:
        """Triangles [F,3] of one piece over its vertices, V of them."""

    def build(self, numbers: list[Any]) -> tuple[Floats, Floats]:
        """Vertices [K,V,3] and normals at corners [K,F,3,3], float32, of K pieces from what each was given."""


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

    def smooth(self, points: Floats) -> Floats:
        """Normals [K,F,3,3] of points float32 [K,V,3], averaged at vertices, weighted by area."""
        corners = points[:, self.index]
        area = cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        area = np.concatenate([area, np.zeros_like(area[:, :1])], 1)
        normals = np.zeros_like(points)
        for faces in self.slots:
            normals += area[:, faces]
        return unit(normals)[:, self.index]


def faceted(points: Floats, index: Index) -> Floats:
    """Normals [K,F,3,3] of points float32 [K,V,3], every triangle flat."""
    corners = points[:, index]
    normal = unit(cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]))
    return np.repeat(normal[:, :, None], 3, axis=2)


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
