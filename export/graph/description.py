"""A model's metadata, from the configuration it was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advmtl.config import Config, Source
from advmtl.data import index_source
from advmtl.tasks import Size, Task
from advmtl.version import __version__
from export.graph.metadata import CLASSES, DEPTH, OFFSETS, Metadata, layouts_of
from export.graph.view import view_of
from preprocessing.ground import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Camera,
    Fit,
    Framing,
    InputError,
    Lens,
    as_plain,
)
from preprocessing.sets import ToldLens


@dataclass(frozen=True)
class TrainingLens:
    """The lens of one training frame, of a source that tells it.

    Attributes:
        lens: of the picture as it is on the disk.
        camera: the stereo camera of the frame, in pixels of what the network sees; None where only a lens is told.
        size: (width, height) that the source is trained at.
        seen_px: focal length of what the network sees [px].
    """

    lens: Lens
    camera: Camera | None
    size: Size
    seen_px: float


def training_lenses(config: Config) -> list[TrainingLens]:
    """Of each training source that tells one: the lens of its first frame with the label of a task of the configuration
    that is learnt for a lens. [] on a machine without the training set, or with one that has changed since.
    """
    tasks = [task for name, task in config.task_table.items() if name in config.tasks and _of_lens(task)]
    found = []
    for source in config.data.train if tasks else ():
        if source.takes == "none":
            continue
        try:
            one = _first_lens(source, config, tasks)
        except (InputError, OSError, RuntimeError):  # RuntimeError: a ~user that this machine does not have
            continue
        found += [] if one is None else [one]
    return found


def training_camera(config: Config) -> tuple[Camera, Size] | None:
    """The first stereo camera of `training_lenses`, in pixels of the training size, and that size, (width, height)."""
    return next(((one.camera, one.size) for one in training_lenses(config) if one.camera is not None), None)


def _of_lens(task: Task) -> bool:
    return any(output.of_lens for output in task.arrays.outputs)


def _first_lens(source: Source, config: Config, tasks: Sequence[Task]) -> TrainingLens | None:
    size = source.size or config.data.size
    for record in index_source(source, config.data.classes, "train"):
        if not any(task.has(record) for task in tasks):
            continue
        told = record.told_lens is not None
        if not told and (record.frame is None or record.frame.camera is None):
            continue
        frame = record.shape()[::-1]
        lens = record.lens(frame)
        if lens is None:
            continue
        framing = Framing.of(frame, size, config.data.fit)
        seen = framing.lens(lens)
        camera = None
        if not told and record.frame is not None:
            own = record.layout.camera(record.frame, frame)
            own = own.scaled(framing.scaled[0] / frame[0], framing.scaled[1] / frame[1])
            camera = replace(own, u0_px=own.u0_px - framing.left, v0_px=own.v0_px - framing.top)
        return TrainingLens(lens, camera, size, seen.f_px)
    return None


def describe(
    config: Config,
    size: Size | None = None,
    *,
    lens: ToldLens | Lens | None = None,
    fit: Fit | None = None,
    endless_sky: bool = True,
    lenses: Mapping[str, Any] | None = None,
) -> Metadata:
    """The metadata of a model trained with `config`, for a network input of `size` (width, height).

    lens: taken where nothing else is said at run time; None: that of the training data. fit: how frames of another
    aspect are shown; None: as in training. endless_sky: whether the sky has no distance, +Inf. lenses: what is on
    record of the training frames' lenses (`Trained.lenses`).
    Raises: InputError for a lens that frames like those of the training cannot have.
    """
    size = size or config.data.size
    labels = config.spec.labels
    tasks = config.task_table
    own = [task for name, task in tasks.items() if name in config.tasks]
    spec = config.spec
    outputs = tuple(output.name for task in own for output in task.given(spec))
    classes, depth = CLASSES in outputs, DEPTH in outputs
    endless = classes and any(output.endless for task in own for output in task.arrays.outputs)
    known = training_lenses(config)
    stereo = next((one for one in known if one.camera is not None), None)
    metadata = Metadata(
        advmtl_version=__version__,
        size=size,
        outputs=outputs,
        layouts=layouts_of(tasks),
        label_set=labels.name if classes else "",
        own_classes=as_plain(labels) if classes and labels.own else None,
        class_names=labels.names if classes else (),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in labels.palette) if classes else (),
        things=labels.things if classes and OFFSETS in outputs else (),
        depth_range_m=(config.depth.min_m, config.depth.max_m) if depth else None,
        error_interval=None if spec.depth_error is None else spec.depth_error.interval,
        error_frames=0 if spec.depth_error is None else spec.depth_error.frames,
        depth_scale=config.depth.scale if depth else 1.0,
        camera=None if stereo is None else stereo.camera,
        camera_size=None if stereo is None else stereo.size,
        trained_size=config.data.size,
        lens_outputs=tuple(output.name for task in own for output in task.arrays.outputs if output.of_lens),
        fit=fit or config.data.fit,
        sky=labels.sky if endless and endless_sky else (),
        configuration=config.name,
        configuration_hash=config.hash,
        normalisation={"mean": IMAGENET_MEAN, "deviation": IMAGENET_STD},
    )
    return _behind(metadata, config, known, lens, lenses or {}) if metadata.of_lens else metadata


def _behind(
    metadata: Metadata,
    config: Config,
    known: Sequence[TrainingLens],
    told: ToldLens | Lens | None,
    record: Mapping[str, Any],
) -> Metadata:
    """The same with the lens that metres were learnt for, the default one, and the factor between them."""
    default = known[0].lens if known else None
    median = (record.get("fx_px") or [None, None, None])[1]
    if default is None and median:  # without the training set: as the network saw it
        default = Lens.of_fx(median, config.data.size)
    if default is None:
        return _of_unknown(metadata, config, told)
    learnt = config.canonical_fx_px or (known[0].seen_px if known else median)
    assert learnt is not None
    zooms = (*config.data.augment.zoom, 0.5 if config.train.halves else 1.0)
    seen = record.get("seen_fx_px") or [z * one.seen_px for one in known for z in zooms] or [learnt]
    metadata = replace(
        metadata,
        canonical_fx_px=config.canonical_fx_px,
        trained_fx_px=known[0].seen_px if known else median,
        lens=default,
        zooms=(round(min(seen) / learnt, 4), round(max(seen) / learnt, 4)),
    )
    view = view_of(metadata, default.size, told)
    return replace(metadata, lens=view.lens, zoom=round(view.zoom, 6))


def _of_unknown(metadata: Metadata, config: Config, told: ToldLens | Lens | None) -> Metadata:
    """Of a network whose training frames told no lens: metres behind that one alone, whatever it is, at any size."""
    trained = config.data.size
    shown = Framing.of(trained, metadata.size, metadata.fit).lens(Lens.of_fx(trained[0], trained))
    metadata = replace(metadata, zoom=round(shown.f_px / trained[0], 6))
    view_of(metadata, trained, told)  # refuses another lens
    return metadata
