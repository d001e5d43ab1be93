"""Indexing a data source: its frames, the labels that each has, and the hint where a label is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats import FORMATS, Format, Role, format_of
from advmtl.tasks import DataSource, FrameRecord, Task
from preprocessing.ground import InputError, LabelSet
from preprocessing.sets import Strays, ToldLens, describe


def index_source(
    source: Source, classes: str | LabelSet, role: Role, number: int = 0, formats: Mapping[str, Format] = FORMATS
) -> list[FrameRecord]:
    """List the frames of one source, sorted by name; `number` is its place among the sources.

    A source without a split means the split of its role, `train` or `val`, where its format has splits.
    `source.depth` "auto" takes, for training, the depth that `preprocess` wrote where it is there, else the
    set's own disparity; for validation the other way round, so that a model is measured against the set's
    truth and not against the matcher it learnt from. `source.labels` "none" takes none but depth.
    Raises: InputError where there is no such format, the root, split or an image folder is missing, or no frame is
    found.
    """
    return index_with_strays(source, classes, role, number, formats)[0]


def index_with_strays(
    source: Source, classes: str | LabelSet, role: Role, number: int = 0, formats: Mapping[str, Format] = FORMATS
) -> tuple[list[FrameRecord], list[Strays]]:
    """The frames of `index_source`, and the label files that belong to no picture of the source."""
    own = format_of(source, formats)
    if source.split is None and own.splits:
        source = source.model_copy(update={"split": role})  # never all splits: that would validate on training frames
    check_root(source, formats)
    records = [replace(record, source=number) for record in own.index(source, classes, role)]
    strays = own.strays(source, records)
    if source.frames is not None:
        records = records[slice(*source.frames)]
    if source.labels == "none":
        records = [replace(record, labels=None, instances=None, extra={}) for record in records]
    if source.depth == "none":
        records = [replace(record, depth=None, disparity=None) for record in records]
    records = [_as_told(source, record) for record in records]
    told = told_lens(source)
    if told is not None:
        records = [replace(record, told_lens=told) for record in records]
    if not records:
        raise InputError(f"{source.root}: no frames found for format {source.format}, split {source.split}")
    return records, strays


def _as_told(source: Source, record: FrameRecord) -> FrameRecord:
    """The frame with what the source says of its label files."""
    if source.classes is not None:
        record = replace(record, ids=source.classes)
    return replace(record, renamed=tuple(source.map.items())) if source.map else record


def check_labels(source: Source, records: Sequence[FrameRecord]) -> None:
    """Raises: InputError naming the source where not one of its classes is one of the network's."""
    labelled = next((record for record in records if record.labels is not None), None)
    if labelled is not None:
        try:
            _ = labelled.translation
        except InputError as error:
            raise InputError(f"{source_name(source)}: {error}") from None


def told_lens(source: Source) -> ToldLens | None:
    """What the source itself says of the lens of its pictures; None where it says nothing.

    Raises: InputError where the camera file is not there.
    """
    if source.camera is None:
        told = source.fx_px is not None or source.hfov_deg is not None
        return ToldLens(fx_px=source.fx_px, hfov_deg=source.hfov_deg) if told else None
    path = Path(source.camera).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such camera file; data source {source.format}:{source.root} names it")
    return ToldLens(camera=path)


def check_root(source: Source, formats: Mapping[str, Format] = FORMATS) -> None:
    """Raises: InputError where the root lacks the folders of the source's format, with those it has instead."""
    root, own = Path(source.root).expanduser(), format_of(source, formats)
    if not own.is_one(root):
        lacks = f"no {own.needs} in it, as {source.format} has; " if root.is_dir() else ""
        there = describe(root, as_source=True, kinds={name: one.kind for name, one in formats.items()})
        raise InputError(f"{root}: {lacks}{there}")


def missing_label(task: Task, sources: Sequence[Source], formats: Mapping[str, Format] = FORMATS) -> str:
    """Why no frame of these training sources may have a task's label, and what to do."""
    return task.arrays.missing(
        [
            DataSource(f"{source.format}:{source.root}", source.root, own.stereo, own.labels_apart)
            for source in sources
            for own in [format_of(source, formats)]
        ]
    )


def source_name(source: Source) -> str:
    """`format:root[:split]`, as it is written on the command line."""
    return ":".join(part for part in (source.format, source.root, source.split) if part)
