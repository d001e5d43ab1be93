"""Ray casting: a scene and an eye in, radiance, labels, instances and depth out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from preprocessing.scenes.compose import Scene
from preprocessing.scenes.lighting import ContactShade, contact_shade, environment, hazed, sky
from preprocessing.scenes.masonry import TEXTURES
from preprocessing.scenes.mesh import Floats, unit
from preprocessing.scenes.stage import ROAD, SIDEWALK, SKY, TERRAIN
from preprocessing.scenes.textures import Points

_CONTRAST = 14.0  # grey levels between neighbours from which a pixel is sampled more finely
_SUBPIXELS = np.array([(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)], np.float32)


@dataclass(frozen=True)
class View:
    """One eye's picture. Radiance [H,W,3]; labels and instances as Cityscapes ids; depth [m], 0 = sky."""

    radiance: Floats
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    depth: Floats


@dataclass(frozen=True)
class _Hits:
    face: NDArray[np.int32]  # [n], -1 = sky
    depth: Floats
    weights: Floats  # [n,3] barycentric
    directions: Floats  # [n,3], forward component 1
    origin: Floats


def _blend(corners: Floats, hits: _Hits) -> Floats:
    """Values at the corners [F,3,3] interpolated at the hits: [n,3]."""
    found, weights = corners[hits.face], hits.weights
    blended = found[:, 0] * weights[:, :1]
    blended += found[:, 1] * weights[:, 1:2]
    blended += found[:, 2] * weights[:, 2:]
    return np.asarray(blended)


