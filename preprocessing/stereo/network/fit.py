"""Pictures at the size a network takes, and its answers at the pictures' own."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD, Float32, InputError
from preprocessing.stereo.network.settings import OnnxSettings
from preprocessing.stereo.network.signature import Pictures

UInt8 = npt.NDArray[np.uint8]
Size = tuple[int, int]  # (width, height)


@dataclass(frozen=True)
class Fit:
    """How pictures of one size are brought to a network's.

    Attributes:
        source: Of the pictures.
        size: Of what the network sees.
        corner: Columns and rows put before them; None = they are resized.
    """

    source: Size
    size: Size
    corner: tuple[int, int] | None

    @property
    def ratio(self) -> float:
        """Pixels of the pictures per pixel of the network's input, across: heights play no part in a disparity."""
        return 1.0 if self.corner is not None else self.source[0] / self.size[0]

    def bring(self, image: UInt8) -> UInt8:
        """Return a picture [H, W, 3] at the network's size."""
        width, height = self.source
        if self.corner is not None:
            x, y = self.corner
            sides = (y, self.size[1] - height - y, x, self.size[0] - width - x)
            return np.asarray(cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE))
        # Beyond half, bilinear would skip pixels.
        shrinks = width > 2 * self.size[0] or height > 2 * self.size[1]
        return np.asarray(cv2.resize(image, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))

    def back(self, answer: Float32) -> Float32:
        """Return a map [h, w] of the network's size, or smaller, on the pictures' pixels; its values stay."""
        if self.corner is None:
            return np.asarray(cv2.resize(answer, self.source), np.float32)
        if answer.shape != self.size[::-1]:
            answer = np.asarray(cv2.resize(answer, self.size), np.float32)
        x, y = self.corner
        return answer[y : y + self.source[1], x : x + self.source[0]]


def fit_for(source: Size, pictures: Pictures, settings: OnnxSettings) -> Fit:
    """Return how pictures of a size are brought to what the network takes.

    Raises: InputError: The network fixes another size than `onnx.size`.
    """
    assert settings.multiple is not None
    fixed = (pictures.width, pictures.height)
    if settings.size is not None:
        if any(side not in (None, wanted) for side, wanted in zip(fixed, settings.size, strict=True)):
            text = "x".join("any" if side is None else str(side) for side in fixed)
            raise InputError(f"{settings.weights}: takes {text} alone; leave onnx.size (--network-size) out")
        return _resized(source, settings.size)
    width, height = fixed
    if width is not None and height is not None:
        return _resized(source, (width, height))
    if width is not None or height is not None:  # one side is fixed: the other follows it, in shape
        scale = width / source[0] if width is not None else (height or 1) / source[1]
        size = tuple(side or _near(scale * own, settings.multiple) for side, own in zip(fixed, source, strict=True))
        return _resized(source, (size[0], size[1]))
    if settings.fit == "resize":
        return _resized(source, (_near(source[0], settings.multiple), _near(source[1], settings.multiple)))
    size = tuple(-(-side // settings.multiple) * settings.multiple for side in source)
    x, y = (to - own for to, own in zip(size, source, strict=True))
    corner = {"right-bottom": (0, 0), "right-top": (0, y), "centre": (x // 2, y // 2)}[settings.pad or "right-bottom"]
    return Fit(source, (size[0], size[1]), corner)


def _resized(source: Size, size: Size) -> Fit:
    return Fit(source, size, (0, 0) if source == size else None)


def _near(side: float, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple


def values_of(image: UInt8, settings: OnnxSettings, channels: int) -> Float32:
    """Return a picture [H, W, 3] RGB as the network wants its values: float32 [H, W, channels]."""
    if channels == 1:
        values = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    else:
        values = image.astype(np.float32)
    if settings.normalize == "imagenet":
        mean, std = (np.asarray(three, np.float32) for three in (IMAGENET_MEAN, IMAGENET_STD))
        values = (values / np.float32(255) - (mean if channels == 3 else mean.mean())) / (
            std if channels == 3 else std.mean()
        )
    elif settings.input_range != "0..255":
        values /= np.float32(255)
        if settings.input_range == "-1..1":
            values = values * np.float32(2) - np.float32(1)
    return np.asarray(values[..., ::-1] if settings.colours == "bgr" else values, np.float32)
