"""The torch-free half of a task: label files, "no label", warping, deployed outputs, pictures.

A board that runs an exported model imports this half alone, with NumPy and OpenCV installed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.contents import Contents
from advmtl.tasks.pictures import RGB as RGB
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.spec import TaskSpec

Array = NDArray[Any]
Size = tuple[int, int]  # (width, height) [px]


@dataclass(frozen=True)
class Window:
    """One view of a frame: what augmentation cuts out of it.

    Attributes:
        matrix: float64 `[2,3]`, from an output pixel (x, y, 1) to source pixels; pixel centres are whole numbers.
        crop: size of what comes out.
        zoom: objects come out so many times larger; a lens of so many times the focal length.
        rotation_deg: of the window against the frame.
        flip: mirrored left to right.
    """

    matrix: NDArray[np.float64]
    crop: Size
    zoom: float = 1.0
    rotation_deg: float = 0.0
    flip: bool = False


def warp_nearest(stored: Array, window: Window, outside: float) -> Array:
    """Cut a window out of a map `[H,W]`: every pixel a copy of one, `outside` where the frame ends."""
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
    return cv2.warpAffine(stored, window.matrix, window.crop, flags=flags, borderValue=outside)


@dataclass(frozen=True)
class DataSource:
    """The hint of a task for a data source without its labels.

    Attributes:
        text: as it is written, `format:root`.
        root: its folder.
        stereo: whether depth can be made of it (`advmtl preprocess`).
        labels_apart: whether its set is published with the labels in an archive of their own, which may have been
            forgotten.
    """

    text: str
    root: str
    stereo: bool = False
    labels_apart: bool = False


@dataclass(frozen=True)
class Output:
    """One output of the deployed graph.

    Attributes:
        name: in the graph, in `npz` arrays and in records, with its unit: `depth_m`.
        layout: for the metadata: type, shape, unit.
        comparison: how an exported file is held against the checkpoint: the share of equal pixels ("agreement"), or
            the largest difference as a share of the value ("relative"), in its unit ("absolute"), or between unit
            vectors [degrees] ("angle").
        bound: least agreement, or largest difference.
        of_lens: whether it is learnt for the lens of the training data and means something else behind another one, so
            that an exported file has to tell its camera.
        endless: whether +Inf is a value of it: the sky has no distance.
    """

    name: str
    layout: str
    comparison: Literal["agreement", "relative", "absolute", "angle"]
    bound: float
    of_lens: bool = False
    endless: bool = False


@dataclass(frozen=True)
class MapFile:
    """A map as stored in a PNG, uint8 or uint16 `[H,W]`, and its text chunks."""

    array: Array
    text: Mapping[str, str] = field(default_factory=dict)


class TaskArrays(Protocol):
    """What a task does with NumPy arrays. "Stored" is a label at network size as the cache keeps it; "target" is what
    the network is trained on, computed after every transform.

    A class that names this one as its parent has the defaults given here.
    """

    check_decodes: bool = False
    """Whether `check` decodes the file, so that its `contents` cost nothing more."""
    value_unit: str = ""
    """Unit of `Contents.values`."""
    optional: tuple[Output, ...] = ()
    """What its head gives beside `outputs` where the configuration asks for it."""

    @property
    def dtype(self) -> str:
        """NumPy type of a stored label."""

    @property
    def channels(self) -> int:
        """0: stored `[H,W]`; else `[channels,H,W]`."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What its head always gives in the deployed graph."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of what `derive` may add outside of the graph."""

    def given(self, spec: TaskSpec) -> tuple[Output, ...]:
        """What its head gives in the deployed graph under these settings, `outputs` first."""
        return self.outputs

    def has(self, record: FrameRecord) -> bool:
        """Whether the frame has a file that this task's label is read from."""

    def check(self, record: FrameRecord, shape: tuple[int, int]) -> None:
        """Raise InputError for a label file that is missing, truncated or not of the image's `shape` (height, width),
        without decoding it where possible.
        """

    def contents(self, record: FrameRecord, shape: tuple[int, int], spec: TaskSpec) -> Contents | None:
        """What the label file of a picture of this `shape` holds; None where a task does not count it. Raises:
        InputError as `check` and `read` do.
        """
        self.check(record, shape)
        return None

    def class_names(self, spec: TaskSpec) -> tuple[str, ...]:
        """Names of what `Contents.classes` counts."""
        return ()

    def doubts(self, files: Sequence[tuple[FrameRecord, Contents]], spec: TaskSpec) -> list[str]:
        """What of the label files of one source can hardly be meant so: half sentences, after the source's name."""
        return []

    def read(self, record: FrameRecord, shape: tuple[int, int], size: Size, spec: TaskSpec) -> Array:
        """The stored label at network `size`; `shape` is the image's own. Raises: InputError naming the file."""

    def blank(self, size: Size) -> Array:
        """The stored label "unknown" at every pixel."""

    def warp(self, stored: Array, window: Window) -> Array:
        """Cut a window out of a stored label: picked from existing pixels, never averaged; units follow the zoom."""

    def behind_lens(self, stored: Array, zoom: float, spec: TaskSpec) -> Array:
        """The stored label of a picture in which things are `zoom` times as large as behind the canonical lens, as it
        is of the scene that this lens would show so (Yin et al. 2023, section 3.2). The default: lenses change nothing.
        """
        return stored

    def paste(self, own: Array, other: Array, mask: NDArray[np.bool_]) -> Array:
        """A stored label with another one's at the true pixels of `mask` [H,W]; what is told apart by number stays so.

        The default takes every pixel as it is.
        """
        return np.where(mask, other, own)

    def target(self, stored: Array, spec: TaskSpec, *, training: bool) -> Array:
        """The network's target; in training clipped to what it can express."""

    def is_labelled(self, target: Array, spec: TaskSpec, *, training: bool) -> bool:
        """Whether a target has a pixel that training learns from, or that an evaluation counts. Where a task does not
        say: whether it differs from that of a blank label.
        """
        size = target.shape[-1], target.shape[-2]
        return not np.array_equal(target, self.target(self.blank(size), spec, training=training))

    def missing(self, sources: Sequence[DataSource]) -> str:
        """Why no training frame of these sources may have the label, and what to do: one line."""

    def derive(self, outputs: Mapping[str, Array], spec: TaskSpec) -> dict[str, Array]:
        """What is computed outside of the graph from the outputs of one frame, by name; {} where there is nothing."""

    def resized(self, output: str, values: Array, size: Size) -> Array:
        """One output (or derived map) of one frame at another size, by nearest; lengths in pixels follow."""

    def picture(self, truth: Array, spec: TaskSpec) -> RGB | None:
        """The target of one frame as a picture of its size, also where it has the shape that `TaskLearning.tensor`
        gives it; None where there is none.
        """
        return None

    def draw(self, image: RGB, truth: Array | None, outputs: Mapping[str, Array], spec: TaskSpec) -> list[RGB]:
        """Rows `image | truth | prediction | legend` of one frame; `truth` is a target, `outputs` are the deployed
        ones (and what was derived) by name.
        """

    def paint(self, image: RGB, outputs: Mapping[str, Array], spec: TaskSpec) -> RGB:
        """One panel of the streamed picture, of the image's size."""

    def errors(self, image: RGB, truth: Array, outputs: Mapping[str, Array], spec: TaskSpec) -> list[tuple[str, RGB]]:
        """Named pictures of one frame for a report: image, truth, prediction, and where it is wrong; [] for none."""

    def footer(self, spec: TaskSpec, width: int) -> RGB:
        """The strip `[h, width, 3]` that explains the panel."""

    def files(self, outputs: Mapping[str, Array]) -> dict[str, MapFile]:
        """What `predict --raw` writes, by the ending of its name. Raises: ValueError for values that the file cannot
        hold.
        """
