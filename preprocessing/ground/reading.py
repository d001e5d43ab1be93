"""How the pictures of a set are read where their files alone do not say it: bits in use, turned, halves."""

import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LEAST_BITS = 8
_ORIENTATION = 0x0112  # the tag of EXIF
# How a picture is brought upright: transposed first, then mirrored up-down, left-right (EXIF 2.32, section 4.6.4).
_UPRIGHT: dict[int, tuple[bool, bool, bool]] = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


@dataclass(frozen=True)
class Reading:
    """How pictures are read.

    Attributes:
        bits: So many of the 16 bits of a 16-bit picture are used; 16 = all.
        turned: As the EXIF orientation of the file says, as every viewer shows it.
        half: Of a picture that shows both views side by side.
    """

    bits: int = 16
    turned: bool = False
    half: Literal["", "left", "right"] = ""

    def shape(self, stored: tuple[int, int], orientation: int = 1) -> tuple[int, int]:
        """(height, width) of what is read of a picture of `stored` (height, width)."""
        height, width = stored[::-1] if self.turned and _UPRIGHT[orientation][0] else stored
        return (height, width // 2) if self.half else (height, width)

    def of(self, picture: NDArray[Any], orientation: int = 1) -> NDArray[Any]:
        """What is meant of a decoded picture `[H, W]` or `[H, W, C]`; its values stay."""
        if self.turned and orientation != 1:
            picture = turned(picture, orientation)
        if self.half:
            middle = picture.shape[1] // 2
            picture = picture[:, :middle] if self.half == "left" else picture[:, picture.shape[1] - middle :]
            picture = np.ascontiguousarray(picture)
        return picture


AS_STORED = Reading()


def turned(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A picture `[H, W, ...]` upright, by its EXIF orientation 1..8."""
    transposed, upside_down, mirrored = _UPRIGHT[orientation]
    picture = picture.swapaxes(0, 1) if transposed else picture
    picture = picture[::-1] if upside_down else picture
    return np.ascontiguousarray(picture[:, ::-1] if mirrored else picture)


def exif_orientation(content: bytes) -> int:
    """The EXIF orientation 1..8 of a JPEG, PNG or WebP file, from its bytes (the first 64 kB do); 1 = as stored.

    Read here, as a vehicle has no Pillow, and OpenCV applies it or not by how it is asked to decode.
    """
    if content.startswith(b"\xff\xd8"):
        start = content.find(b"Exif\0\0", 0, 2**16)
        start = start + 6 if start >= 0 else -1
    elif content.startswith(b"\x89PNG"):
        start, pixels = content.find(b"eXIf", 0, 2**16), content.find(b"IDAT", 0, 2**16)
        start = start + 4 if start >= 0 and (pixels < 0 or start < pixels) else -1
    elif content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        start = content.rfind(b"EXIF")
        start = start + 8 if start >= 0 else -1
        start = start + 6 if content[start : start + 6] == b"Exif\0\0" else start
    else:
        return 1
    return _orientation(content[start : start + 2**12]) if start >= 0 else 1


def _orientation(tiff: bytes) -> int:
    """Of the first directory of a block of TIFF tags."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == _ORIENTATION and kind == 3:
                (value,) = struct.unpack_from(f"{order}H", tiff, entry + 8)
                return value if value in _UPRIGHT else 1
    except struct.error:  # cut off: as if nothing were said
        pass
    return 1
