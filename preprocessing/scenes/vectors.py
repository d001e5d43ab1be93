"""Rows of three numbers: products, lengths, colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Index = NDArray[np.int64]


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
