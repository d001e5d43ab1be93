"""Looks that are numbers alone: the distribution of a set's colours, and means and deviations of single pictures.

NumPy and OpenCV alone. Both change every pixel by its own colour, so shapes and classes stay where they are; what a
thing looks like beyond its colour stays, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]
LEVELS = 256
_LEAST_DEVIATION = 1.0  # of a channel of Lab [1/100 of its range]: a plain picture is moved, not stretched


@dataclass(frozen=True)
class Histogram:
    """The shares of the levels of each channel over a set, float64 [3,256], each row 1 in all."""

    shares: NDArray[np.float64]

    def restyled(self, image: RGB, rng: np.random.Generator) -> RGB:
        """The picture with the set's distribution in each channel: equal levels stay equal, their order stays."""
        del rng
        tables = [matching(own, wanted) for own, wanted in zip(level_shares(image), self.shares, strict=True)]
        # OpenCV takes a table per channel as [1,256,3].
        return np.asarray(cv2.LUT(image, np.stack(tables, axis=-1)[None]), dtype=np.uint8)


@dataclass(frozen=True)
class Colours:
    """Means and standard deviations in CIE Lab of a set's pictures, float32 [N,2,3], and their names."""

    moments: NDArray[np.float32]
    names: tuple[str, ...]

    def restyled(self, image: RGB, rng: np.random.Generator) -> RGB:
        """The picture with mean and deviation of one of the set, drawn from `rng`."""
        return transferred(image, self.moments[self.drawn(rng)])

    def drawn(self, rng: np.random.Generator) -> int:
        """Which picture is taken."""
        return int(rng.integers(len(self.moments)))


def level_shares(image: RGB) -> NDArray[np.float64]:
    """The shares of the levels of each channel, [3,256]."""
    counts = [np.bincount(image[..., channel].ravel(), minlength=LEVELS) for channel in range(3)]
    return np.stack(counts) / (image.shape[0] * image.shape[1])


def matching(own: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The table [256] that takes one distribution of levels [256] to another: each level to that of the same rank.

    The rank of a level is the middle of its share, so that a table from a distribution to itself changes nothing.
    """
    ranks = np.cumsum(own) - own / 2
    return np.searchsorted(np.cumsum(wanted), ranks - 1e-12).clip(0, LEVELS - 1).astype(np.uint8)


def moments_of(image: RGB) -> NDArray[np.float32]:
    """Mean and standard deviation of each channel in CIE Lab, float32 [2,3]."""
    return _moments(_lab(image))


def _moments(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    # A tenth of NumPy's time, which goes over [H,W,3] three values at a time.
    return np.stack([one.ravel() for one in cv2.meanStdDev(lab)]).astype(np.float32)


def is_bare(image: RGB) -> bool:
    """Whether a picture is as good as one colour: its brightness deviates by less than a hundredth of the range."""
    return bool(moments_of(image)[1, 0] < _LEAST_DEVIATION)


def transferred(image: RGB, wanted: NDArray[np.float32]) -> RGB:
    """The picture with other means and deviations in Lab (Reinhard et al. 2001, Eq. 10 and 11, in CIE Lab for their
    lαβ); colours beyond RGB are clipped.
    """
    lab = _lab(image)
    (mean, deviation), (other_mean, other_deviation) = _moments(lab), wanted
    factor = other_deviation / np.maximum(deviation, _LEAST_DEVIATION)
    moved = cv2.transform(lab, np.column_stack([np.diag(factor), other_mean - factor * mean]))
    rgb = cv2.cvtColor(moved, cv2.COLOR_Lab2RGB)
    return np.rint(rgb * 255).clip(0, 255).astype(np.uint8)


def _lab(image: RGB) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), dtype=np.float32)


def histogram_of(images: Iterable[RGB]) -> Histogram:
    """The distribution of a set's colours, each picture counting alike. Raises: ValueError of no picture."""
    shares = [level_shares(image) for image in images]
    return Histogram(np.mean(shares, axis=0))


def colours_of(images: Iterable[tuple[str, RGB]]) -> Colours:
    """Means and deviations of a set's pictures, with their names."""
    found = [(name, moments_of(image)) for name, image in images]
    return Colours(np.stack([moments for _, moments in found]), tuple(name for name, _ in found))
