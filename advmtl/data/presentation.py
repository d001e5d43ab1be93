"""Whole frames for an evaluation that shows them otherwise than training does: labels as they are on the disk, pictures
at other sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.data.batch import Sample
from advmtl.data.dataset import TaskFrames
from advmtl.data.frames import BadFrame, Look, blank_frame, read_labels, zoom_of
from advmtl.tasks import FrameRecord, Size, Task, TaskSpec
from preprocessing.ground import Fit, Framing, InputError
from preprocessing.sets import Strays

_LEAST_SIDE = 32  # the network's coarsest maps are at a 32nd of a picture
_LABEL_PIXELS = 2**21  # of a batch, one frame of Cityscapes: 19 classes of it are 160 MB


@dataclass(frozen=True)
class Presentation:
    """How frames are shown, where it is not as in training.

    Attributes:
        input: (width, height) of what the network is shown [px]; None: that of the source.
        own_size: labels at the size that they have on the disk, that of their picture; else at the input's, picked by
            nearest.
        scales: pictures at these multiples of the input too; 1 is not among them.
    """

    input: Size | None = None
    own_size: bool = False
    scales: tuple[float, ...] = ()

    def sizes(self, size: Size) -> list[Size]:
        """Of the pictures at the other scales, (width, height) [px]. Raises: InputError where one is too small."""
        found = [(round(size[0] * scale), round(size[1] * scale)) for scale in self.scales]
        for scale, (width, height) in zip(self.scales, found, strict=True):
            if min(width, height) < _LEAST_SIDE:
                raise InputError(f"scale {scale:g}: {width}x{height} px is too small; sides need {_LEAST_SIDE} or more")
        return found


class PresentedFrames(TaskFrames):
    """Frames by number, whole, each read once and nothing cached."""

    def __init__(
        self,
        records: Sequence[FrameRecord],
        sizes: Sequence[Size],
        tasks: Mapping[str, Task],
        presentation: Presentation,
        spec: TaskSpec,
        fit: Fit = "stretch",
    ) -> None:
        """`sizes`: network size of each source in training, by number; `fit`: how pictures of another shape are
        shown.
        """
        self.fit: Fit = fit
        self.records, self.sizes, self.tasks, self.spec = list(records), list(sizes), dict(tasks), spec
        self.presentation = presentation
        self.bad_frames: list[BadFrame] = []
        self.looks: Sequence[Look] = []
        self.strays: Sequence[Strays] = []
        self._scaled = {size: presentation.sizes(presentation.input or size) for size in set(self.sizes)}

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def label_sizes(self) -> list[Size]:
        """(width, height) of every frame's labels, framed as its picture is [px]; reads the heads of the pictures."""
        if not self.presentation.own_size:
            return [self._input(record) for record in self.records]
        return [self._framings(record, record.shape()[::-1])[1].size for record in self.records]

    @property
    def zooms(self) -> list[float]:
        """How many times as large as in training things are shown, at every scale of every source."""
        trained = [self.sizes[record.source][0] for record in self.records]
        shown = [self._input(record)[0] for record in self.records]
        ratios = {width / own for width, own in zip(shown, trained, strict=True)}
        return sorted({ratio * scale for ratio in ratios for scale in (1.0, *self.presentation.scales)})

    def batches(self, count: int) -> list[list[int]]:
        """The frames in their order, at most `count` together, whose pictures and labels have one size."""
        shapes = [(record.source, size) for record, size in zip(self.records, self.label_sizes, strict=True)]
        found = []
        for (_, (width, height)), run in groupby(range(len(self)), key=shapes.__getitem__):
            members, most = list(run), min(count, max(1, _LABEL_PIXELS // (width * height)))
            found += [members[start : start + most] for start in range(0, len(members), most)]
        return found

    def __getitem__(self, place: int) -> Sample:
        record, size, zoom, fault = self.records[place], self.label_sizes[place], 1.0, None
        trained, shown = self.sizes[record.source], self._input(record)
        try:
            image = record.picture()
            frame = image.shape[1], image.shape[0]
            framing, labelled = self._framings(record, frame)
            if labelled.size != size:
                raise InputError(f"{record.image}: its size has changed since the evaluation began")
            labels: Mapping[str, NDArray[Any]] = read_labels(record, labelled, self.tasks, self.spec)
            told = zoom_of(record, framing, self.spec)
            # Of an unknown lens, metres are those of the lens in training, at the size in training.
            zoom = shown[0] / trained[0] if told is None else told
            picture = framing.picture(image)
            scaled = [Framing.of(frame, other, self.fit).picture(image) for other in self._scaled[trained]]
        except InputError as error:
            labels, fault = blank_frame(size, self.tasks).labels, str(error)
            picture, *scaled = (np.zeros((*one[::-1], 3), np.uint8) for one in (shown, *self._scaled[trained]))
        targets = {
            name: self.tasks[name].arrays.target(label, self.spec, training=False) for name, label in labels.items()
        }
        return Sample(picture, targets, record, fault, scaled, zoom)

    def _framings(self, record: FrameRecord, frame: Size) -> tuple[Framing, Framing]:
        """Of the picture at the network's input, and of labels at the size that they are compared at."""
        shown = Framing.of(frame, self._input(record), self.fit)
        if not self.presentation.own_size:
            return shown, shown
        if shown.plain:
            return shown, Framing(frame, frame, frame)
        across, down = (own / resized for own, resized in zip(frame, shown.scaled, strict=True))
        size = round(shown.size[0] * across), round(shown.size[1] * down)
        return shown, Framing(frame, frame, size, round(shown.left * across), round(shown.top * down))

    def _input(self, record: FrameRecord) -> Size:
        return self.presentation.input or self.sizes[record.source]
