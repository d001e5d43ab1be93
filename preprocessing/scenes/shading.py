"""Light that leaves a surface towards the eye: paint, sky, sun and shadow, gloss.

Points are worked on in runs of one texture and of a length that stays in the processor's cache; arrays of rows
[n,3] lie in memory channel by channel, so that arithmetic with one number a row is as fast as it can be. Neither
changes a bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from preprocessing.scenes.compose import Scene
from preprocessing.scenes.lamps import LitBy
from preprocessing.scenes.lighting import ContactShade, contact_shade, environment, hazed, sky
from preprocessing.scenes.masonry import TEXTURES
from preprocessing.scenes.noise import clamped
from preprocessing.scenes.stage import ROAD, SIDEWALK, TERRAIN
from preprocessing.scenes.textures import Finish, Points
from preprocessing.scenes.vectors import Floats, dot, unit
from preprocessing.scenes.wet import DARKER, mirrored

_RUN = 8192
# Its paint depends on the first point of a run, so that it is never divided.
_UNDIVIDED = "display"


@dataclass(frozen=True)
class Hits:
    """Where n rays met the scene."""

    face: NDArray[np.int32]  # [n], -1 = sky
    depth: Floats
    a: Floats  # [n] barycentric weight of the second corner
    b: Floats  # [n] of the third
    directions: Floats  # [n,3]; of an eye, forward component 1
    origin: Floats  # [3], or [n,3] of mirrored rays
    before: Floats | None = None  # [n] metres that mirrored light goes on to the eye


@dataclass(frozen=True)
class _Spots:
    """n points of surfaces with one texture."""

    face: NDArray[np.int32]
    depth: Floats
    point: Floats  # [n,3] world
    local: Floats  # [n,3] object
    normal: Floats  # [n,3] towards the left eye
    outlook: Floats  # [n,3] unit vector to the left eye
    facing: Floats  # [n] cosine between outlook and the surface's own normal
    ray: Floats  # [n,3] the unit direction it is seen along
    size: Floats  # [n] metres on the surface that one pixel covers


class Shader:
    """Colours what rays of one scene meet."""

    def __init__(self, scene: Scene, embree: EmbreeScene) -> None:
        geometry = scene.geometry
        self.scene, self._embree = scene, embree
        self._contact: ContactShade = contact_shade(geometry)
        names, kinds = np.unique(geometry.texture, return_inverse=True)
        self._names = [str(name) for name in names]
        # The last entry is what face -1, the sky, finds.
        self._kind = np.append(kinds.astype(np.int16)[geometry.part], np.int16(-1))
        self._lamps = LitBy(scene.lamps, scene.light.lamps, embree)
        self._watered = np.isin(geometry.label, (ROAD, SIDEWALK)) & scene.wet
        self._ground = np.isin(geometry.label, (ROAD, SIDEWALK, TERRAIN))
        self._colour, self._params = (np.ascontiguousarray(table.T) for table in (geometry.colour, geometry.params))
        self._corners = np.concatenate([geometry.normals, geometry.local], 2).reshape(-1, 18)

    def shade(self, hits: Hits) -> Floats:
        """Radiance [n,3] that comes along each ray; what is seen in a mirror is itself dry."""
        colour = np.empty((len(hits.face), 3), np.float32)
        for name, rows in self._runs(hits.face):
            directions = _by_channel(np.take(hits.directions, rows, axis=0))
            if not name:
                colour[rows] = sky(unit(directions), self.scene.light)
                continue
            spots = self._spots(hits, rows, directions)
            radiance = self._surface(spots, name)
            if self.scene.wet and hits.before is None:
                radiance = self._mirror(spots, radiance)
            colour[rows] = hazed(radiance, spots.depth, self.scene.light)
        return colour

    def _runs(self, face: NDArray[np.int32]) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Rows of one texture at a time, "" for the sky, in their order."""
        kind = self._kind[face]
        order = np.argsort(kind, kind="stable")
        found, starts = np.unique(kind[order], return_index=True)
        for k, rows in zip(found, np.split(order, starts[1:]), strict=True):
            name = self._names[k] if k >= 0 else ""
            step = len(rows) if name == _UNDIVIDED else _RUN
            for start in range(0, len(rows), step):
                yield name, rows[start : start + step]

    def _spots(self, hits: Hits, rows: NDArray[np.int64], directions: Floats) -> _Spots:
        face, depth, a, b = hits.face[rows], hits.depth[rows], hits.a[rows], hits.b[rows]
        corners = np.ascontiguousarray(np.take(self._corners, face, axis=0).T)
        blended = corners[:6] * (1 - a - b)
        blended += corners[6:12] * a
        blended += corners[12:] * b
        origin = hits.origin if hits.before is None else _by_channel(hits.origin[rows])
        point = origin + directions * depth[:, None]
        normal, ray = unit(blended[:3].T), unit(directions)
        # Sheets are lit from both sides; the left eye decides for both views, so that they agree.
        outlook = unit(self.scene.rig.centre.astype(np.float32) - point) if hits.before is None else -ray
        facing = dot(normal, outlook)
        normal = np.where((facing < -0.15)[:, None], -normal, normal)
        way = depth if hits.before is None else depth + hits.before[rows]
        size = way / self.scene.rig.camera.fx_px / np.sqrt(clamped(np.abs(facing), 0.05, 1))
        return _Spots(face, depth, point, blended[3:].T, normal, outlook, facing, ray, size)

    def _mirror(self, spots: _Spots, radiance: Floats) -> Floats:
        """The same with what wet ground mirrors, by a ray from every point of it."""
        wet = np.flatnonzero(self._watered[self.scene.geometry.part[spots.face]])
        if not wet.size:
            return radiance
        point, normal = spots.point[wet], spots.normal[wet]
        back, share = mirrored(point, normal, spots.ray[wet], spots.size[wet])
        start = np.ascontiguousarray(point + normal * 0.02, np.float32)
        back = np.ascontiguousarray(back, np.float32)
        found = self._embree.run(start, back, query="INTERSECT", output=True)
        seen = self.shade(Hits(found["primID"], found["tfar"], found["u"], found["v"], back, start, spots.depth[wet]))
        radiance[wet] = radiance[wet] * (1 - share)[:, None] + seen * share[:, None]
        return radiance

    def _surface(self, spots: _Spots, name: str) -> Floats:
        light, normal = self.scene.light, spots.normal
        part = self.scene.geometry.part[spots.face]
        finish = TEXTURES[name](self._points(spots, part), self.scene.street)
        sun = self._sunlight(spots.point, normal)
        open_sky = self._open_sky(spots, self._ground[part])
        up = normal[:, 2]
        lift, low = (0.62 + 0.38 * up), 0.09 * clamped(0.5 - up, 0, 1)
        radiance = np.empty((3, len(part)), np.float32)
        albedo = np.asarray(finish.albedo, np.float32).T
        if self.scene.wet:
            albedo = albedo * np.where(self._watered[part], DARKER, np.float32(1))
        for k in range(3):
            ambient = lift * light.sky_colour[k] * 0.62 + np.float32(0.1) * light.horizon_colour[k]
            ambient = ambient + low * light.sun_colour[k]
            radiance[k] = albedo[k] * (ambient * open_sky + sun * light.sun_colour[k])
        if self.scene.lamps:
            radiance += albedo * self._lamps.at(spots.point, normal)
        return (radiance + self._own_light(spots, finish, open_sky)).T

    def _own_light(self, spots: _Spots, finish: Finish, open_sky: Floats) -> Floats:
        """What the surface mirrors and what it gives off: [3,n]."""
        facing, normal = np.abs(spots.facing), spots.normal
        added = np.asarray(finish.albedo, np.float32).T * np.asarray(finish.glow, np.float32)
        glossy = np.flatnonzero(np.broadcast_to(finish.gloss, facing.shape))
        if glossy.size:
            gloss = np.broadcast_to(np.asarray(finish.gloss, np.float32), facing.shape)[glossy]
            slant = facing[glossy]
            mirrored = (2 * slant * normal.T[:, glossy] - spots.outlook.T[:, glossy]).T
            fresnel = gloss * (0.25 + 0.75 * (1 - clamped(slant, 0, 1)) ** 3)
            added[:, glossy] += (fresnel * open_sky[glossy]) * environment(mirrored, self.scene.light).T
        return added

    def _open_sky(self, spots: _Spots, ground: NDArray[np.bool_]) -> Floats:
        """Share [n] of the sky's light that what stands near leaves."""
        share = np.empty(len(ground), np.float32)
        level, risen = np.flatnonzero(ground), np.flatnonzero(~ground)
        share[level] = self._contact.at(spots.point[level, 0], spots.point[level, 1])
        share[risen] = 1 - 0.42 * np.exp(-clamped(spots.local[risen, 2], 0, 50) / 0.5)
        return share

    def _points(self, spots: _Spots, part: NDArray[np.int32]) -> Points:
        geometry, local = self.scene.geometry, spots.local
        axis, seed = geometry.axis[spots.face], geometry.seed[part]
        return Points(
            local=local,
            u=np.where(axis == 0, local[:, 1], local[:, 0]) + seed,
            v=np.where(axis == 2, local[:, 1], local[:, 2]) + np.where(axis == 2, seed, 0),
            axis=axis,
            colour=np.take(self._colour, part, axis=1).T,
            params=np.take(self._params, part, axis=1).T,
            seed=seed,
            size=spots.size,
        )

    def _sunlight(self, point: Floats, normal: Floats) -> Floats:
        """Cosine of the sun's incidence [n], 0 in shadow."""
        sun = self.scene.light.sun.astype(np.float32)
        cosine = np.clip(dot(normal, sun), 0, None)
        at = np.flatnonzero(cosine > 0)
        start = point[at] + normal[at] * 0.012 + sun * 0.004
        blocked = self._embree.run(np.ascontiguousarray(start), np.tile(sun, (at.size, 1)), query="OCCLUDED")
        cosine[at[np.asarray(blocked) >= 0]] = 0
        return np.asarray(cosine, np.float32)


def _by_channel(rows: Floats) -> Floats:
    """The same rows [n,k], laid out channel by channel."""
    return np.asfortranarray(rows)
