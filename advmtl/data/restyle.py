"""Looks of other recordings on frames as a network sees them, drawn for each frame of training."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advmtl.config import RestyleConfig
from advmtl.data.frames import Arrays
from advmtl.styles import Style, read_style
from advmtl.tasks import Size
from preprocessing.ground import InputError

STREAM = 0x3E57  # draws apart from those of the frame's window, colours and weather


@dataclass(frozen=True)
class TrainRestyle:
    """What a configuration asks for: a look, and how often a picture gets it."""

    style: Style
    chance: float

    def changed(self, shown: Arrays, rng: np.random.Generator) -> Arrays:
        """The window of a frame in the look, or as it is; the same labels."""
        if rng.random() >= self.chance:
            return shown
        return replace(shown, image=self.style.restyled(shown.image, rng))


def train_restyle(settings: RestyleConfig | None, size: Size) -> TrainRestyle | None:
    """The look that a configuration names, for pictures of (width, height) [px].

    Raises: InputError where the file is missing or no look, or was learnt at another size.
    """
    if settings is None:
        return None
    style = read_style(Path(settings.file).expanduser(), "data.augment.restyle.file")
    if style.learnt and style.size != size:
        there, here = (f"{width}x{height}" for width, height in (style.size, size))
        raise InputError(
            f"data.augment.restyle.file: {settings.file} was learnt at {there}, this training shows {here}; learn one "
            f"with advmtl restyle --size {here}, or set data.size={there}"
        )
    return TrainRestyle(style, settings.chance)
