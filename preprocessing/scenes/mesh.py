"""Shapes in metres: what a mesh is made of, and simple meshes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preprocessing.scenes.pieces import Ball, Box, Faceted, Given, Piece, Smooth, Tube, build, lofted, rolled
from preprocessing.scenes.topology import sphere
from preprocessing.scenes.vectors import Floats, Index, cross, unit


@dataclass(frozen=True)
class Mesh:
    """Triangles that are not yet worked out: `build(mesh.pieces)` gives corners and normals."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Pose:
    """A rigid placement with scale: world = matrix @ local + offset."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def point(self, local: ArrayLike) -> NDArray[np.float64]:
        """The world position of one local point."""
        return np.asarray(self.matrix @ np.asarray(local, float) + self.offset)


def pose(x: float, y: float, z: float, heading: float = 0.0, pitch: float = 0.0, scale: float = 1.0) -> Pose:
    """A placement at (x, y, z) with local x along `heading` (radians from world x, anticlockwise)."""
    ch, sh, cp, sp = np.cos(heading), np.sin(heading), np.cos(pitch), np.sin(pitch)
    yaw = np.array([[ch, -sh, 0], [sh, ch, 0], [0, 0, 1]])
    tilt = np.array([[cp, 0, -sp], [0, 1, 0], [sp, 0, cp]])
    return Pose(yaw @ tilt * scale, np.array([x, y, z], float))


def given(vertices: Floats, kind: Given, normals: Floats) -> Mesh:
    """Ready triangles with a normal at every corner [F,3,3]."""
    return Mesh((Piece(kind, (vertices, normals)),))


def turned(vertices: Floats, normals: Floats, where: Pose) -> tuple[Floats, Floats]:
    """Vertices [V,3] and normals [F,3,3] moved by a pose; normals keep the pose's scale."""
    across = where.matrix.astype(np.float32).T
    return vertices @ across + where.offset.astype(np.float32), (normals.reshape(-1, 3) @ across).reshape(-1, 3, 3)


def placed(mesh: Mesh, where: Pose) -> Mesh:
    """The mesh moved by a pose; normals stay unit length."""
    made = build([mesh.pieces])[0]
    vertices, normals = turned(made.vertices, made.normals, where)
    return given(vertices, Given(made.index.astype(np.int64)), unit(normals))


def moved(mesh: Mesh, x: float, y: float, z: float) -> Mesh:
    """The mesh shifted by (x, y, z)."""
    made = build([mesh.pieces])[0]
    shift = np.array([x, y, z], np.float32)
    return given(made.vertices + shift, Given(made.index.astype(np.int64)), made.normals)


def join(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    return Mesh(tuple(piece for mesh in meshes for piece in mesh.pieces))


def flat(vertices: ArrayLike, faces: list[list[int]]) -> Mesh:
    """A faceted mesh from vertices [V,3] and triangles, anticlockwise seen from outside."""
    return Mesh((Piece(Faceted(tuple((a, b, c) for a, b, c in faces)), vertices),))


def smooth(vertices: ArrayLike, faces: Index) -> Mesh:
    """A mesh of any triangles [F,3] whose normals are averaged at shared vertices (weighted by area)."""
    points = np.asarray(vertices, np.float32)
    corners = points[faces]
    area = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, faces[:, k], area)
    return given(points, Given(faces), unit(normals)[faces])


_BOX = Box()


def box(low: ArrayLike, high: ArrayLike, inset: float = 0.0) -> Mesh:
    """An axis-aligned box from corner `low` to corner `high`; `inset` draws its top in on every side."""
    return Mesh((Piece(_BOX, (*low, *high, inset)),))  # type: ignore[misc]


def slab(size: ArrayLike, centre: ArrayLike) -> Mesh:
    """A box of the given size around its centre."""
    half, middle = np.asarray(size, float) / 2, np.asarray(centre, float)
    return box(middle - half, middle + half)


def tube(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None, sides: int = 8) -> Mesh:
    """A capped round bar from `start` to `end`, its radius changing linearly."""
    last = radius if end_radius is None else end_radius
    return Mesh((Piece(Tube(sides), (*start, *end, radius, last)),))  # type: ignore[misc]


def sphere_points(subdivisions: int) -> Floats:
    """Vertices on the unit sphere [V,3]."""
    return sphere(subdivisions)[0]


def lump(vertices: ArrayLike, subdivisions: int) -> Mesh:
    """A smooth body with the triangles of `sphere_points(subdivisions)`, whose vertices were moved."""
    return Mesh((Piece(_sphere_kind(subdivisions), vertices),))


@cache
def _sphere_kind(subdivisions: int) -> Smooth:
    return Smooth(sphere(subdivisions)[1])


def ellipsoid(centre: ArrayLike, radii: ArrayLike, subdivisions: int = 1) -> Mesh:
    """An ellipsoid with half axes `radii` along x, y, z."""
    return Mesh((Piece(Ball(subdivisions), (*centre, *radii)),))  # type: ignore[misc]


def capsule(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None) -> Mesh:
    """A round limb from `start` to `end` with round ends."""
    last = radius if end_radius is None else end_radius
    ends = [ellipsoid(start, [radius] * 3), ellipsoid(end, [last] * 3)]
    return join([tube(start, end, radius, last, sides=8), *ends])


def loft(sections: ArrayLike) -> Mesh:
    """A closed smooth body through cross-sections [K,P,3], each a ring anticlockwise seen from the last."""
    rings = np.asarray(sections, float)
    count, around, _ = rings.shape
    return Mesh((Piece(lofted(count, around), rings.reshape(-1, 3)),))


def ring(centre: ArrayLike, radius: float, thickness: float, sides: int = 20) -> Mesh:
    """A thin torus around the y axis (a bicycle wheel)."""
    points = _torus(radius, thickness, sides) + np.asarray(centre, float)
    return Mesh((Piece(rolled(sides + 1, 5), points),))


@cache
def _torus(radius: float, thickness: float, sides: int) -> NDArray[np.float64]:
    angle = np.arange(sides + 1) * 2 * np.pi / sides
    around = np.arange(5) * 2 * np.pi / 5
    out = radius + thickness * np.cos(around)
    y = np.broadcast_to(thickness * np.sin(around), (sides + 1, 5))
    return np.stack([np.cos(angle)[:, None] * out, y, np.sin(angle)[:, None] * out], -1).reshape(-1, 3)


def sheet(points: ArrayLike) -> Mesh:
    """One flat quadrilateral through four points, anticlockwise seen from its front."""
    return flat(points, [[0, 1, 2], [0, 2, 3]])
