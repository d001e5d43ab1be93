"""Panels and raw maps of a model on still pictures, beside the truth where a labelled source is given."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.drawing.visualize import result_panel
from export.session.faults import fault_of
from export.session.session import Session, prepare
from export.stream.sinks import unique_name
from export.stream.sources import Skipped, find_images
from preprocessing.ground import InputError, LabelSet, progress, read_image, write_depth, write_png

Maps = dict[str, NDArray[Any]]
LABELLED = re.compile(r"^(cityscapes|camvid|folder|rig):")


@dataclass(frozen=True)
class _Picture:
    name: str
    image: NDArray[np.uint8]
    truth: Maps


def _pictures(paths: list[Path], root: Path) -> Iterator[_Picture | Skipped]:
    for path in paths:
        relative = path.relative_to(root)
        try:
            yield _Picture(str(relative.with_suffix("")), read_image(path), {})
        except InputError as error:
            yield Skipped(str(relative), str(error))


def _labelled(records: list[Any], size: tuple[int, int]) -> Iterator[_Picture | Skipped]:
    from advmtl.data.frames import load_frame
    from advmtl.tasks.grouping import instance_target

    for record in records:
        try:
            frame = load_frame(record, size)
        except InputError as error:
            yield Skipped(record.name, str(error))
            continue
        truth: Maps = {}
        if record.has_labels:
            truth["segmentation"] = frame.labels
        if record.has_depth:
            truth["depth"] = frame.depth
        if frame.instances is not None:
            truth["instance"] = instance_target(frame.instances)
        yield _Picture(record.name, frame.image, truth)


def _open(text: str, session: Session) -> tuple[list[Any], Iterator[_Picture | Skipped]]:
    if LABELLED.match(text):
        from advmtl.config import Source
        from advmtl.data.index import index_source

        classes = session.metadata.label_set or "cityscapes19"
        records = index_source(Source.parse(text), classes, "val")
        return records, _labelled(records, session.metadata.size)
    path = Path(text)
    if not path.exists():
        raise InputError(f"{path}: no such picture, folder or data source (format:root:split)")
    if path.is_dir():
        paths = find_images(path)
        return paths, _pictures(paths, path)
    return [path], _pictures([path], path.parent)


def _write_depth(path: Path, depth_m: NDArray[np.float32]) -> None:
    # Clipping it would give a file of wrong metres that looks right.
    try:
        write_depth(path, depth_m)
    except ValueError as error:
        raise InputError(f"--raw: {path.name} cannot be written, {error}; leave --raw out") from None


def predict(
    session: Session, source: str, out: Path, *, limit: int | None = None, raw: bool = False
) -> tuple[int, list[Skipped]]:
    """Write one panel `<name>.png` per picture of `source` into `out`: image | truth | prediction for every task.

    A picture of a sub-folder is named `<sub-folder>_<name>`; a name that is taken gets a number.

    Args:
        session: an opened model.
        source: a picture, a folder of pictures, or a labelled source `format:root[:split]`.
        out: folder; made where missing.
        limit: pictures at most.
        raw: also write `<name>_classes.png` (uint8 ids), `<name>_depth.png` (uint16 = metres * 256) and
            `<name>_instances.png` (uint16 = class * 1000 + number, 0 = none), at the network's size.
    Returns: how many were written, and what was skipped, unreadable or without a sound result (`fault_of`). Raises:
    InputError where nothing can be written, or where `raw` depth is beyond what its file can hold, 255.996 m.
    """
    everything, pictures = _open(source, session)
    meta = session.metadata
    labels = LabelSet(meta.label_set, meta.class_names, meta.colours)
    total = min(len(everything), limit or len(everything))
    endings = ("", "_classes", "_depth", "_instances") if raw else ("",)
    done, skipped, used = 0, [], set[str]()
    with progress("predict", total, "pictures") as bar:
        for picture in pictures:
            if done == total:
                break
            if isinstance(picture, Skipped):
                skipped.append(picture)
                continue
            result = session.run(picture.image)
            if fault := fault_of(result):
                skipped.append(Skipped(picture.name, f"{picture.name}: {fault}"))
                continue
            outputs: Maps = {}
            if result.classes is not None:
                outputs["segmentation"] = result.classes
            if result.depth_m is not None:
                outputs["depth"] = result.depth_m
            if result.offsets_px is not None:
                outputs["instance"] = result.offsets_px
            if result.instances is not None:
                outputs["instances"] = result.instances
            image = prepare(picture.image, meta.size)[0]
            panel = result_panel(image, outputs, picture.truth, labels, meta.depth_range_m or (1.0, 80.0))
            name = unique_name(picture.name.replace("/", "_"), used, endings)
            write_png(out / f"{name}.png", panel)
            if raw and result.classes is not None:
                write_png(out / f"{name}_classes.png", result.classes)
            if raw and result.depth_m is not None:
                _write_depth(out / f"{name}_depth.png", result.depth_m)
            if raw and result.instances is not None:
                write_png(out / f"{name}_instances.png", result.instances)
            done += 1
            bar.advance()
    if not done:
        raise InputError(f"{source}: no picture gave a result; the first: {skipped[0].reason}")
    return done, skipped
