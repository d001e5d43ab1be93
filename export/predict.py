"""Panels and raw maps of a model on still images, beside the ground truth where the source is labelled."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.drawing import result_panel
from advmtl.tasks import FrameRecord, tasks_of
from export.graph import View
from export.session import Result, Session, complete, fault_of, spec_of, unpack
from export.sinks import map_files
from export.stream import Loaded, Skipped, Views, find_images, open_source, unique_name
from preprocessing.ground import (
    DRAWN,
    PICTURE,
    PICTURE_KINDS,
    InputError,
    Output,
    Reading,
    check_among,
    check_outputs,
    find_bits,
    inputs_in,
    is_free,
    progress,
    read_image,
    write_png,
)


@dataclass(frozen=True)
class _Picture:
    name: str
    image: NDArray[np.uint8]  # as it is shown to the network
    view: View
    truth: Mapping[str, NDArray[Any]]


def _pictures(paths: list[Path], root: Path, views: Views) -> Iterator[_Picture | Skipped]:
    seen, how = False, Reading(bits=find_bits(paths), turned=True)
    for path in paths:
        relative = path.relative_to(root)
        name = str(relative.with_suffix(""))
        try:
            image = read_image(path, how)
        except InputError as error:
            yield Skipped(str(relative), str(error))
            continue
        try:
            view = views.of(Loaded(name, image))
            seen = True
            yield _Picture(name, view.framing.picture(image), view, {})
        except InputError as error:
            if not seen:  # a lens that is none of these pictures' is said at once
                raise
            yield Skipped(str(relative), str(error))


def _labelled(records: Sequence[FrameRecord], session: Session, views: Views) -> Iterator[_Picture | Skipped]:
    from advmtl.data import load_frame

    spec, tasks = spec_of(session.metadata), tasks_of(session.metadata.outputs, session.tasks)
    for record in records:
        own = {name: task for name, task in tasks.items() if task.has(record)}
        try:
            size = record.shape()[::-1]
            lens = record.lens(size) if session.lens is None and session.metadata.of_lens else None
            view = views.at(record.name, size, lens)
            frame = load_frame(record, session.metadata.size, own, spec, fit=session.shown_as)
        except InputError as error:
            yield Skipped(record.name, str(error))
            continue
        truth = {name: task.arrays.target(frame.labels[name], spec, training=False) for name, task in own.items()}
        yield _Picture(record.name, frame.image, view, truth)


def _open(text: str, session: Session, views: Views) -> tuple[Sequence[Any], Iterator[_Picture | Skipped]]:
    from advmtl.config import Source
    from advmtl.data import FORMATS, index_source

    if text.partition(":")[0] in FORMATS and ":" in text:
        records = index_source(Source.parse(text), session.metadata.classes, "val")
        return records, _labelled(records, session, views)
    path = Path(text)
    if not path.exists():
        raise InputError(f"{path}: no such picture, folder or data source (format:root:split)")
    if path.is_dir():
        paths = find_images(path)
        return paths, _pictures(paths, path, views)
    if path.suffix.lower() not in PICTURE_KINDS:
        _refuse_video(path)
    return [path], _pictures([path], path.parent, views)


def _refuse_video(path: Path) -> None:
    """Raise InputError where a file is no picture but a video."""
    try:
        read_image(path)
    except InputError:
        try:
            open_source(path)
        except InputError:
            return
        raise InputError(
            f"{path}: is a video, and predict takes pictures; for its maps: advmtl infer MODEL {path} --raw FOLDER"
        ) from None


def _result(session: Session, picture: _Picture) -> Result:
    outputs = session.infer(np.ascontiguousarray(picture.image)[None], picture.view.zoom)
    return complete(unpack(outputs, picture.view.framing), session.metadata, session.tasks)


def _check_place(source: str, out: Path) -> None:
    """Raise InputError where panels would come to lie among the pictures of `source`, or replace one of them."""
    check_outputs([Output("--out", out, folder=True, endings=(".png",))], inputs_in("SOURCE", source))
    folder = Path(source)
    if folder.is_file():
        check_among("--out", out, folder.parent, [(folder.stem, folder)], PICTURE)
    elif folder.is_dir():
        paths = find_images(folder)
        read = [(path.relative_to(folder).with_suffix("").as_posix().replace("/", "_"), path) for path in paths]
        check_among("--out", out, folder, read, PICTURE)


def _unheard(text: str) -> None:
    """The default where nobody wants to be told."""


def predict(
    session: Session,
    source: str,
    out: Path,
    *,
    limit: int | None = None,
    raw: bool = False,
    notice: Callable[[str], None] = _unheard,
) -> tuple[int, list[Skipped]]:
    """Write one panel `<name>.png` per picture of `source` into `out`: image | truth | prediction for every task.

    A picture of a sub-folder is named `<sub-folder>_<name>`; a name that is taken gets a number.

    Args:
        session: an opened model; its `lens` is of the pictures as they are. A labelled source brings its own where the
            session has none.
        source: a picture, a folder of pictures, or a labelled source `format:root[:split]`.
        out: folder; made where missing.
        limit: pictures at most.
        raw: also write `<name>_classes.png` (uint8 ids), `<name>_depth.png` (uint16 = metres * 256, 0 where there is
            none: the sky), `<name>_depth_error.png` (uint16 = relative error * 10000, 0 = unknown),
            `<name>_instances.png` (uint16 = class * 1000 + number, 0 = none) and `<name>_normals.png` (uint8 RGB, 128 +
            127 times nx, -ny, -nz), at the network's size, without what stands beside a padded picture.
        notice: is told, once each, whose lens metres are of, what is done to pictures of another aspect, and doubts.
    Returns: how many were written, and what was skipped, unreadable or with invalid outputs (`fault_of`). Raises:
    InputError where nothing can be written, or where `raw` depth is beyond what its file can hold, 255.996 m.
    """
    _check_place(source, out)
    everything, pictures = _open(source, session, Views(session, notice))
    spec, tasks = spec_of(session.metadata), tasks_of(session.metadata.outputs, session.tasks)
    total = min(len(everything), limit or len(everything))
    done, skipped = 0, list[Skipped]()
    # Pictures that are not ours stay: a panel of their name gets a number.
    used = {path.stem for path in out.glob("*.png") if not is_free(path, PICTURE)}
    with progress("predict", total, "pictures") as bar:
        for picture in pictures:
            if done == total:
                break
            if isinstance(picture, Skipped):
                skipped.append(picture)
                continue
            result = _result(session, picture)
            if fault := fault_of(result, session.metadata.sky):
                skipped.append(Skipped(picture.name, f"{picture.name}: {fault}"))
                continue
            shown = picture.view.framing.shown
            truth = {name: np.ascontiguousarray(one[..., shown[0], shown[1]]) for name, one in picture.truth.items()}
            image = np.ascontiguousarray(picture.image[shown])
            panel = result_panel(image, result.outputs, truth, spec, tasks)
            files = map_files(picture.name, tasks, result.outputs) if raw else {}
            name = unique_name(picture.name.replace("/", "_"), used, ("", *(f"_{ending}" for ending in files)))
            write_png(out / f"{name}.png", panel, DRAWN)
            for ending, file in files.items():
                write_png(out / f"{name}_{ending}.png", file.array, {**DRAWN, **file.text})
            done += 1
            bar.advance()
    if not done:
        raise InputError(f"{source}: no picture gave a result; the first: {skipped[0].reason}")
    return done, skipped
