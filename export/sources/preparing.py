"""Frames made ready before anybody sees them: undistorted by a calibration, cut to a part. The lens goes with them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.sources.frames import Frames, Loaded, Notice, Skipped, Source
from preprocessing.ground import InputError, Lens
from preprocessing.sets import CameraModel, ToldLens, read_camera, undistort

Crop = tuple[int, int, int, int]
"""left, top, width, height [px]."""

_SHAPE_OFF = 0.01


@dataclass(frozen=True)
class Preparing:
    """What is done to each frame as it was taken.

    Attributes:
        undistort: calibration file of the camera; the frames are drawn anew without its distortion.
        crop: the part that is kept, of the undistorted frame.
        lens: of the frames as they are taken, for the lens of the part, and to doubt a calibration with distortion
            whose frames nobody undistorts.

    Raises: InputError for a calibration without distortion, or a part that is none.
    """

    undistort: Path | None = None
    crop: Crop | None = None
    lens: ToldLens | None = None

    def __post_init__(self) -> None:
        if self.crop is not None and (min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise InputError(f"--crop {','.join(map(str, self.crop))}: give LEFT,TOP,WIDTH,HEIGHT in pixels")
        if self.undistort is not None and not read_camera(self.undistort, raw=True).distorts:
            raise InputError(f"{self.undistort}: tells no distortion; leave --undistort out")

    @property
    def nothing(self) -> bool:
        """Whether frames stay as they are, and there is nothing to be said of it."""
        return self.undistort is None and self.crop is None and not self._doubt

    @property
    def _doubt(self) -> str:
        path = None if self.lens is None else self.lens.camera
        if self.undistort is not None or path is None or not _distorts(path):
            return ""
        return f"{path} tells a distortion; frames are taken as free of it; --undistort draws them so"

    def of(self, source: Source) -> Source:
        """The source with its frames made ready. A frame that cannot be is skipped; where it is the first, `frames`
        raises InputError naming what does not go with it.
        """
        if self.nothing:
            return source

        def frames() -> Frames:
            ways, first = dict[tuple[int, int], _Way](), True
            if self._doubt:
                yield Notice(self._doubt)
            with closing(source.frames()) as taken:
                for frame in taken:
                    if not isinstance(frame, Loaded):
                        yield frame
                        continue
                    height, width = frame.image.shape[:2]
                    try:
                        if (width, height) not in ways:
                            ways[width, height] = way = self._way((width, height))
                            if way.told:
                                yield Notice(way.told)
                        yield ways[width, height].ready(frame)
                    except InputError as error:
                        if first:
                            raise
                        yield Skipped(frame.name, str(error))
                        continue
                    first = False

        return replace(source, frames=frames)

    def _way(self, size: tuple[int, int]) -> "_Way":
        told, lens, draw = [], None, None
        if self.undistort is not None:
            camera = _camera_at(self.undistort, size)
            maps, lens = undistort(camera)
            draw = _drawing(maps.x, maps.y)
            told.append(f"undistorted after {self.undistort}, focal length {lens.fx_px:.1f} px in {size[0]}x{size[1]}")
        elif self.lens is not None:
            lens = self.lens.at(size)
        if self.crop is not None:
            left, top, width, height = self.crop
            if left + width > size[0] or top + height > size[1]:
                raise InputError(
                    f"--crop {left},{top},{width},{height}: reaches outside of frames of {size[0]}x{size[1]}"
                )
            told.append(f"cut to {width}x{height} at ({left}, {top}); results are of that part")
            lens = None if lens is None else lens.cropped(left, top, (width, height))
        whole = f"frames of {size[0]}x{size[1]}: {'; '.join(told)}" if told else ""
        return _Way(whole, draw, self.crop, lens if told else None)


def crop_of(text: str | None) -> Crop | None:
    """LEFT,TOP,WIDTH,HEIGHT as it is written. Raises: InputError."""
    if text is None:
        return None
    parts = [one.strip() for one in text.split(",")]
    if len(parts) != 4 or not all(one.isdigit() for one in parts):
        raise InputError(f"--crop {text}: give LEFT,TOP,WIDTH,HEIGHT in pixels, as 0,80,640,320")
    left, top, width, height = map(int, parts)
    return left, top, width, height


@dataclass(frozen=True)
class _Way:
    """What is done to frames of one size."""

    told: str
    draw: Callable[[NDArray[np.uint8]], NDArray[Any]] | None
    crop: Crop | None
    lens: Lens | None

    def ready(self, frame: Loaded) -> Loaded:
        image, lens = frame.image, self.lens
        if self.draw is not None:
            image = self.draw(image)
        if self.crop is not None:
            left, top, width, height = self.crop
            image = np.ascontiguousarray(image[top : top + height, left : left + width])
            if lens is None and frame.lens is not None:
                lens = frame.lens.cropped(left, top, (width, height))
        bent = None if self.draw is not None else frame.distortion
        return replace(frame, image=image, lens=lens, distortion=bent)


def _distorts(path: Path) -> bool:
    try:
        return read_camera(path).distorts
    except InputError:
        return False  # of another kind (Cityscapes' camera.json), or who reads it next says what is wrong


def _camera_at(path: Path, size: tuple[int, int]) -> CameraModel:
    camera = read_camera(path, raw=True)
    if camera.size is not None and abs(camera.size[0] * size[1] / (camera.size[1] * size[0]) - 1) > _SHAPE_OFF:
        raise InputError(
            f"{path} is for frames of {camera.size[0]}x{camera.size[1]}, these have {size[0]}x{size[1]}; give that of "
            "the frames as the camera takes them"
        )
    return camera.scaled(size)


def _drawing(x: NDArray[np.float32], y: NDArray[np.float32]) -> Callable[[NDArray[np.uint8]], NDArray[Any]]:
    # In whole pixels and 32nds: a third of the time, and no pixel of a street tells the difference.
    whole, parts = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return lambda image: cv2.remap(image, whole, parts, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
