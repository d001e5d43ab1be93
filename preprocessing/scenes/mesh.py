"""Triangle meshes of simple shapes, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Mesh:
    """Triangles with a normal at every corner: both float32 [F,3,3] (face, corner, xyz)."""

    corners: Floats
    normals: Floats


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


def rgb(red: float, green: float, blue: float) -> NDArray[np.float32]:
    """A linear RGB colour as an array [3]."""
    return np.array([red, green, blue], np.float32)


def unit(vectors: Floats) -> Floats:
    """Rows [n,3] scaled to length 1."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) + 1e-12
    return np.asarray(vectors / length[:, None])


def placed(mesh: Mesh, where: Pose) -> Mesh:
    """The mesh moved by a pose; normals stay unit length."""
    matrix = where.matrix.astype(np.float32)
    normals = unit((mesh.normals @ matrix.T).reshape(-1, 3)).reshape(-1, 3, 3)
    return Mesh(mesh.corners @ matrix.T + where.offset.astype(np.float32), normals)


def moved(mesh: Mesh, x: float, y: float, z: float) -> Mesh:
    """The mesh shifted by (x, y, z)."""
    return Mesh(mesh.corners + np.array([x, y, z], np.float32), mesh.normals)


def join(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    return Mesh(np.concatenate([m.corners for m in meshes]), np.concatenate([m.normals for m in meshes]))


def _cross(a: Floats, b: Floats) -> Floats:
    """The cross product of rows [F,3]; np.cross spends ten times as long on small meshes."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def flat(vertices: ArrayLike, faces: ArrayLike) -> Mesh:
    """A faceted mesh from vertices [V,3] and triangles [F,3], anticlockwise seen from outside."""
    corners = np.asarray(vertices, np.float32)[np.asarray(faces)]
    normal = unit(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    return Mesh(corners, np.repeat(normal[:, None], 3, axis=1).astype(np.float32))


def smooth(vertices: ArrayLike, faces: ArrayLike) -> Mesh:
    """A mesh whose normals are averaged at shared vertices (weighted by area)."""
    points, index = np.asarray(vertices, np.float32), np.asarray(faces)
    corners = points[index]
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, index[:, k], area)
    return Mesh(corners, unit(normals)[index])


def grid_faces(rows: int, columns: int, closed: bool) -> NDArray[np.int64]:
    """Two triangles per cell of a rows x columns vertex grid; `closed` joins the last column to the first."""
    across = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(across), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    d, e = a + columns, b + columns
    return np.concatenate([np.stack([a, b, e], -1).reshape(-1, 3), np.stack([a, e, d], -1).reshape(-1, 3)])


_BOX_FACES = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4]]
_BOX_FACES += [[1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]


def box(low: ArrayLike, high: ArrayLike, inset: float = 0.0) -> Mesh:
    """An axis-aligned box from corner `low` to corner `high`; `inset` draws its top in on every side."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, float), np.asarray(high, float)
    i = inset
    foot = [[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]]
    head = [[x0 + i, y0 + i, z1], [x1 - i, y0 + i, z1], [x1 - i, y1 - i, z1], [x0 + i, y1 - i, z1]]
    return flat([*foot, *head], _BOX_FACES)


def slab(size: ArrayLike, centre: ArrayLike) -> Mesh:
    """A box of the given size around its centre."""
    half, middle = np.asarray(size, float) / 2, np.asarray(centre, float)
    return box(middle - half, middle + half)


def tube(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None, sides: int = 8) -> Mesh:
    """A capped round bar from `start` to `end`, its radius changing linearly."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    axis = (b - a) / (np.linalg.norm(b - a) + 1e-9)
    side = np.cross(axis, [0, 0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0, 0])
    side /= np.linalg.norm(side)
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(axis, side)
    last = radius if end_radius is None else end_radius
    wall = smooth(np.concatenate([a + ring * radius, b + ring * last]), grid_faces(2, sides, closed=True))
    fan = [[0, k + 1, k] for k in range(1, sides - 1)]
    caps = [flat(a + ring * radius, fan), flat(b + ring * last, [f[::-1] for f in fan])]
    return join([wall, *caps])


@cache
def _icosphere(subdivisions: int) -> tuple[Floats, NDArray[np.int64]]:
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
    return (vertices / np.linalg.norm(vertices, axis=1, keepdims=True)).astype(np.float32), index


def sphere_points(subdivisions: int) -> tuple[Floats, NDArray[np.int64]]:
    """Vertices on the unit sphere [V,3] and triangles [F,3]: an icosahedron subdivided."""
    return _icosphere(subdivisions)


def ellipsoid(centre: ArrayLike, radii: ArrayLike, subdivisions: int = 1) -> Mesh:
    """An ellipsoid with half axes `radii` along x, y, z."""
    points, index = _icosphere(subdivisions)
    half = np.asarray(radii, np.float32)
    normals = unit(points / half)
    return Mesh((points * half + np.asarray(centre, np.float32))[index], normals[index].astype(np.float32))


def capsule(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None) -> Mesh:
    """A round limb from `start` to `end` with round ends."""
    last = radius if end_radius is None else end_radius
    ends = [ellipsoid(start, [radius] * 3), ellipsoid(end, [last] * 3)]
    return join([tube(start, end, radius, last, sides=8), *ends])


def loft(sections: ArrayLike) -> Mesh:
    """A closed smooth body through cross-sections [K,P,3], each a ring anticlockwise seen from the last."""
    rings = np.asarray(sections, float)
    count, around, _ = rings.shape
    body = smooth(rings.reshape(-1, 3), grid_faces(count, around, closed=True))
    fan = [[0, k, k + 1] for k in range(1, around - 1)]
    return join([body, flat(rings[-1], fan), flat(rings[0], [f[::-1] for f in fan])])


def ring(centre: ArrayLike, radius: float, thickness: float, sides: int = 20) -> Mesh:
    """A thin torus around the y axis (a bicycle wheel)."""
    angle = np.arange(sides + 1) * 2 * np.pi / sides
    around = np.arange(5) * 2 * np.pi / 5
    out = radius + thickness * np.cos(around)
    points = np.stack(
        [
            np.cos(angle)[:, None] * out,
            np.broadcast_to(thickness * np.sin(around), (sides + 1, 5)),
            np.sin(angle)[:, None] * out,
        ],
        -1,
    )
    return smooth(points.reshape(-1, 3) + np.asarray(centre, float), grid_faces(sides + 1, 5, closed=True))


def sheet(points: ArrayLike) -> Mesh:
    """One flat quadrilateral through four points, anticlockwise seen from its front."""
    return flat(points, [[0, 1, 2], [0, 2, 3]])
