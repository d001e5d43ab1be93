"""Light on surfaces: sky, contact shade, haze, and the way from radiance to 8-bit pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.scenes.daylight import Light
from preprocessing.scenes.noise import clamped, layered
from preprocessing.scenes.stage import ROAD, SIDEWALK, TERRAIN, Geometry
from preprocessing.scenes.vectors import Floats, dot, rgb

_CELL = 0.25
_REACH = 70.0
_FAR = 175.0


def sky(directions: Floats, light: Light, clouds: bool = True) -> Floats:
    """Radiance [n,3] of the sky in unit directions [n,3]; below the horizon, of far ground."""
    up = directions[:, 2]
    high = clamped(up, 0, 1) ** 0.55
    colour = light.horizon_colour + (light.sky_colour - light.horizon_colour) * high[:, None]
    if clouds:
        flat = directions[:, :2] / (clamped(up, 0.02, 1) + 0.12)[:, None]
        puffs = layered(flat[:, 0], flat[:, 1], {2.4: 0.6, 0.9: 0.45, 0.35: 0.28, 0.13: 0.15}, np.full_like(up, 0.02))
        cover = clamped((puffs + 2.4 * light.clouds - 1.2) * 1.3, 0, 1) * clamped(up * 12, 0, 1)
        body = 0.72 + 0.2 * clamped(puffs, -1, 1.3) + 0.1 * (1 - light.clouds)
        colour = (
            colour
            + (body[:, None] * rgb(1, 1.01, 1.03) * np.float32(light.cloud_light) - colour) * (0.85 * cover)[:, None]
        )
    near_sun = clamped(dot(directions, light.sun.astype(np.float32)), 0, 1)
    glare = 0.35 * near_sun**24 + 0.15 * near_sun**4
    return np.asarray(colour + glare[:, None] * light.sun_colour * 0.35, np.float32)


def environment(directions: Floats, light: Light) -> Floats:
    """What a glossy surface mirrors: sky above, a dim street front below 20 degrees."""
    share = clamped((directions[:, 2] - 0.12) * 4, 0, 1)
    street = 0.16 * (light.horizon_colour + light.sky_colour)
    seen = np.empty((3, len(share)), np.float32).T
    seen[:] = street
    high = np.flatnonzero(share)
    above = sky(np.take(directions.T, high, axis=1).T, light, clouds=False)
    seen[high] = street + (above - street) * share[high, None]
    return seen


@dataclass(frozen=True)
class ContactShade:
    """How much sky the ground loses to what stands near, on a world grid of 0.25 m cells."""

    grid: Floats

    def at(self, x: Floats, y: Floats) -> Floats:
        """Share [n] of ambient light left at world (x, y)."""
        count, row = x.size, 1024
        maps = np.zeros((2, max(-(-count // row), 1) * row), np.float32)
        maps[0, :count], maps[1, :count] = (x + _REACH) / _CELL, (y + 10) / _CELL
        columns, rows = maps.reshape(2, -1, row)
        looked = cv2.remap(self.grid, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)
        return np.asarray(looked.reshape(-1)[:count], np.float32)


def contact_shade(geometry: Geometry) -> ContactShade:
    """Draw the outline of every low triangle that is not ground on a map and blur it."""
    width, height = int(2 * _REACH / _CELL), int((_FAR + 10) / _CELL)
    covered = np.zeros((height, width), np.uint8)
    solid = ~np.isin(geometry.label, (ROAD, SIDEWALK, TERRAIN))[geometry.part]
    z = geometry.local[:, :, 2]
    low = np.minimum(np.minimum(z[:, 0], z[:, 1]), z[:, 2]) < 1.0
    corners = np.take(geometry.vertices[:, :2], geometry.triangles[solid & low], axis=0)
    pixels = np.round((corners + np.array([_REACH, 10], np.float32)) / _CELL * 16).astype(np.int32)
    most, least = _over_corners(np.maximum, pixels), _over_corners(np.minimum, pixels)
    far = np.maximum(most, -least).max(1)
    inside = (far < 16 * 4 * max(width, height)) & (most.max(1) > 0)
    pixels, extent = pixels[inside], (most - least)[inside].max(1)
    large = extent > 16 * 1.5
    for triangle in pixels[large]:
        cv2.fillConvexPoly(covered, triangle, 255, shift=4)
    small = pixels[~large]
    dots = np.clip((small[:, 0] + small[:, 1] + small[:, 2]) / 3 / 16, 0, [width - 1, height - 1]).astype(np.int64)
    covered[dots[:, 1], dots[:, 0]] = 255
    mask = covered.astype(np.float32) / 255
    near, wide = cv2.GaussianBlur(mask, (0, 0), 0.45 / _CELL), cv2.GaussianBlur(mask, (0, 0), 1.8 / _CELL)
    return ContactShade(1 - 0.5 * near - 0.3 * wide)


def _over_corners(pick: np.ufunc, pixels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The least or greatest of three corners [n,3,2]: [n,2]."""
    return np.asarray(pick(pick(pixels[:, 0], pixels[:, 1]), pixels[:, 2]))


def hazed(colour: Floats, distance: Floats, light: Light) -> Floats:
    """Colour [n,3] seen through `distance` metres [n] of air."""
    share = 1 - np.exp(-light.haze_per_m * distance)
    return np.asarray(colour + (light.horizon_colour * 0.92 - colour) * share[:, None], np.float32)


def developed(radiance: Floats, light: Light, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Radiance [H,W,3] as an 8-bit picture: exposure, white balance, soft shoulder, gamma, sensor noise."""
    x = np.clip(radiance * (light.exposure * light.tint), 0, None)
    x = x * (1 + x * 0.22) / (1 + x * 0.62)
    grey = 255 * np.power(clamped(x, 0, 1), 1 / 2.2)
    grey += rng.standard_normal(grey.shape, np.float32) * np.float32(light.noise)
    return clamped(np.round(grey), 0, 255).astype(np.uint8)
