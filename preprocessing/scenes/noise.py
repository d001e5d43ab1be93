"""Smooth noise and hashes over surface coordinates, the same for the same point whatever the view."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
_SIDE = 512
_TEXELS_PER_CELL = 4
_ROW = 1024


def clamped(x: Floats, low: float, high: float) -> Floats:
    """`x` within low and high; np.clip takes four times as long to begin."""
    return np.asarray(np.minimum(np.maximum(x, low), high))


@cache
def _table() -> Floats:
    """A tiling field of smooth noise [512,512] with mean 0 and standard deviation 1, one for every scene."""
    white = np.random.default_rng(20210).standard_normal((_SIDE, _SIDE))
    fx, fy = np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE))
    blur = np.exp(-((fx**2 + fy**2) * (_TEXELS_PER_CELL * 1.55) ** 2))
    field = np.fft.ifft2(np.fft.fft2(white) * blur).real
    return (field / field.std()).astype(np.float32)


def noise(u: Floats, v: Floats, wavelength: float) -> Floats:
    """Smooth noise [n], mean 0 and deviation about 1, at surface coordinates [n] in metres."""
    scale = _TEXELS_PER_CELL / wavelength
    count = u.size
    rows = max(-(-count // _ROW), 1)
    maps = np.zeros((2, rows * _ROW), np.float32)
    # The period is taken off first: remap converts coordinates to 16 bit inside.
    _wrapped(u * scale, maps[0, :count])
    _wrapped(v * scale, maps[1, :count])
    x, y = maps.reshape(2, rows, _ROW)
    looked = cv2.remap(_table(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(looked.reshape(-1)[:count], np.float32)


def _wrapped(x: Floats, out: Floats) -> None:
    """x modulo the period into `out`: np.mod's own bits, since the period is a power of two, at a fifth of its time."""
    np.multiply(np.floor(x * (1 / _SIDE)), _SIDE, out=out)
    np.subtract(x, out, out=out)


def layered(u: Floats, v: Floats, waves: dict[float, float], footprint: Floats) -> Floats:
    """A sum of noises {wavelength [m]: amplitude}; those finer than two pixel footprints [n] [m] fade."""
    total = np.zeros(u.shape, np.float32)
    for k, (wavelength, amplitude) in enumerate(waves.items()):
        seen = clamped(wavelength / footprint - 1.2, 0, 1)
        shift = np.float32(37.7 * k + 11.3)
        count = np.count_nonzero(seen)
        if count == seen.size:
            total += amplitude * seen * noise(u + shift, v - shift, wavelength)
        elif count:
            where = np.flatnonzero(seen)
            total[where] += amplitude * seen[where] * noise(u[where] + shift, v[where] - shift, wavelength)
    return total


def _whole(key: NDArray[np.generic] | float | int) -> NDArray[np.uint32]:
    """The floor of keys within 2^31 of 0, negative ones wrapped."""
    return np.floor(np.asarray(key)).astype(np.int32).view(np.uint32)


def hashed(*keys: NDArray[np.generic] | float | int) -> Floats:
    """A number in [0, 1) per row of integer keys (floored), fixed for ever for the same keys."""
    state = np.uint32(0x9E3779B9)
    total = np.full(np.broadcast_shapes(*(np.shape(k) for k in keys)), state, np.uint32)
    for key in keys:
        total ^= _whole(key)
        total *= np.uint32(0x85EBCA6B)
        total ^= total >> np.uint32(13)
        total *= np.uint32(0xC2B2AE35)
        total ^= total >> np.uint32(16)
    total >>= np.uint32(8)
    return total.astype(np.float32) * np.float32(1 / (1 << 24))
