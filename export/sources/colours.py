"""A decoded frame as upright 8-bit RGB, and what is to be said of how it was stored."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# ITU-T H.273: transfer characteristics of high dynamic range.
HDR = {16: "PQ", 18: "HLG"}


class Pictures:
    """Frames of one film to RGB; one at a time."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # kept: making one costs more than a frame's conversion
        self._orientations = dict[Any, tuple[int, bool]]()

    def rgb(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 `[H, W, 3]`, upright by the frame's display matrix, converted by the matrix (BT.601, 709, 2020) and
        range that the film states; BT.601 where it states none, as FFmpeg and OpenCV do.
        """
        # Bicubic, as FFmpeg and OpenCV: it matters for chroma of more than 8 bits only.
        converted = self._reformatter.reformat(frame, format="rgb24", interpolation="BICUBIC", threads=1)
        image = converted.to_ndarray()
        # Asked once for each angle: a frame whose side data are looked at is in a cycle with them, and stays in memory
        # with all its pixels until the garbage collector comes.
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = orientation(frame)
        turn, mirrored = self._orientations[frame.rotation]
        if mirrored:
            image = image[:, ::-1]
        if turn:
            image = np.rot90(image, turn)
        return np.ascontiguousarray(image)


def orientation(frame: Any) -> tuple[int, bool]:
    """Quarter turns counter-clockwise, and whether the frame is mirrored from left to right before them.

    A display matrix (ISO/IEC 14496-12, 8.3.2) takes the stored (x, y) to (ax + cy, bx + dy), y downward.
    """
    from av.sidedata.sidedata import Type

    found = frame.side_data.get(Type.DISPLAYMATRIX)
    if found is None:
        return 0, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(found), np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:  # undone first: the rest is a turn
        a, b = -a, -b
    if abs(a) >= abs(b):
        return (0 if a >= 0 else 2), mirrored
    return (3 if b > 0 else 1), mirrored


def notes(frame: Any, transfer: int, aspect: Any) -> Iterator[str]:
    """What is to be said once of a film, by its frame, its transfer characteristics (H.273) and its pixels' aspect."""
    depth = max(component.bits for component in frame.format.components)
    curve = HDR.get(transfer)
    if curve is not None:
        yield (
            f"high dynamic range ({curve}, {depth} bits), which is not mapped to that of a usual picture: darker and"
            " paler than the model was trained on"
        )
    elif depth > 8:
        yield f"{depth} bits a channel, the upper 8 are used"
    if frame.interlaced_frame:
        yield "interlaced: both fields of a frame are taken as they are, so what moves is combed"
    if aspect is not None and aspect not in (0, 1):
        yield f"its pixels are {float(aspect):.3f} times as wide as high; they are taken as square"
