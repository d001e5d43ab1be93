"""What the label files of training and validation hold, known before the first step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from advmtl.config import Config, Source
from advmtl.data.frames import Look
from advmtl.data.index import source_name
from advmtl.data.lenses import Lenses, lenses_of
from advmtl.tasks import Contents, FrameRecord, Task
from preprocessing.ground import InputError, Translation, sha256_of
from preprocessing.sets import Strays

_COMPARED_BYTES = 2**28  # of pictures that are read to find equal ones
_QUANTILES = (0.05, 0.5, 0.95)


class Surveyed(Protocol):
    """A loader, of which only the frames behind it are asked."""

    @property
    def dataset(self) -> object:
        """With `records`, and `looks` and `strays` where its files were looked at."""


@dataclass(frozen=True, eq=False)
class Labels:
    """One task's labels in the frames of one role.

    Attributes:
        frames: in the role.
        files: frames with a label file, without those that a budget hides.
        hidden: frames with a label that a budget hides.
        counted: files that were decoded; the others are taken to be labelled.
        void: names of the frames whose file has no pixel that counts.
        classes: names of the classes, of a task that has some.
        counts: int64 `[frames, classes]`, pixels at the files' own sizes; a row of zeros where no file was decoded.
            Rows are those of the loaders' `dataset.records`, one loader after the other.
        quantiles: 5, 50 and 95 % of the valid values, of a task that has a quantity; may be infinite.
        unit: of the quantiles.
        doubts: what of the files can hardly be meant so, each in one line that names the source.
    """

    frames: int
    files: int
    hidden: int
    counted: int
    void: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64), repr=False)
    quantiles: tuple[float, ...] = ()
    unit: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def labelled(self) -> int:
        """Frames that have the label."""
        return self.files - len(self.void)

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """int64 `[classes]`, over all frames."""
        return self.counts.sum(0)


@dataclass(frozen=True, eq=False)
class Survey:
    """What there is to learn from, and to measure on.

    Attributes:
        train, val: by configured task.
        strays: label files of both roles that belong to no picture.
        twice: by role, names of the frames that stand there with the same files before.
        shared: names of the validation frames whose picture is one of training, by file or by content.
        lenses: by role.
        looks: at all frames of both roles.
        translations: how the label files of each source become classes, by its name; once for the splits of a root.
    """

    train: Mapping[str, Labels]
    val: Mapping[str, Labels]
    strays: tuple[Strays, ...] = ()
    twice: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    lenses: Mapping[str, Lenses] = field(default_factory=dict)
    looks: Sequence[tuple[FrameRecord, Look]] = field(default=(), repr=False)
    translations: Mapping[str, Translation] = field(default_factory=dict)


def survey_data(config: Config, train: Surveyed, val: Sequence[Surveyed]) -> Survey:
    """The survey of loaders, from what was found in their files when these were listed.

    Reads nothing more but pictures of one size in bytes in both roles, to tell whether they are the same.

    Args: `train`, `val`: as of `train_loader` and `val_loaders` (without the names); of a caller's own only which
        labels their records have is known.
    """
    frames = _frames([train]), _frames(val)
    strays = [one for loader in (train, *val) for one in getattr(loader.dataset, "strays", ())]
    return Survey(
        train=_role(frames[0], config, "train"),
        val=_role(frames[1], config, "val"),
        strays=tuple(dict.fromkeys(strays)),
        twice={role: _twice(own) for role, own in zip(("train", "val"), frames, strict=True)},
        shared=_shared(*frames),
        looks=(*frames[0], *frames[1]),
        lenses={role: lenses_of(own, config, role) for role, own in zip(("train", "val"), frames, strict=True)},
        translations=_translations(frames, config),
    )


def _translations(frames: tuple["Frames", "Frames"], config: Config) -> dict[str, Translation]:
    """Of sources whose labels are learnt or measured; none of frames that no source is configured for."""
    found: dict[str, Translation] = {}
    if config.classes_task is None:
        return found
    for role, sources in zip(frames, (config.data.train, config.data.val), strict=True):
        first = {record.source: record for record, _ in reversed(role) if record.labels is not None}
        for number, record in sorted(first.items()):
            if number < len(sources):
                whole = sources[number].model_copy(update={"split": None})
                own = found.setdefault(source_name(whole), record.translation)
                if own is not record.translation:
                    found[source_name(sources[number])] = record.translation
    return found


def survey_val(config: Config, val: Sequence[Surveyed], sources: Sequence[Source] | None = None) -> dict[str, Labels]:
    """The half of a `Survey` that loaders to measure on have; `sources`: theirs, where not the configuration's."""
    if sources is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"val": list(sources)})})
    return _role(_frames(val), config, "val")


