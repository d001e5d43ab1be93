"""How a picture of another shape comes to a network's size, and maps back: cropped, padded or stretched."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError
from preprocessing.ground.lens import Lens
from preprocessing.ground.pictures import resize_image, resize_nearest

Size = tuple[int, int]
Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
_ASPECT_TOLERANCE = 0.01  # KITTI's pictures are 1241x376 and 1242x375


@dataclass(frozen=True)
class Framing:
    """A picture of `frame` px, resized to `scaled` px, of which `size` px from (left, top) on are what is shown.

    Attributes:
        frame, scaled, size: (width, height) [px].
        left, top: in the resized picture [px]; below 0 where it is padded.
    """

    frame: Size
    scaled: Size
    size: Size
    left: int = 0
    top: int = 0

    @classmethod
    def of(cls, frame: Size, size: Size, fit: Fit) -> "Framing":
        """The whole picture where its shape is that of `size` to within 1 % or a pixel, or under "stretch"; else as
        large as covers `size`, its middle ("crop"), or as fits into it, in its middle ("pad").

        Raises: InputError for another rule.
        """
        if fit not in FITS:
            raise InputError(f"fit {fit!r}: choose {', '.join(FITS)}")
        ratios = size[0] / frame[0], size[1] / frame[1]
        scale = max(ratios) if fit == "crop" else min(ratios)
        scaled = round(frame[0] * scale), round(frame[1] * scale)
        alike = max(ratios) <= (1 + _ASPECT_TOLERANCE) * min(ratios)
        if fit == "stretch" or alike or all(abs(a - b) <= 1 for a, b in zip(scaled, size, strict=True)):
            return cls(frame, size, size)
        scaled = max(1, scaled[0]), max(1, scaled[1])
        return cls(
            frame,
            scaled,
            size,
            *((a - b) // 2 if a >= b else -((b - a) // 2) for a, b in zip(scaled, size, strict=True)),
        )

    @property
    def plain(self) -> bool:
        """Whether it is a resize alone."""
        return self.scaled == self.size

    @property
    def shown(self) -> tuple[slice, slice]:
        """Rows and columns of what is shown that show the picture."""
        return _overlap(self.top, self.scaled[1], self.size[1])[0], _overlap(self.left, self.scaled[0], self.size[0])[0]

    @property
    def taken(self) -> tuple[slice, slice]:
        """Rows and columns of the resized picture that are shown."""
        return _overlap(self.top, self.scaled[1], self.size[1])[1], _overlap(self.left, self.scaled[0], self.size[0])[1]

    @property
    def share(self) -> float:
        """Of the picture's pixels, how many are shown."""
        rows, columns = self.taken
        return (rows.stop - rows.start) * (columns.stop - columns.start) / (self.scaled[0] * self.scaled[1])

    def picture(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture [H,W,3] as it is shown [h,w,3]."""
        resized = resize_image(image, self.scaled)
        if self.plain:
            return resized
        rows, columns = self.shown
        inside = resized[self.taken]
        height, width = self.size[1], self.size[0]
        edges = rows.start, height - rows.stop, columns.start, width - columns.stop
        # Its own edge goes on: beside an even colour networks take the edge for a thing, and depth near it is worse.
        framed = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(framed, dtype=np.uint8)

    def label(self, resized: npt.NDArray[Any], blank: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A map [...,H,W] of the resized picture as it is shown; `blank` [...,h,w] is overwritten where that is."""
        if self.plain:
            return resized
        blank[..., self.shown[0], self.shown[1]] = resized[..., self.taken[0], self.taken[1]]
        return blank

    def lens(self, lens: Lens) -> Lens:
        """The picture's lens in pixels of what is shown."""
        return lens.resized(self.scaled).cropped(self.left, self.top, self.size)

    def back(self, shown: npt.NDArray[Any], outside: float) -> npt.NDArray[Any]:
        """A map [h,w] of what is shown at the picture's own size [H,W], by nearest; `outside` where it was cut off."""
        if self.plain:
            return resize_nearest(shown, self.frame)
        whole = np.full((self.scaled[1], self.scaled[0]), outside, dtype=shown.dtype)
        whole[self.taken] = shown[self.shown]
        return resize_nearest(whole, self.frame)


def _overlap(start: int, length: int, wanted: int) -> tuple[slice, slice]:
    """Of `wanted` pixels from `start` on of a side of `length`: which of the wanted ones there are, and which they are
    in the side.
    """
    first, last = max(0, start), min(length, start + wanted)
    return slice(first - start, last - start), slice(first, last)
