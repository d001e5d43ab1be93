"""Any decoded picture (grey, colour, 8 or 16 bits) to 8-bit RGB."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# By channels: what a decoded picture of OpenCV is.
KINDS = {1: "grey", 3: "colour", 4: "colour with transparency"}
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}


class WrongColour(ValueError):
    """A picture whose pixels are not those of a frame, and why, in a few words."""


def to_rgb(picture: NDArray[Any], bits: int = 16) -> tuple[NDArray[np.uint8], str]:
    """Bring a picture as OpenCV decodes it, `[H, W]` or `[H, W, 1|3|4]` BGR(A), to uint8 `[H, W, 3]` RGB.

    Of 16 bits the lower `bits` are taken to be used, and the upper 8 of those are kept; what is brighter is white.
    Transparency is left out. Returns: the picture and a note on what had to be changed, "" for 8-bit colour.
    Raises: WrongColour for other numbers of channels and for pixels that are not 8-bit or 16-bit integers.
    """
    if picture.ndim == 2:
        picture = picture[..., None]
    channels = picture.shape[-1] if picture.ndim == 3 else 0
    if channels not in KINDS or not picture.size:
        raise WrongColour(f"a picture of shape {picture.shape} is not grey, colour or colour with transparency")
    if picture.dtype == np.int32 and picture.min() >= 0 and picture.max() <= 65535:
        picture = picture.astype(np.uint16)
    if picture.dtype == np.int32:  # wrapping round would make up values
        raise WrongColour(f"values {picture.min()}..{picture.max()} do not fit into 16 bits")
    if picture.dtype not in (np.uint8, np.uint16):
        raise WrongColour(f"pixels are {picture.dtype}, expected 8-bit or 16-bit integers")
    notes = [] if channels == 3 else [KINDS[channels]]
    if picture.dtype == np.uint16:
        of = "" if bits == 16 else f" of {bits}"
        notes.append(f"16 bits a channel, the upper 8{of} are used")
        picture = np.minimum(picture >> (bits - 8), 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(picture, _TO_RGB[channels]), dtype=np.uint8), ", ".join(notes)
