"""Ray casting: a scene and an eye in, radiance, labels, instances and depth out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from preprocessing.scenes.compose import Scene
from preprocessing.scenes.shading import Hits, Shader
from preprocessing.scenes.stage import SKY
from preprocessing.scenes.vectors import Floats

_CONTRAST = 14.0  # grey levels between neighbours from which a pixel is sampled more finely
_SUBPIXELS = np.array([(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)], np.float32)


@dataclass(frozen=True)
class View:
    """One eye's picture. Radiance [H,W,3]; labels and instances as Cityscapes ids; depth [m], 0 = sky."""

    radiance: Floats
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint16]
    depth: Floats


class Renderer:
    """Holds the ray-casting structure of one scene; both eyes use it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._embree = EmbreeScene()
        # The mesh object must outlive the casting: embree refers to its buffers.
        self._mesh = TriangleMesh(self._embree, scene.geometry.vertices, scene.geometry.triangles.astype(np.int64))
        self._shader = Shader(scene, self._embree)

    def view(self, size: tuple[int, int], shift_m: float) -> View:
        """The picture of the eye `shift_m` metres to the right of the left one, (width, height) pixels."""
        width, height = size
        v, u = np.mgrid[0:height, 0:width].astype(np.float32).reshape(2, -1)
        hits = self._cast(u, v, shift_m)
        radiance = self._shader.shade(hits)
        fine = self._busy(hits, radiance, size)
        if fine.size:
            samples, where = np.tile(np.arange(4), fine.size), np.repeat(fine, 4)
            finer = self._cast(u[where] + _SUBPIXELS[samples, 0], v[where] + _SUBPIXELS[samples, 1], shift_m)
            radiance[fine] = _mean_of_four(np.minimum(self._shader.shade(finer), 4))
        part = self.scene.geometry.part[hits.face]
        seen = hits.face >= 0
        shape = (height, width)
        return View(
            radiance.reshape(height, width, 3),
            np.where(seen, self.scene.geometry.label[part], SKY).astype(np.uint8).reshape(shape),
            np.where(seen, self.scene.geometry.instance[part], SKY).astype(np.uint16).reshape(shape),
            np.where(seen, hits.depth, 0).astype(np.float32).reshape(shape),
        )

    def _cast(self, u: Floats, v: Floats, shift_m: float) -> Hits:
        rig = self.scene.rig
        x, y = (u - rig.camera.u0_px) / rig.camera.fx_px, (v - rig.camera.v0_px) / rig.camera.fy_px
        # The forward component is 1, so the ray parameter of a hit is its depth Z.
        # Written out: BLAS may round a row differently by where it falls among its threads.
        directions, x, y = np.empty((len(x), 3), np.float32), x.astype(np.float64), y.astype(np.float64)
        for k, (right, down, forward) in enumerate(rig.axes.T):
            directions[:, k] = x * right + y * down + forward
        origin = (rig.centre + shift_m * rig.axes[0]).astype(np.float32)
        found = self._embree.run(np.tile(origin, (len(x), 1)), directions, query="INTERSECT", output=True)
        return Hits(found["primID"], found["tfar"], found["u"], found["v"], directions, origin)

    def _busy(self, hits: Hits, radiance: Floats, size: tuple[int, int]) -> NDArray[np.int64]:
        """Pixels (flat indices) at outlines or strong contrast: only these are worth more rays."""
        width, height = size
        part = np.where(hits.face >= 0, self.scene.geometry.part[hits.face], -1).reshape(height, width)
        mean = (radiance[:, 0] + (radiance[:, 1] + radiance[:, 2])) / np.float32(3)
        grey = 255 * np.power(np.clip(mean, 0, 1), 1 / 2.2).reshape(height, width)
        busy = np.zeros((height, width), bool)
        for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            change = (part[here] != part[there]) | (np.abs(grey[here] - grey[there]) > _CONTRAST)
            busy[here] |= change
            busy[there] |= change
        return np.nonzero(busy.reshape(-1))[0]


def _mean_of_four(samples: Floats) -> Floats:
    """[4n,3] to [n,3]."""
    a, b, c, d = np.moveaxis(samples.reshape(-1, 4, 3), 1, 0)
    return np.asarray((a + b + c + d) / np.float32(4))
