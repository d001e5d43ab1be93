"""A loaded model as one object, with pre- and postprocessing: frames in, maps out.

Nothing here imports torch or a runtime: NumPy and OpenCV are enough.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, ErrorScale, Task, TaskSpec, names_of, tasks_of, with_derived
from export.graph import CLASSES, DEPTH, DEPTH_ERROR, IGNORED_CLASS, Metadata, View, of_batch, view_of
from preprocessing.ground import Fit, Framing, InputError, LabelSet, Lens
from preprocessing.sets import ToldLens

Zoom = float | NDArray[np.float32]
"""The factor of the lens of all frames of a batch, or float32 `[N]`, one each."""


class Network(Protocol):
    """uint8 `[1, h, w, 3]` RGB of the network's size to its outputs by name; metres of the file's own lens, or of one
    `zoom` times as long as the one that depth was learnt for, which is given only to a session that `takes_zoom`.
    """

    def __call__(self, image: NDArray[np.uint8], zoom: Zoom | None = None, /) -> dict[str, NDArray[Any]]: ...


class _Plain(Protocol):
    """A network of one lens."""

    def __call__(self, image: NDArray[np.uint8], /) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True)
class Result:
    """Outputs for one frame at the network's size, and what was derived of them, by name.

    Where the frame was padded they are cropped to what shows it. `framing` says how it was shown; None: as a whole.

    classes: uint8 `[h, w]`, indices into the metadata's class names, 255 where
    there is none. depth_m: float32 `[h, w]`, metres, +Inf where there is no distance, the sky, NaN where it is unknown
    (as ROS REP 118 has it). offsets_px:
    float32 `[2, h, w]`, dy and dx from the instance's centre, in pixels of this size. instances: uint16 `[h, w]`,
    class * 1000 + number, 0 = none. Each is None where the model has no such output, `instances` also where they were
    not asked for (`complete`). Every other output, also of a caller's tasks, is in `outputs`, and an attribute, too:
    `result.normals`.
    """

    outputs: Mapping[str, NDArray[Any]]
    framing: Framing | None = None

    def __getattr__(self, name: str) -> NDArray[Any]:
        outputs = self.__dict__.get("outputs", {})  # empty while it is unpickled
        if name not in outputs:
            raise AttributeError(f"no output {name!r}; there are {', '.join(outputs)}")
        found: NDArray[Any] = outputs[name]
        return found

    @property
    def classes(self) -> NDArray[np.uint8] | None:
        """Of segmentation."""
        return self.outputs.get("classes")

    @property
    def depth_m(self) -> NDArray[np.float32] | None:
        """Of depth."""
        return self.outputs.get("depth_m")

    @property
    def offsets_px(self) -> NDArray[np.float32] | None:
        """Of instances."""
        return self.outputs.get("offsets_px")

    @property
    def instances(self) -> NDArray[np.uint16] | None:
        """Offsets, grouped."""
        return self.outputs.get("instances")


@dataclass(frozen=True)
class Session:
    """A loaded model. `network` maps uint8 `[1, h, w, 3]` RGB of the network's size to its outputs by name.

    The outputs are on the host when it returns, so timing a call needs no further synchronisation.
    `provider` names what runs it, `note` says why that one, and what integers do here.
    `concurrent`: several threads may call `network` at once.
    `tasks`: a table with those that the model has learnt.
    `takes_zoom`: `network` takes the factor of another lens; else metres are multiplied here, and what was clipped to
    the range of depths stays so.
    `lens`: the lens of the frames where they bring none; None: the model's own. `fit`: how frames of another aspect are
    shown; None: as the model's file says.
    """

    metadata: Metadata
    provider: str
    note: str
    network: Network | _Plain
    concurrent: bool = True
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)
    takes_zoom: bool = False
    lens: ToldLens | Lens | None = None
    fit: Fit | None = None

    @property
    def told(self) -> str:
        """The note, and what the network has to say of how it has run."""
        return "; ".join(part for part in (self.note, getattr(self.network, "told", "")) if part)

    @property
    def shown_as(self) -> Fit:
        """How frames of another aspect are shown."""
        return self.metadata.fit if self.fit is None else self.fit

    def view(self, frame: tuple[int, int], lens: ToldLens | Lens | None = None) -> View:
        """How frames of this size, (width, height), are shown, and what lens their metres are of.

        Raises: InputError naming who tells a lens that such frames cannot have.
        """
        return view_of(self.metadata, frame, self.lens if lens is None else lens, self.fit)

    def infer(self, image: NDArray[np.uint8], zoom: Zoom | None = None) -> dict[str, NDArray[Any]]:
        """`network`, for a lens `zoom` times as long as the one that depth was learnt for; None: the file's own."""
        own = self.metadata.zoom
        if zoom is None or np.all(np.float32(zoom) == np.float32(own)) or not self.metadata.of_lens:
            return self.network(image)
        if self.takes_zoom:
            return self.network(image, zoom)  # type: ignore[call-arg]
        return _rescaled(self.network(image), zoom / own, self.metadata)

    def run(self, frame: NDArray[np.uint8], lens: ToldLens | Lens | None = None) -> Result:
        """Infer one frame, uint8 `[H, W, 3]` RGB of any size; the results have the network's size.

        lens: of this frame as it is; None: that of the session. Raises: InputError where the frame cannot have it.
        """
        if self.metadata.batch != 1:
            raise InputError(f"this model takes {self.metadata.batch} frames at a time: give them to `run_batch`")
        view = self.view((frame.shape[1], frame.shape[0]), lens)
        result = unpack(self.infer(view.framing.picture(frame)[None], view.zoom), view.framing)
        return complete(result, self.metadata, self.tasks)

    def run_batch(
        self, frames: Sequence[NDArray[np.uint8]], lenses: Sequence[ToldLens | Lens | None] | None = None
    ) -> list[Result]:
        """Infer as many frames as the file takes at a time (`metadata.batch`), uint8 `[H, W, 3]` RGB, each of any size.

        lenses: of each frame as it is; None: that of the session. Raises: InputError for another number of frames, or
        a lens that a frame cannot have.
        """
        count = self.metadata.batch
        lenses = [None] * len(frames) if lenses is None else lenses
        if len(frames) != count or len(lenses) != count:
            raise InputError(f"{len(frames)} frames, {len(lenses)} lenses: this model takes {count} at a time")
        views = [self.view((frame.shape[1], frame.shape[0]), lens) for frame, lens in zip(frames, lenses, strict=True)]
        images = np.stack([view.framing.picture(frame) for view, frame in zip(views, frames, strict=True)])
        outputs = self.infer(images, np.array([view.zoom for view in views], np.float32))
        singles = [{name: value[i : i + 1] for name, value in outputs.items()} for i in range(count)]
        return [
            complete(unpack(one, view.framing), self.metadata, self.tasks)
            for one, view in zip(singles, views, strict=True)
        ]


