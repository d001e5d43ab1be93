"""Parts of a picture that show no scene: the borders that rectification leaves, and what a rig's own mask says."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, InputError, read_grey_or_index
from preprocessing.stereo.cleaning import Match

UInt8 = npt.NDArray[np.uint8]

_BLACK = 3
"""Greatest value of a black pixel: a JPEG file's are not all 0."""
_EVEN = 1
"""Neighbours in an even border differ by no more than this in any channel; it is one colour to within `_BLACK`."""
_LEAST_SHARE = 2e-4
"""Smaller parts are no border but a dark corner of the scene."""
_WHITE = 250
"""From here on pixels are overexposed, which is a thing of the scene: a white sky at the edge is no border."""


def borders(image: UInt8) -> Bool | None:
    """Find even regions that touch the edge of an RGB picture [H, W, 3], as `cv2.remap` leaves them: black, or of any
    one colour but overexposed white.

    Returns: bool [H, W], one pixel wider than the region, where interpolation mixed the two; None where there is none.
    """
    edge = _edge(image)
    # In a sharp picture next to no neighbours along the edge are equal: then nothing more is looked at.
    colours = _border_colours(edge)
    found = np.zeros(image.shape[:2], np.uint8)
    for colour in colours:
        low, high = (np.clip(colour.astype(int) + step, 0, 255).tolist() for step in (-_BLACK, _BLACK))
        mask = cv2.inRange(image, tuple(low), tuple(high))
        if colour.max() > _BLACK:  # a scene may well have the colour: only where it is quite even
            flat = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2) <= _EVEN
            mask &= flat.astype(np.uint8) * 255
        found |= _touching(mask)
    if not found.any():
        return None
    return cv2.dilate(found, np.ones((3, 3), np.uint8)) > 0


def _edge(image: UInt8) -> UInt8:
    """The pixels all around, in order: uint8 [N, 3]."""
    return np.concatenate([image[0], image[1:, -1], image[-1, -2::-1], image[-2:0:-1, 0]])


def _border_colours(edge: UInt8) -> list[UInt8]:
    """Colours of which a run of a 50th of the edge consists, black first; at most four."""
    colours = [np.zeros(3, np.uint8)] if (edge.max(axis=1) <= _BLACK).any() else []
    same = (np.abs(np.diff(edge.astype(np.int16), axis=0)).max(axis=1) <= _EVEN).astype(np.uint8)
    least = max(8, len(edge) // 50)
    if int(same.sum()) < least:
        return colours
    ends = np.flatnonzero(np.diff(np.concatenate([[0], same, [0]])))
    starts, stops = ends[::2], ends[1::2]
    long = stops - starts >= least
    for start, stop in zip(starts[long], stops[long], strict=True):
        colour = np.median(edge[start : stop + 1], axis=0).astype(np.uint8)
        known = any(np.abs(colour.astype(int) - other).max() <= _BLACK for other in colours)
        if not known and _BLACK < colour.max() < _WHITE and len(colours) < 4:
            colours.append(colour)
    return colours


def _touching(mask: UInt8) -> UInt8:
    """Of a mask, 0 or 255, the parts that touch the edge and are large enough, as 0 or 1."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    kept = np.zeros(len(statistics), np.uint8)
    kept[edge] = statistics[edge, cv2.CC_STAT_AREA] >= _LEAST_SHARE * mask.size
    kept[0] = 0
    return np.asarray(kept[parts], np.uint8)


def read_mask(path: Path, image: UInt8) -> Bool:
    """Read a rig's own mask, an 8-bit picture of one channel in which 0 is no scene: bool [H, W], True there.

    Raises: InputError: Missing, damaged, of more channels, or of another size than `image`.
    """
    mask = read_grey_or_index(path)
    if mask.shape != image.shape[:2]:
        (height, width), (own_height, own_width) = mask.shape, image.shape[:2]
        raise InputError(
            f"{path}: is {width}x{height}, but the pictures are {own_width}x{own_height}; draw it at their size"
        )
    if mask.all() or not mask.any():
        raise InputError(
            f"{path}: {'nothing' if mask.all() else 'every pixel'} is 0, the value of what shows no scene; draw that "
            "with 0 and all else with 255, or remove the file"
        )
    return np.asarray(mask == 0)


def without(match: Match, left: Bool | None, right: Bool | None) -> Match:
    """Return a match less the pixels of the left picture that show no scene, and those whose partner is such a pixel of
    the right one.

    Args: `left`, `right`: bool [H, W], True where there is no scene; None = nowhere.
    """
    valid, right_valid = match.valid, match.right_valid
    if left is not None:
        valid = valid & ~left
    if right is not None:
        width = right.shape[1]
        partner = np.arange(width) - np.rint(match.disparity - np.float32(match.doffs_px)).astype(np.int64)
        valid = valid & ~np.take_along_axis(right, partner.clip(0, width - 1), axis=1)
        right_valid = None if right_valid is None else right_valid & ~right
    return replace(match, valid=valid, right_valid=right_valid)
