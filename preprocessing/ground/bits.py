"""How many of the 16 bits of a set's pictures are used, by the largest value of its first ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from preprocessing.ground import archives
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import decode_picture

_LOOKED_AT = 6
_DEEP = (".png", ".tif", ".tiff", ".ppm", ".pgm")  # the kinds that can have more than 8 bits
_USUAL = (8, 10, 12, 14, 16)  # of cameras


def find_bits(paths: Sequence[Path]) -> int:
    """The bits that 16-bit pictures use, 8, 10, 12, 14 or 16, by the largest value of up to 6 of them, evenly spaced.

    16 for 8-bit pictures too. A file that cannot be read says nothing: reading it will say why.
    """
    picked = sorted(set(np.linspace(0, len(paths) - 1, min(_LOOKED_AT, len(paths))).round().astype(int).tolist()))
    largest = 0
    for path in (paths[place] for place in picked):
        if not may_be_deep(path):
            continue
        try:
            picture, _ = decode_picture(path)
        except InputError:
            continue
        if picture.dtype == np.uint16 and picture.size:
            colours = picture[..., :3] if picture.ndim == 3 else picture  # transparency is full, whatever the bits
            largest = max(largest, int(colours.max()))
    return bits_up_to(largest)


def bits_up_to(largest: int) -> int:
    """The bits that 16-bit pictures use, 8, 10, 12, 14 or 16, by the largest value in some of them; of 0, 16."""
    return next(bits for bits in _USUAL if largest < 2**bits) if largest else 16


def may_be_deep(path: Path) -> bool:
    """Whether a picture may have more than 8 bits, by its first bytes."""
    if path.suffix.lower() not in _DEEP:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except NotADirectoryError:
        found = archives.member_of(path)
        if found is None:
            return False
        head = archives.read_member(*found, path, 4096)
    except OSError:
        return False
    return not head.startswith(b"\x89PNG") or head[24:25] == b"\x10"