def filled(session: Session) -> Session:
    """The same model as one of a frame at a time, its batch filled with copies of it: to measure it as others are."""
    count = session.metadata.batch
    if count == 1:
        return session

    def network(image: NDArray[np.uint8], zoom: Zoom | None = None, /) -> dict[str, NDArray[Any]]:
        outputs = session.infer(np.repeat(image, count, axis=0), zoom)
        return {name: value[:1] for name, value in outputs.items()}

    return replace(session, network=network, metadata=of_batch(session.metadata, 1), takes_zoom=True)


def _rescaled(outputs: dict[str, NDArray[Any]], factor: Zoom, metadata: Metadata) -> dict[str, NDArray[Any]]:
    """The outputs with the metres of a lens `factor` times as long; normals and the like need the graph's own input."""
    low, high = metadata.depth_range_m or (0.0, np.inf)
    scaled = dict(outputs)
    if DEPTH in outputs:
        metres = outputs[DEPTH]
        factors = np.reshape(factor, (-1, 1, 1)).astype(np.float32)
        within = np.clip(metres * factors, np.float32(low), np.float32(high))
        scaled[DEPTH] = np.where(np.isposinf(metres), metres, within)
    return scaled


def prepare(frame: NDArray[np.uint8], size: tuple[int, int], fit: Fit = "stretch") -> NDArray[np.uint8]:
    """Bring a frame uint8 `[H, W, 3]` to the network's input uint8 `[1, h, w, 3]`; `size` is (width, height).

    fit: how one of another aspect is shown, as the model's metadata say.
    """
    return np.ascontiguousarray(Framing.of((frame.shape[1], frame.shape[0]), size, fit).picture(frame))[None]


