"""The files of one frame of a data source; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import (
    AS_STORED,
    MAP_KINDS,
    Frame,
    Header,
    LabelSet,
    Lens,
    MapCodec,
    Reading,
    Translation,
    as_read,
    decode_picture,
    map_header,
    picture_shape,
    read_header,
    translation,
)
from preprocessing.sets import CITYSCAPES, Layout, ToldLens


@dataclass(frozen=True)
class FrameRecord:
    """Where one frame's files are. What the frame lacks is None; `depth` [m] goes before `disparity` [px].

    `ids` and `classes` are, by name or themselves, the label set of its label files (see
    `preprocessing.ground.translation`) and that of the network; `renamed` says which class of the one is which of the
    other. `layout` says how the disparity and the camera of `frame` are read. `extra`: files of tasks that come from
    outside, by a name of theirs. `withheld`:
    tasks whose label is treated as if it had never been made, though another task may read the same file. `told_lens`:
    what the source says of the lens of its pictures, which counts before any file of the frame. `reading`: how its
    picture is read; where that is "turned", only if no label has the size of the file as it is stored. `depth_codec`:
    what the numbers in its depth file (or its disparity's, by the codec's kind) mean, where the source says it;
    `baseline_m` goes with a disparity that has no camera file.
    """

    name: str
    image: Path
    ids: str | LabelSet
    classes: str | LabelSet
    source: int = 0
    labels: Path | None = None
    depth: Path | None = None
    disparity: Path | None = None
    instances: Path | None = None
    frame: Frame | None = None
    layout: Layout = CITYSCAPES
    extra: Mapping[str, Path] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    told_lens: ToldLens | None = None
    reading: Reading = AS_STORED
    depth_codec: MapCodec | None = None
    baseline_m: float | None = None
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def translation(self) -> Translation:
        """How its label files become classes. Raises: InputError where nothing of them is one."""
        return translation(self.ids, self.classes, self.renamed)

    def changed(self, **changes: Any) -> "FrameRecord":
        """A copy with other values. `dataclasses.replace` asks for every field, which 100,000 frames wait for."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    def shape(self) -> tuple[int, int]:
        """(height, width) of its picture as it is read. Raises: InputError naming a file that is no whole picture."""
        return self.shape_of(read_header(self.image))

    def shape_of(self, header: Header) -> tuple[int, int]:
        """The same, from the header of its picture."""
        return self._read_as(header.shape, header.orientation).shape(header.shape, header.orientation)

    def picture(self) -> NDArray[np.uint8]:
        """Its picture, RGB uint8 `[H,W,3]`. Raises: InputError naming the file."""
        stored, orientation = decode_picture(self.image)
        return as_read(self.image, stored, orientation, self._read_as(stored.shape[:2], orientation))[0]

    def is_turned(self, header: Header) -> bool:
        """Whether its picture is read as its EXIF orientation says."""
        return header.orientation != 1 and self._read_as(header.shape, header.orientation).turned

    def _read_as(self, stored: tuple[int, ...], orientation: int) -> Reading:
        """Labelling tools show pictures upright and export labels so; labels of the size as stored belong to that."""
        if orientation < 5 or not self.reading.turned or stored[0] == stored[1]:
            return self.reading
        file = next((one for one in (self.labels, self.depth, self.disparity, self.instances) if one is not None), None)
        own = stored if file is None else map_header(file)[0] if file.suffix in MAP_KINDS else picture_shape(file)
        return replace(self.reading, turned=False) if file is not None and own == tuple(stored) else self.reading

    def lens(self, size: tuple[int, int]) -> Lens | None:
        """The lens of its picture, of `size` (width, height) as it is on the disk; None where nobody tells it.

        Raises: InputError naming the file or the number that cannot be right.
        """
        if self.told_lens is not None:
            return self.told_lens.at(size)
        if self.frame is None or (self.frame.camera is None and self.layout is not CITYSCAPES):
            return None
        return Lens.of_camera(self.layout.camera(self.frame, size), size)
