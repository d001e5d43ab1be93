"""Indexing a data source: its frames, the labels that each has, and the hint where a label is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from advmtl.config import Source
from advmtl.data.formats import FORMATS, Format, Role, format_of
from advmtl.data.parts import of_list, of_part
from advmtl.tasks import DataSource, FrameRecord, Task
from preprocessing.ground import InputError, LabelSet, find_bits
from preprocessing.sets import Strays, ToldLens, bits_text, describe


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
    every = own.index(source, classes, role)
    strays = own.strays(source, every)
    records, remarks = chosen_frames(source, every)
    strays = [*strays, *remarks]
    if source.frames is not None:
        records = records[slice(*source.frames)]
    if not records:
        raise InputError(f"{source.root}: no frames found for format {source.format}, split {source.split}")
    changes: dict[str, Any] = {"source": number}
    if source.labels == "none":
        changes |= {"labels": None, "instances": None, "extra": {}}
    if source.takes == "none":
        changes |= {"depth": None, "disparity": None}
    if source.classes is not None:  # what its label files hold
        changes["ids"] = source.classes
    if source.map:
        changes["renamed"] = tuple(source.map.items())
    if (told := told_lens(source)) is not None:
        changes["told_lens"] = told
    if (codec := source.depth_files.codec) is not None:
        changes |= {"depth_codec": codec, "baseline_m": source.depth_files.baseline_m}
    bits, said = _bits(source, own, every)
    shared = {how: how if bits is None else replace(how, bits=bits) for how in {one.reading for one in records}}
    return [one.changed(**changes, reading=shared[one.reading]) for one in records], [*strays, *said]


def chosen_frames(source: Source, records: Sequence[FrameRecord]) -> tuple[list[FrameRecord], list[Strays]]:
    """Those that the source's list and its part have, and remarks. Raises: InputError where there are none."""
    listed, missing = of_list(source, records)
    kept, said = of_part(source, listed)
    return kept, missing + said


def _bits(source: Source, own: Format, records: Sequence[FrameRecord]) -> tuple[int | None, list[Strays]]:
    """How many bits the pictures of a source use, where that is not known of its frames already, and a remark."""
    if source.bits is not None:
        return source.bits, []
    if own.stereo or not records:  # its layout has looked at both views
        return None, []
    bits = find_bits([record.image for record in records])
    if bits == 16:
        return None, []
    return bits, [Strays(Path(source.root), text=bits_text(Path(source.root), bits), doubtful=False)]


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