def unpack(outputs: Mapping[str, NDArray[Any]], framing: Framing | None = None) -> Result:
    """The network's outputs without their batch axis, and of a padded frame without what stands beside it."""
    frame = {name: value[0] for name, value in outputs.items()}
    if framing is None or framing.plain:
        return Result(frame, framing)
    rows, columns = framing.shown
    return Result({name: np.ascontiguousarray(value[..., rows, columns]) for name, value in frame.items()}, framing)


def unknown(name: str, dtype: np.dtype[Any]) -> Any:
    """The value of an output, or of what is derived, where nothing is known: class 255, NaN, or 0."""
    if name == CLASSES:
        return IGNORED_CLASS
    return np.nan if np.issubdtype(dtype, np.floating) else 0


def uncropped(result: Result) -> Result:
    """The result at the network's whole size again, nothing known of what stood beside a padded frame."""
    framing = result.framing
    if framing is None or framing.plain:
        return result
    rows, columns = framing.shown
    (width, height), whole = framing.size, dict[str, NDArray[Any]]()
    if (rows.stop - rows.start, columns.stop - columns.start) == (height, width):
        return result
    for name, values in result.outputs.items():
        whole[name] = np.full((*values.shape[:-2], height, width), unknown(name, values.dtype), values.dtype)
        whole[name][..., rows, columns] = values
    return Result(whole)


def spec_of(metadata: Metadata) -> TaskSpec:
    """The settings of the tasks, from the model's file."""
    return TaskSpec(
        classes=metadata.classes,
        depth_range_m=metadata.depth_range_m or TaskSpec().depth_range_m,
        width_px=metadata.size[0],
        depth_error=_error_scale(metadata),
        told_labels=LabelSet(metadata.label_set, metadata.class_names, metadata.colours),
        told_things=metadata.things,
    )


def _error_scale(metadata: Metadata) -> ErrorScale | None:
    """How to read the errors that a file gives: as they are, the graph has multiplied them already."""
    if DEPTH_ERROR not in metadata.outputs:
        return None
    interval = metadata.error_interval
    return ErrorScale() if interval is None else ErrorScale(interval=interval, frames=metadata.error_frames)


def complete(result: Result, metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> Result:
    """The result with what its tasks compute outside of the graph: offsets are grouped into instances, where there are
    offsets and classes.
    """
    return replace(result, outputs=with_derived(result.outputs, spec_of(metadata), tasks))


def fit(result: Result, size: tuple[int, int], tasks: Mapping[str, Task] = TASKS) -> Result:
    """Bring results to another `size` (width, height) of the frame, by nearest: no class or depth invented at edges.

    What was cut off the frame is unknown: class 255, depth NaN. Lengths in pixels are pixels of the new size: each
    component of an offset is multiplied by the ratio of its side.
    """
    fitted: dict[str, NDArray[Any]] = {}
    for task in tasks_of(result.outputs, tasks).values():
        for name in names_of(task):
            if name in result.outputs:
                values = _whole_frame(name, result.outputs[name], result.framing)
                fitted[name] = task.arrays.resized(name, values, size)
    return Result(fitted)


def _whole_frame(name: str, values: NDArray[Any], framing: Framing | None) -> NDArray[Any]:
    """A map of what was shown of a frame, as one of the resized frame."""
    if framing is None or framing.plain or framing.share == 1:
        return values
    width, height = framing.scaled
    whole = np.full((*values.shape[:-2], height, width), unknown(name, values.dtype), values.dtype)
    whole[..., framing.taken[0], framing.taken[1]] = values
    return whole


def fault_of(result: Result, sky: Collection[int] = ()) -> str | None:
    """The fault that makes a result invalid, in words; None where there is none.

    A network may give NaN or infinity: broken weights, too large a number in half precision. Depth and offsets show it;
    of classes the graph itself tells, by 255 everywhere, in files exported since it does. `sky`: the classes whose
    depth is +Inf on purpose (`Metadata.sky`); anywhere else it is a fault.
    """
    for name, values in result.outputs.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all() and _broken(values, result, sky):
            return f"the network gave {name} that are not finite numbers"
    if result.classes is not None and result.classes.max() == IGNORED_CLASS:
        return "the network gave logits that are not finite numbers"
    return None


def _broken(values: NDArray[Any], result: Result, sky: Collection[int]) -> bool:
    if not sky or result.classes is None:
        return True
    meant = np.isposinf(values) & np.isin(result.classes, list(sky))
    return not (np.isfinite(values) | meant).all()
