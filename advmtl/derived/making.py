"""Making the frames of a new set: whose folder it is, what is there already, workers, the manifest."""

import json
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import cv2
import numpy as np

from advmtl.config import Source
from advmtl.derived.origin import Original
from advmtl.derived.set_files import carry, place_of, texts_in
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, encode_png, progress, read_json, worker_pool, write_bytes, write_json

ENCODERS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")


class Job(Protocol):
    """What a worker needs to make one frame; values that can be sent to another process."""

    @property
    def record(self) -> FrameRecord:
        """The frame that it is made from."""


J = TypeVar("J", bound=Job)


@dataclass(frozen=True)
class Maker(Generic[J]):
    """A command that makes sets.

    Attributes:
        name: of the command; NAME.json in the new set says how it was made, NAME.jsonl has a line a frame.
        make: makes one frame, its picture last; gives its line of the manifest, with its place below the root as
            "picture". Where it raises an InputError the frame is left out, and the line says why.
        title: of the progress bar.
    """

    name: str
    make: Callable[[J], dict[str, Any]]
    title: str

    @property
    def settings(self) -> str:
        """The file that says how the set was made."""
        return f"{self.name}.json"

    @property
    def manifest(self) -> str:
        """The file with a line a frame."""
        return f"{self.name}.jsonl"


@dataclass(frozen=True)
class Made:
    """What was made: frames of the set, those made now, those left out with the reason."""

    frames: int
    made: int
    skipped: list[tuple[str, str]] = field(default_factory=list)


def check_place(out: Path, *roots: Path) -> None:
    """Raises: InputError where a new set would lie in one that is read."""
    for root in roots:
        if out.resolve().is_relative_to(root):
            raise InputError(f"{out}: lies in {root}, the set that is read, and its frames would become some of it")


def check_pictures(records: Sequence[FrameRecord], instead: str) -> None:
    """Raises: InputError where pictures are no files of their own; `instead`: the key of a training that does the
    same.
    """
    first = records[0]
    if first.reading.half:
        raise InputError(f"{first.image}: holds both views; in training {instead} takes the left one")
    if first.image.suffix.lower() not in ENCODERS:
        raise InputError(
            f"{first.image}: is no picture file of its own, so no set of its format can be written; in training "
            f"{instead} does the same"
        )


def encoded(image: np.ndarray, suffix: str) -> bytes:
    """An RGB picture uint8 `[H,W,3]` in the format of a file name's ending. Raises: InputError where there is none."""
    if suffix.lower() == ".png":
        return encode_png(image)
    options = [int(cv2.IMWRITE_JPEG_QUALITY), 95] if suffix.lower() in (".jpg", ".jpeg") else []
    done, content = cv2.imencode(suffix.lower(), image[..., ::-1], options)
    if not done:
        raise InputError(f"{suffix}: pictures of this kind cannot be written")
    return content.tobytes()


def make_frames(
    maker: Maker[J], jobs: Sequence[J], source: Original, out: Path, settings: Mapping[str, Any], workers: int
) -> Made:
    """Make the frames that are not there yet, and carry the small text files of the set over.

    `settings`: whatever shapes the pictures. Raises: InputError where the folder holds something else, or a set made
    with other settings, or no frame could be made.
    """
    _claim(maker, out, settings)
    carry(texts_in(source.root, out.resolve()), source.root, out, copy=True)  # edited and appended to: never links
    done = _finished(out, maker.manifest)
    missing = [job for job in jobs if place_of(job.record.image, source.root).as_posix() not in done]
    skipped: list[tuple[str, str]] = []
    rows = _run(maker, missing, workers)
    with (
        closing(rows),
        progress(maker.title, len(jobs)) as bar,
        (out / maker.manifest).open("a", encoding="utf-8") as manifest,
    ):
        bar.advance(len(jobs) - len(missing))
        for job, row in rows:
            bar.advance()
            if isinstance(row, str):
                skipped.append((job.record.name, row))
                continue
            manifest.write(json.dumps(row) + "\n")
            manifest.flush()
    made = len(missing) - len(skipped)
    if not made and not done:
        raise InputError(f"{source.text}: no frame could be made; {skipped[0][1]}")
    return Made(len(jobs), made, skipped)


def check_free(maker: Maker[J], out: Path) -> None:
    """Raises: InputError where the folder holds something else than a set of this command."""
    if not (out / maker.settings).exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: holds no {maker.settings}, so {maker.name} did not make it; choose another folder")


def _claim(maker: Maker[J], out: Path, settings: Mapping[str, Any]) -> None:
    """Raises: InputError where the folder holds something else."""
    path = out / maker.settings
    if path.exists():
        found = read_json(path)
        there = found if isinstance(found, dict) else {}
        other = sorted(key for key in {**settings, **there} if there.get(key) != settings.get(key))
        if other:
            raise InputError(f"{path}: the set there was made with another {', '.join(other)}; choose another folder")
        return
    check_free(maker, out)
    write_json(path, dict(settings))


def _finished(out: Path, manifest: str) -> Collection[str]:
    """Pictures that are there and have their line; lines of others, and one that was cut off, are removed."""
    path = out / manifest
    if not path.exists():
        return set()
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    rows = list({row["picture"]: row for row in rows if isinstance(row, dict) and "picture" in row}.values())
    rows = [row for row in rows if (out / row["picture"]).exists()]
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {row["picture"] for row in rows}


def read_rows(out: Path, maker: Maker[J]) -> list[dict[str, Any]]:
    """The lines of a finished set's manifest."""
    return [json.loads(line) for line in (out / maker.manifest).read_text(encoding="utf-8").splitlines()]


def _run(maker: Maker[J], jobs: list[J], workers: int) -> Generator[tuple[J, dict[str, Any] | str], None, None]:
    if workers == 1 or len(jobs) < 4:
        for job in jobs:
            yield job, _attempted(maker.make, job)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        waiting = {pool.submit(_attempted, maker.make, job): job for job in jobs}
        for one in as_completed(waiting):
            yield waiting[one], one.result()


def _attempted(make: Callable[[J], dict[str, Any]], job: J) -> dict[str, Any] | str:
    """A frame's line, or why it was left out; in the worker, since not every error can be sent back."""
    try:
        return make(job)
    except InputError as error:
        return str(error)


def train_with(sources: Sequence[Source], out: Path) -> list[str]:
    """How the new set is named, a line a source, with what of the old one the new one has no file of."""
    plain = {"format", "root", "split", "weight", "size"}
    default = Source(format="folder", root="")
    told = {key: value for key, value in sources[0].model_dump().items() if value != getattr(default, key)}
    keys = [f"{key}={value}" for key, value in told.items() if key not in plain and not isinstance(value, dict)]
    found = []
    for source in sources:
        name = ":".join(part for part in (source.format, str(out), source.split) if part)
        found.append(f"train with {','.join([name, *keys])}")
    return found
