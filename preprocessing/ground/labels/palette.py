"""Colours for classes that were given none."""

from collections.abc import Iterator

from preprocessing.ground.labels.label_set import Colour


def colour_wheel() -> Iterator[Colour]:
    """255 distinct colours, none black: PASCAL VOC's, the bits of a number dealt out to red, green and blue."""
    for number in range(1, 256):
        red = green = blue = 0
        for step in range(8):
            bits = number >> 3 * step
            red |= (bits & 1) << 7 - step
            green |= (bits >> 1 & 1) << 7 - step
            blue |= (bits >> 2 & 1) << 7 - step
        yield red, green, blue
