"""What weather needs to know of a picture: distances without holes, what each pixel is, lens, which way it faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import Lens
from preprocessing.weather.light import Floats, UInt8, most

Bool = NDArray[np.bool_]

ROLES: dict[str, tuple[str, ...]] = {
    "sky": ("sky",),
    "road": ("road", "lane marking", "lane markings", "lane_marking", "roadshoulder", "parking", "lane", "flat"),
    "ground": ("sidewalk", "pavement", "terrain", "grass", "ground", "rail track", "curb", "bridge deck"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "van", "caravan", "trailer", "vehicle", "movable"),
    "lights": ("traffic light", "trafficlight", "traffic_light"),
    "pole": ("pole", "column_pole", "column pole", "street light", "streetlight"),
    "upright": ("fence", "traffic sign", "signsymbol", "sign", "billboard", "pole group", "guard rail"),
    "building": ("building", "construction", "wall"),
    "plants": ("vegetation", "tree", "trees", "nature"),
    "own car": ("ego vehicle", "my car", "ego"),
}
"""Which classes, by name, play which part. A class of another name plays none."""

_CAMERA_HEIGHT_M = 1.4
_FEWEST = 0.002  # of the pixels with a distance, for a map without holes


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame.

    Attributes:
        image: RGB uint8 `[H,W,3]`.
        lens: of this picture, in its pixels.
        depth_m: float32 `[H,W]` [m], 0 = unknown, infinite where it is only known to be far; None: no depth.
        classes: uint8 `[H,W]`, by number in `names`; 255 = unknown.
        guess: where no depth is known, one of a flat street is taken, see `guessed_depth`.
        told_sky: classes that are sky beside that of the name.
        camera_height_m: above the road, for what is mirrored in it and for a guess [m].
    """

    image: UInt8
    lens: Lens
    depth_m: Floats | None = None
    classes: UInt8 | None = None
    names: Sequence[str] = ()
    guess: bool = False
    camera_height_m: float = _CAMERA_HEIGHT_M
    told_sky: Sequence[int] = ()
    roles: Mapping[str, Sequence[str]] = field(default_factory=lambda: ROLES)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) [px]."""
        return self.image.shape[0], self.image.shape[1]

    def seen(self, role: str) -> Bool:
        """Which pixels [H,W] play this part; none where there are no classes."""
        if self.classes is None:
            return np.zeros(self.shape, np.bool_)
        ids = [number for number, name in enumerate(self.names) if name.lower() in self.roles[role]]
        ids += self.told_sky if role == "sky" else ()
        return _any_of(self.classes, ids)

    @cached_property
    def knows_depth(self) -> bool:
        """Whether enough pixels have a measured distance."""
        return self.depth_m is not None and bool(np.count_nonzero(self.depth_m) > _FEWEST * self.depth_m.size)

    @cached_property
    def is_dense(self) -> bool:
        """Whether so many pixels have a distance that surfaces show; not of a lidar."""
        return self.depth_m is not None and bool(np.count_nonzero(self.depth_m) > 0.2 * self.depth_m.size)

    @cached_property
    def knows_classes(self) -> bool:
        """Whether a pixel has a class."""
        return self.classes is not None and bool((self.classes < len(self.names)).any())

    @cached_property
    def sky(self) -> Bool:
        """The sky [H,W]: by class; without classes, what has no distance from the top edge down, above the horizon."""
        found = self.seen("sky")
        if found.any() or self.depth_m is None or self.knows_classes:
            return found
        empty = (self.depth_m == 0) | np.isinf(self.depth_m)
        empty[min(self.shape[0], max(0, round(self.lens.cy_px))) :] = False
        _, parts = cv2.connectedComponents(empty.astype(np.uint8), connectivity=4)
        bright = most(self.image) > 0.45 * self.image.max()  # a hole of stereo in a dark tree is no sky
        return np.asarray(np.isin(parts, np.unique(parts[0][empty[0]])) & bright & empty)

    @cached_property
    def distance_m(self) -> Floats | None:
        """Depth [H,W] without holes, the sky infinite; None where none is known and none is guessed.

        Holes are filled for the effect alone, by inverse depth averaged over ever wider surroundings.
        """
        if not self.knows_depth:
            return guessed_depth(self) if self.guess else None
        assert self.depth_m is not None
        known = (self.depth_m > 0) & np.isfinite(self.depth_m)
        inverse = np.divide(1, self.depth_m, out=np.zeros(self.shape, np.float32), where=known)
        near = filled(inverse, known & ~self.sky)
        depth = 1 / np.maximum(near, np.float32(1e-4))
        beyond = np.isinf(self.depth_m) & ~self.sky
        if beyond.any():  # only known to be far: half as far again as the farthest that is known
            depth[beyond] = 1.5 * float(depth[known].max())
        depth[self.sky] = np.inf
        return np.asarray(depth, np.float32)

    @cached_property
    def rays(self) -> tuple[Floats, Floats]:
        """X/Z and Y/Z of every pixel, `[1,W]` and `[H,1]`; Y points down."""
        height, width = self.shape
        across = (np.arange(width, dtype=np.float32) - self.lens.cx_px) / self.lens.fx_px
        down = (np.arange(height, dtype=np.float32) - self.lens.cy_px) / self.lens.fy_px
        return across[None].astype(np.float32), down[:, None].astype(np.float32)

    @cached_property
    def upward(self) -> Floats:
        """How far surfaces face up, −1..1 `[H,W]`: from a dense depth and the lens, 1 on ground by
        class, 0 where unknown.
        """
        ground = self.seen("road") | self.seen("ground")
        up = np.zeros(self.shape, np.float32)
        if self.is_dense and self.distance_m is not None:
            inverse = np.asarray(cv2.blur(1 / self.distance_m, (5, 5)), np.float32)  # a plane's is a plane
            depth = 1 / np.maximum(inverse, np.float32(1e-3))
            across, down = self.rays
            points = np.stack([across * depth, down * depth, depth], 2)
            right = cv2.Scharr(points, cv2.CV_32F, 1, 0)
            below = cv2.Scharr(points, cv2.CV_32F, 0, 1)
            normal = np.cross(right, below)
            length = np.maximum(np.sqrt((normal * normal).sum(2)), 1e-9)
            # Towards the camera is −Z; then up is −Y.
            sign = np.where((normal * points).sum(2) > 0, -1, 1)
            up = np.asarray(-normal[..., 1] * sign / length, np.float32)
            steps = np.hypot(cv2.Sobel(inverse, cv2.CV_32F, 1, 0), cv2.Sobel(inverse, cv2.CV_32F, 0, 1)) / 8
            up[(steps > 0.06 * inverse) | self.sky] = 0  # an edge between near and far faces nowhere
        up[ground] = np.maximum(up[ground], 1)
        return up


def _any_of(classes: UInt8, ids: Sequence[int]) -> Bool:
    table = np.zeros(256, np.bool_)
    table[list(ids)] = True
    return np.asarray(table[classes])


def filled(values: Floats, known: Bool) -> Floats:
    """A map [H,W] whose unknown pixels have the mean of the known ones around, as far around as it takes."""
    weight = known.astype(np.float32)
    levels = [(values * weight, weight)]
    while min(levels[-1][0].shape) > 1 and not levels[-1][1].all():
        size = tuple(max(1, -(-side // 2)) for side in levels[-1][0].shape[::-1])
        levels.append(
            (
                np.asarray(cv2.resize(levels[-1][0], size, interpolation=cv2.INTER_AREA)),
                np.asarray(cv2.resize(levels[-1][1], size, interpolation=cv2.INTER_AREA)),
            )
        )
    total, weight = levels[-1]
    mean = float(total.sum() / max(float(weight.sum()), 1e-9))
    whole = np.where(weight > 0, total / np.maximum(weight, 1e-9), mean).astype(np.float32)
    for total, weight in reversed(levels[:-1]):
        wider = np.asarray(cv2.resize(whole, total.shape[::-1], interpolation=cv2.INTER_LINEAR))
        whole = np.where(weight > 0, total / np.maximum(weight, 1e-9), wider).astype(np.float32)
    return whole


def guessed_depth(scene: Scene) -> Floats | None:
    """Depth [H,W] of a flat street under a level camera, Z = f · height / (v − cy): ground by class has it, and what
    stands on it that of the ground below it in its column. None without classes that show a ground.
    """
    ground = scene.seen("road") | scene.seen("ground")
    if not ground.any():
        return None
    height, width = scene.shape
    down = np.maximum(scene.rays[1], 1e-3)
    plane = np.broadcast_to(np.clip(scene.camera_height_m / down, 1, 250), (height, width))
    rows = np.where(ground, np.arange(height)[:, None], height)
    nearest = np.minimum.accumulate(rows[::-1], axis=0)[::-1]  # of ground, at or below
    inside = np.minimum(nearest, height - 1)
    depth = np.where(nearest < height, np.take_along_axis(plane, inside, 0), scene.camera_height_m * 2)
    return np.where(scene.sky, np.float32(np.inf), depth).astype(np.float32)
