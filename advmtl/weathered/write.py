"""A set under weather: each frame's picture changed by draws from (seed, name), all else carried over."""

import json
import zlib
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from advmtl.config import Source
from advmtl.data import index_source, lens_of, scene_of
from advmtl.data.frames import load_frame
from advmtl.inspection import ask, own_classes
from advmtl.tasks import TASKS, FrameRecord, Task, TaskSpec, teller
from advmtl.weathered.set_files import MANIFEST, SETTINGS, carry, depth_files, files_of, place_of, texts_in
from advmtl.weathered.sheet import write_sheet
from preprocessing.ground import (
    InputError,
    encode_png,
    progress,
    read_grey_or_index,
    read_json,
    worker_pool,
    write_bytes,
    write_json,
    write_png,
)
from preprocessing.weather import KINDS, Kind, read_kind, weathered

VERSION = 1  # raised whenever the same seed begins to give other pictures
_STREAM = 0x3EA8
_TASKS = ("segmentation", "depth")
Ranges = Mapping[str, tuple[float, float]]
Way = tuple[tuple[str, Ranges], ...]
"""Kinds that are applied to one picture, one after another."""


@dataclass(frozen=True)
class Summary:
    """What was made: frames of the set, those made now, those left out with the reason, notes in words."""

    frames: int
    made: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    record: FrameRecord
    root: Path
    out: Path
    ways: tuple[Way, ...]
    seed: int
    ignore: bool
    guess: bool
    copy: bool
    spec: TaskSpec


def read_ways(texts: Sequence[str], table: Mapping[str, Kind] = KINDS) -> tuple[Way, ...]:
    """Ways as a command line has them, `fog=visibility_m:60` or `rain+night=light:0.03`. Raises: InputError."""
    return tuple(tuple(read_kind(part, table) for part in text.split("+")) for text in texts)