Frames = list[tuple[FrameRecord, Look]]


def _frames(loaders: Sequence[Surveyed]) -> Frames:
    found: Frames = []
    for loader in loaders:
        records: Sequence[FrameRecord] = getattr(loader.dataset, "records")  # noqa: B009  # of a protocol of frames
        found += zip(records, getattr(loader.dataset, "looks", None) or [Look()] * len(records), strict=True)
    return found


def _role(frames: Frames, config: Config, role: str) -> dict[str, Labels]:
    return {name: _labels(config.task_table[name], frames, config, role) for name in config.tasks}


def _labels(task: Task, frames: Frames, config: Config, role: str) -> Labels:
    names = task.arrays.class_names(config.spec)
    counts = np.zeros((len(frames), len(names)), np.int64)
    void, files, hidden, found = [], 0, 0, []
    for row, (record, look) in enumerate(frames):
        contents = look.contents.get(task.name)
        if contents is not None and not (contents.learnt if role == "train" else contents.measured):
            void.append(record.name)
        elif not task.has(record):
            hidden += task.arrays.has(record)
            continue
        files += 1
        if contents is not None:
            found.append((record, contents))
            counts[row] = contents.classes if len(names) else 0
    return Labels(
        frames=len(frames),
        files=files,
        hidden=hidden,
        counted=len(found),
        void=tuple(void),
        classes=names,
        counts=counts,
        quantiles=_quantiles([contents for _, contents in found]),
        unit=task.arrays.value_unit,
        doubts=tuple(_doubts(task, found, config, role)),
    )


def _quantiles(found: Sequence[Contents]) -> tuple[float, ...]:
    values = np.concatenate([contents.values for contents in found] or [np.zeros(0, np.float32)])
    # The value of a pixel, not between two: one may be infinite.
    return tuple(np.quantile(values, _QUANTILES, method="nearest").tolist()) if len(values) else ()


def _doubts(task: Task, found: Sequence[tuple[FrameRecord, Contents]], config: Config, role: str) -> list[str]:
    by_source: dict[int, list[tuple[FrameRecord, Contents]]] = {}
    for record, contents in found:
        by_source.setdefault(record.source, []).append((record, contents))
    sources = config.data.train if role == "train" else config.data.val
    return [
        f"{source_name(sources[number]) if number < len(sources) else f'data.{role}'}: {task.name}: {doubt}"
        for number, files in sorted(by_source.items())
        for doubt in task.arrays.doubts(files, config.spec)
    ]


def _twice(frames: Frames) -> tuple[str, ...]:
    """Names of the frames of which another one has the same picture and the same labels."""
    seen: set[object] = set()
    found = []
    for record, look in frames:
        files = (record.image, record.labels, record.depth, record.disparity, record.instances, *record.extra.values())
        if look.picture is not None and files in seen:
            found.append(record.name)
        seen.add(files)
    return tuple(found)


def _shared(train: Frames, val: Frames) -> tuple[str, ...]:
    """Names of validation frames whose picture is the file of a training frame, or has its very content."""
    files = {look.picture for _, look in train}
    by_size: dict[int, list[FrameRecord]] = {}
    for record, look in train:
        if look.picture is not None:
            by_size.setdefault(look.picture[2], []).append(record)
    alike = [look.picture[2] for _, look in val if look.picture and look.picture[2] in by_size]
    compared = sum(alike) + sum(size * len(by_size[size]) for size in set(alike)) <= _COMPARED_BYTES
    hashes: dict[int, set[str]] = {}
    shared = []
    for record, look in val:
        if look.picture is None:
            continue
        size = look.picture[2]
        if look.picture in files:
            shared.append(record.name)
        elif compared and size in by_size:
            if size not in hashes:
                hashes[size] = {_content(own) for own in by_size[size]}
            if _content(record) in hashes[size]:
                shared.append(record.name)
    return tuple(shared)


def _content(record: FrameRecord) -> str:
    try:
        return sha256_of(record.image)
    except InputError:  # gone meanwhile: equal to no other
        return str(record.image)
