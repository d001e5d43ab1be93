"""The command `synth`. It needs `preprocessing` alone."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from advmtl.cli.options import Workers, size_of


def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the new set.")],
    scenes: Annotated[int, typer.Option(min=1, help="Stereo pairs to make.")] = 200,
    size: Annotated[str, typer.Option(help="Picture size, WIDTHxHEIGHT [px].")] = "512x256",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    workers: Workers = 2,
    val_fraction: Annotated[float, typer.Option(min=0, max=0.9, help="Share of scenes in the val split.")] = 0.15,
    light: Annotated[str, typer.Option(help="day, dusk or night: the last two with lamps and lit windows.")] = "day",
    wet: Annotated[bool, typer.Option("--wet", help="Roads and pavements are wet and mirror.")] = False,
    season: Annotated[
        str | None,
        typer.Option(help="usual, summer, autumn or winter (bare trees), or winter=2,summer: one a scene, by weight."),
    ] = None,
    streets: Annotated[
        str | None,
        typer.Option(help="Types, with weights: motorway, or city=2,rural; city, suburb, avenue by default."),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(help="stepping-out, fallen-load, animals, roadworks, barriers, or all: one a scene, in turn."),
    ] = None,
    density: Annotated[
        str | None,
        typer.Option(help="Things by class, times what is usual: person=2,rider=3, or a YAML file of such lines."),
    ] = None,
    hfov_deg: Annotated[
        str | None, typer.Option("--hfov-deg", help="Field of view from side to side, 50 or 48:56 [degrees]; 49 ± 2.")
    ] = None,
    camera_height: Annotated[
        str | None, typer.Option("--camera-height", help="Of the lens above the road, 1.4 or 1.2:2.5 [m]; 1.2:1.55.")
    ] = None,
    pitch_deg: Annotated[
        str | None, typer.Option("--pitch-deg", help="Of the camera, downwards, 3 or -2:6 [degrees]; 0.7 ± 0.7.")
    ] = None,
    baseline_m: Annotated[
        str | None, typer.Option("--baseline-m", help="Between the eyes, 0.54 or 0.1:0.6 [m]; 0.2093 ± 4 %.")
    ] = None,
    camera: Annotated[
        Path | None, typer.Option(help="Calibration file whose lens is used, for pictures of --size or their shape.")
    ] = None,
) -> None:
    """Generate a stereo street-scene set with exact labels, in the layout of Cityscapes.

    The same seed gives the same streets through any lens, in any light, weather and season; LEAST:MOST is drawn
    scene by scene. coverage.json tells what each class has; docs/scenes.md has more.

    Examples:

    advmtl synth data/synth --scenes 200 --size 512x256 --seed 1 --workers 2

    advmtl synth data/tele --scenes 50 --seed 7 --hfov-deg 30 --camera-height 2.2 --pitch-deg 4

    advmtl synth data/rare --light night --wet --streets city,motorway=2 --events all --density person=2,rider=3

    advmtl synth data/seasons --scenes 300 --season usual=2,winter
    """
    from preprocessing.scenes import EVENTS, Asked, Mounting, generate, span_of, weights_of
    from preprocessing.sets import read_lens

    spans = {"hfov_deg": hfov_deg, "camera_height_m": camera_height, "pitch_deg": pitch_deg, "baseline_m": baseline_m}
    given: dict[str, Any] = {name: span_of(text, name) for name, text in spans.items() if text is not None}
    picture = size_of(size)
    asked = Asked(
        mounting=Mounting(**given, lens=read_lens(camera, picture) if camera else None),
        light=light,
        wet=wet,
        season=weights_of(season, "season", bare=1.0) if season is not None else (),
        streets=weights_of(streets, "streets", bare=1.0) if streets is not None else (),
        events=EVENTS if events == "all" else tuple(events.split(",")) if events is not None else (),
        density=_densities(density) if density is not None else (),
    )
    summary = generate(out, scenes, picture, seed, workers, val_fraction=val_fraction, asked=asked)
    console = Console(soft_wrap=True, emoji=False)
    for line in ([summary.note] if summary.note else []) + summary.coverage["doubts"]:
        console.print("[yellow]warning[/]", f"{out}: {line}", highlight=False)
    Console(emoji=False).print(_coverage_table(summary.coverage))
    console.print(
        f"{summary.train} train and {summary.val} val pairs in {out}; "
        f"{summary.made} made now in {summary.seconds:.1f} s\n"
        f"by type of street: {out / 'coverage.json'}\nnext: advmtl preprocess {out}",
        highlight=False,
    )


def _densities(text: str) -> tuple[tuple[str, float], ...]:
    """Factors by class, given as they are or as a YAML file."""
    from preprocessing.ground import InputError
    from preprocessing.scenes import weights_of

    if not text.endswith((".yaml", ".yml")):
        return weights_of(text, "density")
    import yaml

    try:
        found = yaml.safe_load(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"density: {text}: not readable as YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f"density: {text}: expected lines such as person: 2")
    for name, factor in found.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise InputError(f"density: {text}: {name} is {factor!r}; expected a number, such as {name}: 2")
    return weights_of(",".join(f"{name}={factor}" for name, factor in found.items()), "density")


def _coverage_table(coverage: dict[str, Any]) -> Table:
    table = Table(title=f"What {coverage['frames']} pairs show")
    for heading in ("class", "pixels", "pairs", "instances", "25, 50, 75 % nearer, m"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, found in coverage["classes"].items():
        things, metres = found["instances"], found["distance_quartiles_m"]
        far = ", ".join(f"{value:.1f}" for value in metres) if metres else "-"
        count = "-" if things is None else str(things)
        table.add_row(name, f"{found['pixel_share']:.3%}", str(found["frames"]), count, far)
    return table
