"""Reading label files: ids of 1 to 16 bits, or colours, as a label set says. Lossy pictures are refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import decoded, read_content
from preprocessing.ground.labels import Translation, UInt8, count_labels, map_labels
from preprocessing.ground.labels.label_set import UNKNOWN, LabelSet

_NEAR = 24  # levels in each channel that compression moves a colour by
_FEW = 8


@dataclass(frozen=True)
class LabelMap:
    """A label file as it is stored: ids uint8 or uint16 [H, W], or keys of colours, uint32 [H, W].

    `remedy`: how a user says which label set it follows; the end of messages.
    """

    values: npt.NDArray[np.unsignedinteger]
    path: Path
    remedy: str = ""

    @property
    def of_colours(self) -> bool:
        """Whether the values are keys of colours."""
        return self.values.dtype == np.uint32

    def classes(self, how: Translation) -> UInt8:
        """Classes of the network, uint8 [H, W], 255 = ignore. Raises: InputError: an id or colour of no class."""
        try:
            return map_labels(self.values, how.colour_table if self.of_colours else how.table, self.path)
        except InputError as error:
            raise self._unknown(error, how) from None

    def counts(self, how: Translation) -> dict[int, int]:
        """Pixels by id or key of a colour. Raises: as `classes`."""
        try:
            return count_labels(self.values, how.colour_table if self.of_colours else how.table, self.path)
        except InputError as error:
            raise self._unknown(error, how) from None

    def _unknown(self, error: InputError, how: Translation) -> InputError:
        _check_near(self, how.source)
        return InputError(f"{error}; is this another label set than {how.source.name}? {self.remedy}")

    def class_of(self, value: int, how: Translation) -> int:
        """The class of one of the values."""
        return int((how.colour_table if self.of_colours else how.table)[value])

    def where(self, ids: tuple[int, ...], colours: tuple[tuple[int, int, int], ...]) -> npt.NDArray[np.bool_]:
        """Which pixels have one of these ids, or of these colours, bool [H, W]."""
        keys = [red << 16 | green << 8 | blue for red, green, blue in colours]
        return np.isin(self.values, keys if self.of_colours else list(ids))


IN_SOURCES = "The source's key classes says which (docs/label_sets.md)"


def read_label_map(path: Path, how: Translation, remedy: str = IN_SOURCES) -> LabelMap:
    """Read a label file as `how.source` stores it.

    Pictures of one channel are ids, as are the indices of a palette; where the set has colours, pictures of several
    channels are colours, and so are palettes whose colours it has.
    Raises: InputError naming the file that is missing, broken, lossy, or of several channels without colours.
    """
    source = how.source
    array, palette = stored_labels(path)
    if array.ndim == 3 and not source.has_colours:
        raise InputError(
            f"{path}: has {array.shape[-1]} channels where one is expected (ids); a label set that tells the colours "
            f"of each class would read it. {remedy}"
        )
    if array.ndim == 3:
        values: npt.NDArray[np.unsignedinteger] = _keys(array, path)
    elif palette is not None:
        values = _of_palette(array, palette, how)
    else:
        values = _of_grey(array, how, path)
    return LabelMap(values, path, remedy)


def stored_labels(path: Path) -> tuple[npt.NDArray[Any], UInt8 | None]:
    """A label file as it is stored, [H, W] or [H, W, C], and its palette [n, 3] where it has one.

    Raises: InputError naming the file that is missing, broken or lossy.
    """
    content = read_content(path)
    _refuse_lossy(content, path)
    return decoded(content, path)


def _of_grey(array: npt.NDArray[Any], how: Translation, path: Path) -> npt.NDArray[np.unsignedinteger]:
    """Ids; or keys of grey colours, which a picture of many colours is often stored as where it shows no others."""
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: pixels are {array.dtype}, expected integers of 8 or 16 bits")
    if array.dtype == np.uint8 and how.source.has_colours and not _all_known(array, how.table):
        keys = array.astype(np.uint32) * 0x010101
        if _all_known(keys, how.colour_table):
            return keys
    return array


def _refuse_lossy(content: bytes, path: Path) -> None:
    """JPEG and lossy WebP mix the classes on both sides of every edge into ids or colours of others."""
    kind = "JPEG" if content[:3] == b"\xff\xd8\xff" else "lossy WebP" if _is_lossy_webp(content) else None
    if kind is not None:
        raise InputError(
            f"{path}: labels in {kind}, which changes ids and colours at every edge; export them again as PNG"
        )


def _is_lossy_webp(content: bytes) -> bool:
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return False
    start = 12
    while start + 8 <= len(content):
        if content[start : start + 4] == b"VP8 ":
            return True
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        start += 8 + size + size % 2
    return False


def _all_known(values: npt.NDArray[np.unsignedinteger], table: UInt8) -> bool:
    return int(values.max(initial=0)) < len(table) and not (table[values] == UNKNOWN).any()


def _of_palette(
    indices: npt.NDArray[np.unsignedinteger], palette: UInt8, how: Translation
) -> npt.NDArray[np.unsignedinteger]:
    """Keys of the palette's colours where the set has all of those that occur; else the indices, as ids."""
    if not how.source.has_colours:
        return indices
    used = np.unique(indices)
    padded = np.zeros((max(len(palette), int(used.max(initial=0)) + 1), 3), np.uint32)
    padded[: len(palette)] = palette
    keys = padded[:, 0] << 16 | padded[:, 1] << 8 | padded[:, 2]
    by_colour = not (how.colour_table[keys[used]] == UNKNOWN).any()
    return keys[indices] if by_colour or not _all_known(used, how.table) else indices


def _keys(array: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint32]:
    """Colours [H, W, 3] or, with transparency, [H, W, 4] as numbers; [H, W, 2] is grey with transparency."""
    if array.dtype != np.uint8:
        raise InputError(f"{path}: colours of {array.dtype}, expected 8 bits")
    channels = (0, 0, 0) if array.shape[-1] == 2 else (0, 1, 2)
    whole = np.zeros((*array.shape[:2], 4), np.uint8)
    for place, channel in enumerate(reversed(channels)):  # little-endian: blue is the lowest byte
        whole[..., place] = array[..., channel]
    return whole.view("<u4")[..., 0].astype(np.uint32, copy=False)


def _check_near(labels: LabelMap, source: LabelSet) -> None:
    """Raises: InputError where unknown colours crowd around known ones, as a lossy picture has them."""
    if not labels.of_colours:
        return
    known = np.array([c for own in (*source.colours, source.ignore_colours) for c in own], np.int64).reshape(-1, 3)
    found, counts = np.unique(labels.values, return_counts=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.int64)
    distance = np.abs(colours[:, None] - known[None]).max(axis=2).min(axis=1, initial=255)
    other, near = distance > 0, (distance > 0) & (distance <= _NEAR)
    if other.sum() > _FEW and 2 * counts[near].sum() > counts[other].sum():
        raise InputError(
            f"{labels.path}: {other.sum()} colours are none of {source.name}, most of them by a few levels, as lossy "
            "compression or smooth resizing leaves them; export the labels again without either"
        )
