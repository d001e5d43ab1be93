"""Triangles over vertices without places: grids, spheres, and the normals that vertices at places give them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from preprocessing.scenes.vectors import Floats, Index, cross, unit


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


def grid_faces(rows: int, columns: int, closed: bool) -> Index:
    """Two triangles per cell of a rows x columns vertex grid; `closed` joins the last column to the first."""
    across = columns if closed else columns - 1
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(across), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    d, e = a + columns, b + columns
    return np.concatenate([np.stack([a, b, e], -1).reshape(-1, 3), np.stack([a, e, d], -1).reshape(-1, 3)])


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
