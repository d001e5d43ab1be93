"""A set under weather: each frame's picture changed by draws from (seed, name), all else carried over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from advmtl.derived import Maker, check_pictures, check_place, make_frames, original, read_rows, train_with
from advmtl.tasks import TASKS, FrameRecord, TaskSpec
from advmtl.weathered.frame import Job, Way, make
from advmtl.weathered.sheet import write_sheet
from preprocessing.ground import InputError
from preprocessing.weather import KINDS, Kind, read_kind

_MAKER = Maker("weather", make, "Weather")
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
    source = original(text)
    spec, root = TaskSpec(source.classes), source.root
    check(source.records, ways, guess_depth, text)
    check_place(out, root)
    settings = {
        **{"version": VERSION, "source": text, "seed": seed, "hidden": hidden, "guess_depth": guess_depth},
        "kinds": [[[name, {key: list(span) for key, span in ranges.items()}] for name, ranges in way] for way in ways],
    }
    jobs = [
        Job(one, root, out, tuple(ways), seed, hidden == "ignore", guess_depth, copy, spec) for one in source.records
    ]
    made = make_frames(_MAKER, jobs, source, out, settings, workers)
    left = {name for name, _ in made.skipped}
    write_sheet(out / "weather.png", [one for one in source.records if one.name not in left], root, out, spec)
    return Summary(made.frames, made.made, made.skipped, [*train_with(source.sources, out), *_doubts(out)])


def check(records: Sequence[FrameRecord], ways: Sequence[Way], guess: bool, text: str) -> None:
    """Raises: InputError where a kind needs depth and no frame has any, or a picture is no file of its own."""
    needing = sorted({name for way in ways for name, _ in way if KINDS[name].needs_depth})
    with_depth = any(TASKS["depth"].has(one) for one in records)
    with_classes = any(TASKS["segmentation"].has(one) for one in records)
    if needing and not with_depth and not (guess and with_classes):
        how = "and no classes to guess one from" if guess else "make it first (advmtl preprocess), or --guess-depth"
        raise InputError(f"{text}: {', '.join(needing)} needs depth, and no frame has any; {how}")
    check_pictures(records, "data.augment.weather")


def _doubts(out: Path) -> list[str]:
    """What was guessed of frames."""
    rows = read_rows(out, _MAKER)
    assumed = sum(row["lens"] == "assumed" for row in rows)
    guessed = sum(row["depth"] == "guessed" for row in rows)
    found = [f"{assumed} frames do not tell their lens: taken for 1.1 times their width"] if assumed else []
    found += [f"{guessed} frames have no depth: taken for flat streets"] if guessed else []
    return found