def write_weather(
    text: str,
    out: Path,
    ways: Sequence[Way],
    *,
    seed: int = 0,
    hidden: str = "keep",
    guess_depth: bool = False,
    copy: bool = False,
    workers: int = 1,
) -> Summary:
    """Write the set that `text` names (a folder, or format:root[:split]) under weather to `out`.

    Each frame gets one of `ways`, drawn by (seed, name), with parameters drawn from their ranges; the same arguments
    give the same pictures, whatever the workers. Finished frames are not made again. Right pictures do not go over:
    without them nobody matches a foggy left one with a clear right one.

    Args:
        hidden: "keep", or "ignore": depth where less than 5 % of the street's light comes through becomes unknown.
        guess_depth: frames without depth are taken for flat streets where their classes show a ground.
        copy: labels and the like are copied; else they are hard links, which take no room.

    Raises: InputError naming what cannot be done: a set without depth for a kind that needs it, pictures inside one
        file, a folder that holds something else.
    """
    named = ask(text).named
    if not named:
        raise InputError(f"{text}: is no set of pictures; give a folder or format:root[:split]")
    sources = [one.source for one in named]
    classes = own_classes(named[0], _formats())
    spec = TaskSpec(classes)
    root = Path(sources[0].root).expanduser().resolve()
    records = [
        record
        for one in named
        for record in index_source(one.source.model_copy(update={"root": str(root)}), classes, one.role)
    ]
    check(records, ways, guess_depth, text)
    settings = {
        **{"version": VERSION, "source": text, "seed": seed, "hidden": hidden, "guess_depth": guess_depth},
        "kinds": [[[name, {key: list(span) for key, span in ranges.items()}] for name, ranges in way] for way in ways],
    }
    _claim(out, settings)
    carry(texts_in(root, out.resolve()), root, out, copy=True)  # texts are appended to and edited: never links
    done = _finished(out)
    jobs = [_Job(one, root, out, tuple(ways), seed, hidden == "ignore", guess_depth, copy, spec) for one in records]
    missing = [job for job in jobs if _key(job) not in done or not _picture(job).exists()]
    skipped: list[tuple[str, str]] = []
    rows = _run(missing, workers)
    with (
        closing(rows),
        progress("Weather", len(jobs)) as bar,
        (out / MANIFEST).open("a", encoding="utf-8") as manifest,
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
        raise InputError(f"{text}: no frame could be made; {skipped[0][1]}")
    left = {name for name, _ in skipped}
    write_sheet(out / "weather.png", [job.record for job in jobs if job.record.name not in left], root, out, spec)
    return Summary(len(jobs), made, skipped, _notes(sources, out))


def check(records: Sequence[FrameRecord], ways: Sequence[Way], guess: bool, text: str) -> None:
    """Raises: InputError where a kind needs depth and no frame has any, or a picture is no file of its own."""
    needing = sorted({name for way in ways for name, _ in way if KINDS[name].needs_depth})
    with_depth = any(TASKS["depth"].has(one) for one in records)
    with_classes = any(TASKS["segmentation"].has(one) for one in records)
    if needing and not with_depth and not (guess and with_classes):
        how = "and no classes to guess one from" if guess else "make it first (advmtl preprocess), or --guess-depth"
        raise InputError(f"{text}: {', '.join(needing)} needs depth, and no frame has any; {how}")
    first = records[0]
    if first.reading.half:
        raise InputError(
            f"{first.image}: holds both views; split it first (advmtl rectify), or use data.augment.weather"
        )
    if first.image.suffix.lower() not in _ENCODERS:
        raise InputError(
            f"{first.image}: is no picture file of its own, so no set of its format can be written; in training "
            "data.augment.weather does the same"
        )


def _formats() -> Any:
    from advmtl.data import FORMATS

    return FORMATS


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Raises: InputError where the folder holds something else."""
    path = out / SETTINGS
    if path.exists():
        found = read_json(path)
        there = found if isinstance(found, dict) else {}
        other = sorted(key for key in {**settings, **there} if there.get(key) != settings.get(key))
        if other:
            raise InputError(f"{path}: the set there was made with another {', '.join(other)}; choose another folder")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out}: is there and holds no {SETTINGS}, a set that weather did not make; choose another folder"
        )
    write_json(path, settings)


def _finished(out: Path) -> set[str]:
    """Pictures that have their line; a line that was cut off is removed."""
    path = out / MANIFEST
    if not path.exists():
        return set()
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    rows = list({row["picture"]: row for row in rows if isinstance(row, dict) and "picture" in row}.values())
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {row["picture"] for row in rows}


def _key(job: _Job) -> str:
    return place_of(job.record.image, job.root).as_posix()


def _picture(job: _Job) -> Path:
    return job.out / place_of(job.record.image, job.root)


def _run(jobs: list[_Job], workers: int) -> Generator[tuple[_Job, dict[str, Any] | str], None, None]:
    if workers == 1 or len(jobs) < 4:
        for job in jobs:
            yield job, _make(job)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        waiting = {pool.submit(_make, job): job for job in jobs}
        for one in as_completed(waiting):
            yield waiting[one], one.result()


def _make(job: _Job) -> dict[str, Any] | str:
    """Make one frame, its picture last. Returns: its line of the manifest, or why it was left out."""
    try:
        return _made(job)
    except InputError as error:
        return str(error)


def _made(job: _Job) -> dict[str, Any]:
    record, key = job.record, _key(job)
    height, width = record.shape()
    tasks: dict[str, Task] = {name: TASKS[name] for name in _TASKS}
    arrays = load_frame(record, (width, height), tasks, job.spec)
    told = record.lens((width, height))
    lens = told or lens_of(1.0, (width, height), TaskSpec(width_px=width))
    scene = scene_of(arrays, lens, tasks, job.spec, guess=job.guess)
    rng = np.random.default_rng((_STREAM, job.seed, zlib.crc32(key.encode())))
    way = job.ways[int(rng.random() * len(job.ways))]
    drawn = [(name, KINDS[name].drawn(ranges, rng)) for name, ranges in way]
    done = weathered(scene, drawn, rng)
    carried = files_of(record, job.root)
    distance = teller(tasks, "distance")
    if job.ignore and distance is not None and done.hidden.any():
        for file in depth_files(record):
            if file in carried:
                carried.remove(file)
                _write_hidden(file, job.out / place_of(file, job.root), done.hidden)
    carry(carried, job.root, job.out, copy=job.copy)
    picture = _picture(job)
    write_bytes(picture, _encoded(done.image, picture.suffix))
    depth = "known" if scene.knows_depth else "guessed" if scene.distance_m is not None else "none"
    return {
        "picture": key,
        "kinds": [{"kind": name, **{one: round(value, 6) for one, value in given.items()}} for name, given in drawn],
        "hidden": round(float(done.hidden.mean()), 6),
        "depth": depth,
        "lens": "assumed" if told is None else "told",
    }


_ENCODERS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp")


def _encoded(image: np.ndarray, suffix: str) -> bytes:
    if suffix.lower() == ".png":
        return encode_png(image)
    options = [int(cv2.IMWRITE_JPEG_QUALITY), 95] if suffix.lower() in (".jpg", ".jpeg") else []
    done, content = cv2.imencode(suffix.lower(), image[..., ::-1], options)
    if not done:
        raise InputError(f"{suffix}: pictures of this kind cannot be written")
    return content.tobytes()


def _write_hidden(file: Path, target: Path, hidden: np.ndarray) -> None:
    """The depth or disparity file with 0, unknown, where the street is hidden."""
    from PIL import Image

    stored = read_grey_or_index(file) if file.suffix.lower() == ".png" else None
    if stored is None or stored.dtype != np.uint16 or stored.shape != hidden.shape:
        raise InputError(f"{file}: only a 16-bit PNG of the picture's size can have hidden pixels; leave --hidden keep")
    text = {}
    if file.is_file():
        with Image.open(file) as image:
            text = {name: value for name, value in image.info.items() if isinstance(value, str)}
    write_png(target, np.where(hidden, 0, stored).astype(np.uint16), text)


def _notes(sources: Sequence[Source], out: Path) -> list[str]:
    """What of a source the new set has no file of, and how it is named."""
    plain = {"format", "root", "split", "weight", "size"}
    default = Source(format="folder", root="")
    told = {key: value for key, value in sources[0].model_dump().items() if value != getattr(default, key)}
    keys = [f"{key}={value}" for key, value in told.items() if key not in plain and not isinstance(value, dict)]
    found = []
    for source in sources:
        name = ":".join(part for part in (source.format, str(out), source.split) if part)
        found.append(f"train with {','.join([name, *keys])}")
    rows = [json.loads(line) for line in (out / MANIFEST).read_text(encoding="utf-8").splitlines()]
    assumed = sum(row["lens"] == "assumed" for row in rows)
    guessed = sum(row["depth"] == "guessed" for row in rows)
    found += [f"{assumed} frames do not tell their lens: taken for 1.1 times their width"] if assumed else []
    found += [f"{guessed} frames have no depth: taken for flat streets"] if guessed else []
    return found
