"""What is asked of a camera: size, rate, pixel format, exposure; set, read back, and told where it gives another."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import cv2

from preprocessing.ground import InputError

# V4L2's menu as OpenCV hands it on: 1 is manual, 3 is aperture priority, what cameras call automatic.
_MANUAL, _AUTOMATIC = 1, 3
_V4L2_UNIT_S = 1e-4  # of V4L2's absolute exposure time
_RATE_OFF = 0.02


@dataclass(frozen=True)
class CameraSettings:
    """Settings of a camera; None leaves what its driver has.

    Attributes:
        size: (width, height) of its frames [px].
        fps: frames a second.
        format: four letters of the pixel format as its driver names it: MJPG, YUYV.
        exposure_ms: exposure time [ms]; 0 = automatic.

    Raises: InputError naming the value that no camera has.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    format: str | None = None
    exposure_ms: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise InputError(f"--camera-size {self.size[0]}x{self.size[1]}: give WIDTHxHEIGHT in pixels")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"--camera-fps {self.fps:g}: give frames a second, above 0")
        if self.format is not None and not (len(self.format) == 4 and self.format.isascii()):
            raise InputError(f"--camera-format {self.format}: give the four letters of a pixel format, MJPG or YUYV")
        if self.exposure_ms is not None and not (math.isfinite(self.exposure_ms) and self.exposure_ms >= 0):
            raise InputError(f"--camera-exposure {self.exposure_ms:g}: give milliseconds, 0 = automatic")

    @classmethod
    def of(
        cls, size: str | None, fps: float | None, format: str | None, exposure_ms: float | None
    ) -> "CameraSettings | None":
        """From what a user writes, the size as WIDTHxHEIGHT; None where nothing is asked. Raises: InputError."""
        found = cls(None if size is None else _size_of(size), fps, format, exposure_ms)
        return found if found.given else None

    @property
    def given(self) -> list[str]:
        """The options that are set."""
        return [_OPTIONS[one.name] for one in fields(self) if getattr(self, one.name) is not None]

    def apply(self, capture: Any) -> list[str]:
        """Set them on an opened `cv2.VideoCapture`, the format first: sizes and rates depend on it.

        Returns: a line for each that the camera did not take.
        """
        if self.format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.format))
        if self.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
        if self.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self.fps)
        if self.exposure_ms is not None:
            capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL if self.exposure_ms else _AUTOMATIC)
            if self.exposure_ms:
                capture.set(cv2.CAP_PROP_EXPOSURE, exposure_value(self.exposure_ms))
        return list(self._refused(capture))

    def _refused(self, capture: Any) -> Iterator[str]:
        if self.format is not None:
            code = int(capture.get(cv2.CAP_PROP_FOURCC))
            found = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\x00 ")
            if found.upper() != self.format.upper():
                yield f"--camera-format {self.format}: the camera gives {found or 'what it does not tell'}"
        if self.size is not None:
            width, height = (int(capture.get(one)) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
            if (width, height) != self.size:
                yield f"--camera-size {self.size[0]}x{self.size[1]}: the camera gives {width}x{height}"
        if self.fps is not None:
            rate = capture.get(cv2.CAP_PROP_FPS)
            if not abs(rate / self.fps - 1) <= _RATE_OFF:
                yield f"--camera-fps {self.fps:g}: the camera gives {rate:g}"
        if self.exposure_ms:
            wanted, found = exposure_value(self.exposure_ms), capture.get(cv2.CAP_PROP_EXPOSURE)
            # Drivers round to their steps.
            if not (math.isfinite(found) and abs(found - wanted) <= max(1.0, 0.1 * abs(wanted))):
                yield f"--camera-exposure {self.exposure_ms:g}: the camera does not take it"
        elif self.exposure_ms == 0 and int(capture.get(cv2.CAP_PROP_AUTO_EXPOSURE)) == _MANUAL:
            yield "--camera-exposure 0: the camera stays at its manual exposure"


_OPTIONS = {
    "size": "--camera-size",
    "fps": "--camera-fps",
    "format": "--camera-format",
    "exposure_ms": "--camera-exposure",
}


def _size_of(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise InputError(f"--camera-size {text}: give WIDTHxHEIGHT in pixels, as 1280x720")
    return int(width), int(height)


def exposure_value(exposure_ms: float) -> float:
    """What OpenCV takes for an exposure time: tenths of a millisecond of V4L2, elsewhere the logarithm of the seconds
    to the base 2.
    """
    seconds = exposure_ms / 1e3
    return round(seconds / _V4L2_UNIT_S) if sys.platform == "linux" else round(math.log2(seconds))
