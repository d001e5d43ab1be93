"""The command `weather`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import Workers
from preprocessing.ground import EXIT_SKIPPED, InputError

_LISTED = 20


def weather(
    source: Annotated[str, typer.Argument(metavar="SET", help="A folder, or format:root[:split].")],
    out: Annotated[Path, typer.Option(help="Folder for the new set.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(help="KIND, KIND=NAME:NUMBER or NAME:LEAST..MOST; A+B: both; repeatable: one a frame."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pictures.")] = 0,
    hidden: Annotated[str, typer.Option(help="Depth that is not seen any more: keep, or ignore (unknown).")] = "keep",
    guess_depth: Annotated[
        bool, typer.Option("--guess-depth", help="Frames without depth: a flat street by their classes.")
    ] = False,
    copy: Annotated[bool, typer.Option("--copy", help="Copy labels and depth; default: hard links.")] = False,
    workers: Workers = 2,
) -> None:
    """Write a set under weather: pictures changed, labels, depth and cameras as they are, in the same format.

    Kinds: fog, haze, rain, wet, snow, dusk, night, drops, dirt, motion, defocus, noise, jpeg, bright, contrast; their
    numbers stand in docs/weather.md. Each frame gets one of the kinds by seed and name. weather.jsonl has a line per
    frame: kind, numbers, how much of the street is hidden; weather.png shows some. An interrupted run resumes. Exit
    code 3: done, but frames were left out.

    \b
    Examples:
      advmtl weather data/synth --out data/synth_fog --kind fog=visibility_m:60
      advmtl weather cityscapes:city:train --out city_bad --kind fog --kind rain --kind night --kind snow+dusk
      advmtl weather camvid:camvid:train --out camvid_fog --kind fog=visibility_m:50..200 --guess-depth
    """
    from advmtl.weathered import read_ways, write_weather

    if not kind:
        raise InputError("--kind: name at least one, e.g. --kind fog=visibility_m:60")
    if hidden not in ("keep", "ignore"):
        raise InputError(f"--hidden {hidden}: write keep or ignore")
    summary = write_weather(
        source,
        out,
        read_ways(kind),
        seed=seed,
        hidden=hidden,
        guess_depth=guess_depth,
        copy=copy,
        workers=workers,
    )
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    for name, reason in summary.skipped[:_LISTED]:
        console.print(f"left out {name}: {reason}")
    if len(summary.skipped) > _LISTED:
        console.print(f"… and {len(summary.skipped) - _LISTED} more")
    console.print(
        f"{summary.frames - len(summary.skipped)} frames in {out}, {summary.made} made now; see {out}/weather.png"
    )
    for note in summary.notes:
        console.print(note)
    if summary.skipped:
        raise typer.Exit(EXIT_SKIPPED)