class Renderer:
    """Holds the ray-casting structure of one scene; both eyes use it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._embree = EmbreeScene()
        # The mesh object must outlive the casting: embree refers to its buffers.
        self._mesh = TriangleMesh(self._embree, scene.geometry.corners)
        self._contact: ContactShade = contact_shade(scene.geometry)

    def view(self, size: tuple[int, int], shift_m: float) -> View:
        """The picture of the eye `shift_m` metres to the right of the left one, (width, height) pixels."""
        width, height = size
        v, u = np.mgrid[0:height, 0:width].astype(np.float32).reshape(2, -1)
        hits = self._cast(u, v, shift_m)
        radiance = self._shade(hits)
        fine = self._busy(hits, radiance, size)
        if fine.size:
            samples, where = np.tile(np.arange(4), fine.size), np.repeat(fine, 4)
            finer = self._cast(u[where] + _SUBPIXELS[samples, 0], v[where] + _SUBPIXELS[samples, 1], shift_m)
            radiance[fine] = np.minimum(self._shade(finer), 4).reshape(-1, 4, 3).mean(1)
        part = self.scene.geometry.part[hits.face]
        seen = hits.face >= 0
        shape = (height, width)
        return View(
            radiance.reshape(height, width, 3),
            np.where(seen, self.scene.geometry.label[part], SKY).astype(np.uint8).reshape(shape),
            np.where(seen, self.scene.geometry.instance[part], SKY).astype(np.uint16).reshape(shape),
            np.where(seen, hits.depth, 0).astype(np.float32).reshape(shape),
        )

    def _cast(self, u: Floats, v: Floats, shift_m: float) -> _Hits:
        rig = self.scene.rig
        x, y = (u - rig.camera.u0_px) / rig.camera.fx_px, (v - rig.camera.v0_px) / rig.camera.fy_px
        # The forward component is 1, so the ray parameter of a hit is its depth Z.
        # Written out: BLAS may round a row differently by where it falls among its threads.
        right, down, forward = rig.axes
        directions = (x[:, None] * right + y[:, None] * down + forward).astype(np.float32)
        origin = (rig.centre + shift_m * rig.axes[0]).astype(np.float32)
        found = self._embree.run(np.tile(origin, (len(x), 1)), directions, query="INTERSECT", output=True)
        a, b = found["u"], found["v"]
        return _Hits(found["primID"], found["tfar"], np.stack([1 - a - b, a, b], 1), directions, origin)

    def _busy(self, hits: _Hits, radiance: Floats, size: tuple[int, int]) -> NDArray[np.int64]:
        """Pixels (flat indices) at outlines or strong contrast: only these are worth more rays."""
        width, height = size
        part = np.where(hits.face >= 0, self.scene.geometry.part[hits.face], -1).reshape(height, width)
        grey = 255 * np.power(np.clip(radiance.mean(1), 0, 1), 1 / 2.2).reshape(height, width)
        busy = np.zeros((height, width), bool)
        for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            change = (part[here] != part[there]) | (np.abs(grey[here] - grey[there]) > _CONTRAST)
            busy[here] |= change
            busy[there] |= change
        return np.nonzero(busy.reshape(-1))[0]

    def _shade(self, hits: _Hits) -> Floats:
        light = self.scene.light
        colour = np.empty((len(hits.face), 3), np.float32)
        away = hits.face < 0
        colour[away] = sky(unit(hits.directions[away]), light)
        seen = np.nonzero(~away)[0]
        if seen.size:
            lit = self._surface(
                _Hits(hits.face[seen], hits.depth[seen], hits.weights[seen], hits.directions[seen], hits.origin)
            )
            colour[seen] = hazed(lit, hits.depth[seen], light)
        return colour

    def _surface(self, hits: _Hits) -> Floats:
        geometry, light = self.scene.geometry, self.scene.light
        point = hits.origin + hits.directions * hits.depth[:, None]
        normal = unit(_blend(geometry.normals, hits))
        # Sheets are lit from both sides; the left eye decides for both views, so that they agree.
        outlook = unit(self.scene.rig.centre.astype(np.float32) - point)
        facing = np.einsum("ij,ij->i", normal, outlook)
        normal = np.where((facing < -0.15)[:, None], -normal, normal)
        albedo, gloss, glow, height = self._painted(hits, np.abs(facing))
        sun = self._sunlight(point, normal)
        label = geometry.label[geometry.part[hits.face]]
        ground = np.isin(label, (ROAD, SIDEWALK, TERRAIN))
        contact = self._contact.at(point[:, 0], point[:, 1])
        open_sky = np.where(ground, contact, 1 - 0.42 * np.exp(-np.clip(height, 0, 50) / 0.5))
        ambient = (0.62 + 0.38 * normal[:, 2:]) * light.sky_colour * 0.62 + 0.1 * light.horizon_colour
        ambient = ambient + 0.09 * np.clip(0.5 - normal[:, 2:], 0, 1) * light.sun_colour
        radiance = albedo * (ambient * open_sky[:, None] + sun[:, None] * light.sun_colour)
        mirrored = 2 * np.abs(facing)[:, None] * normal - outlook
        fresnel = gloss * (0.25 + 0.75 * (1 - np.clip(np.abs(facing), 0, 1)) ** 3)
        radiance += (fresnel * open_sky)[:, None] * environment(mirrored, light) + albedo * glow[:, None]
        return np.asarray(radiance, np.float32)

    def _painted(self, hits: _Hits, facing: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Albedo [n,3], gloss [n], glow [n] and height above the object's foot [n]."""
        geometry = self.scene.geometry
        part = geometry.part[hits.face]
        local = _blend(geometry.local, hits)
        axis, seed = geometry.axis[hits.face], geometry.seed[part]
        u = np.where(axis == 0, local[:, 1], local[:, 0]) + seed
        v = np.where(axis == 2, local[:, 1], local[:, 2]) + np.where(axis == 2, seed, 0)
        size = hits.depth / self.scene.rig.camera.fx_px / np.sqrt(np.clip(facing, 0.05, 1))
        albedo = np.zeros((len(part), 3), np.float32)
        gloss, glow = np.zeros(len(part), np.float32), np.zeros(len(part), np.float32)
        names, kind = np.unique(geometry.texture, return_inverse=True)
        kind = kind[part]
        for k in np.unique(kind):
            at = np.nonzero(kind == k)[0]
            p = part[at]
            points = Points(
                local[at], u[at], v[at], axis[at], geometry.colour[p], geometry.params[p], seed[at], size[at]
            )
            finish = TEXTURES[str(names[k])](points, self.scene.street)
            albedo[at], gloss[at], glow[at] = finish.albedo, finish.gloss, finish.glow
        return albedo, gloss, glow, local[:, 2]

    def _sunlight(self, point: Floats, normal: Floats) -> Floats:
        """Cosine of the sun's incidence [n], 0 in shadow."""
        sun = self.scene.light.sun.astype(np.float32)
        cosine = np.clip(np.einsum("ij,j->i", normal, sun), 0, None)
        at = np.nonzero(cosine > 0)[0]
        start = point[at] + normal[at] * 0.012 + sun * 0.004
        blocked = self._embree.run(start, np.tile(sun, (at.size, 1)), query="OCCLUDED")
        cosine[at[np.asarray(blocked) >= 0]] = 0
        return np.asarray(cosine, np.float32)
