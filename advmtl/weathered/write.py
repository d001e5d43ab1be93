"""A set under weather: each frame's picture changed by draws from (seed, name), all else carried over."""

import json
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advmtl.config import Source
from advmtl.data import index_source
from advmtl.inspection import ask, own_classes
from advmtl.tasks import TASKS, FrameRecord, TaskSpec
from advmtl.weathered.frame import ENCODERS, Job, Way, key_of, make
from advmtl.weathered.set_files import MANIFEST, SETTINGS, carry, texts_in
from advmtl.weathered.sheet import write_sheet
from preprocessing.ground import (
    InputError,
    progress,
    read_json,
    worker_pool,
    write_bytes,
    write_json,
)
from preprocessing.weather import KINDS, Kind, read_kind

VERSION = 1  # raised whenever the same seed begins to give other pictures


@dataclass(frozen=True)
class Summary:
    """What was made: frames of the set, those made now, those left out with the reason, notes in words."""

    frames: int
    made: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
    if out.resolve().is_relative_to(root):
        raise InputError(f"{out}: lies in {root}, the set that is read, and its frames would become some of it")
    settings = {
        **{"version": VERSION, "source": text, "seed": seed, "hidden": hidden, "guess_depth": guess_depth},
        "kinds": [[[name, {key: list(span) for key, span in ranges.items()}] for name, ranges in way] for way in ways],
    }
    _claim(out, settings)
    carry(texts_in(root, out.resolve()), root, out, copy=True)  # texts are appended to and edited: never links
    done = _finished(out)
    jobs = [Job(one, root, out, tuple(ways), seed, hidden == "ignore", guess_depth, copy, spec) for one in records]
    missing = [job for job in jobs if key_of(job) not in done]
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
        raise InputError(f"{first.image}: holds both views; in training data.augment.weather takes the left one")
    if first.image.suffix.lower() not in ENCODERS:
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
        raise InputError(f"{out}: holds no {SETTINGS}, so weather did not make it; choose another folder")
    write_json(path, settings)


def _finished(out: Path) -> set[str]:
    """Pictures that are there and have their line; lines of others, and one that was cut off, are removed."""
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
    rows = [row for row in rows if (out / row["picture"]).exists()]
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return {row["picture"] for row in rows}


def _run(jobs: list[Job], workers: int) -> Generator[tuple[Job, dict[str, Any] | str], None, None]:
    if workers == 1 or len(jobs) < 4:
        for job in jobs:
            yield job, make(job)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        waiting = {pool.submit(make, job): job for job in jobs}
        for one in as_completed(waiting):
            yield waiting[one], one.result()


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
