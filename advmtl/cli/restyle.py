"""The command `restyle`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import Device, Workers, device_of, size_of
from preprocessing.ground import EXIT_SKIPPED, InputError

_LISTED = 20


def restyle(
    source: Annotated[str, typer.Argument(metavar="SET", help="The labelled set: a folder, or format:root[:split].")],
    like: Annotated[
        list[str] | None, typer.Option(help="Recordings whose look is wanted, labels not needed; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the new set; without it a look is made, no set.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder for look, training, figures; default: runs/restyle_NAME of --out.")
    ] = None,
    method: Annotated[str, typer.Option(help="cut (learnt), colour (Lab, a picture each) or histogram.")] = "cut",
    model: Annotated[
        Path | None, typer.Option(help="Run folder or checkpoint that must see the same as before, or the labels.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="For the distance of sets: imagenet, or its file; default: the model's encoder.")
    ] = None,
    style: Annotated[Path | None, typer.Option(help="A finished restyle.pt, in the place of making one.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of cut, in all; more than before goes on.")] = 2000,
    minutes: Annotated[float | None, typer.Option(help="Of cut: learn no longer.")] = None,
    size: Annotated[str, typer.Option(help="Of the pictures that are learnt from.")] = "256x128",
    batch: Annotated[int, typer.Option(min=1, help="Pictures of either set in a step.")] = 1,
    objective: Annotated[str, typer.Option(help="lsgan, hinge, wgan_gp or r3gan.")] = "lsgan",
    adversarial: Annotated[float, typer.Option(min=0, help="Weight of the discriminator: more changes more.")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Of the small network and its discriminator.")] = 2e-4,
    consistency: Annotated[float, typer.Option(min=0, help="Weight of the model's agreement.")] = 1.0,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    min_agreement: Annotated[
        float, typer.Option(min=0, help="Least share of the model's agreement with labels (mIoU) that must be left.")
    ] = 0.85,
    force: Annotated[bool, typer.Option("--force", help="Write the set though less is left.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same look and pictures.")] = 0,
    copy: Annotated[bool, typer.Option("--copy", help="Copy labels and depth; default: hard links.")] = False,
    device: Device = "auto",
    workers: Workers = 2,
) -> None:
    """Write a labelled set in the look of recordings without labels: pictures changed, labels, depth, cameras kept.

    cut learns a small network (contrastive unpaired translation); --model keeps cars cars and metres metres, and
    refuses a set whose classes turned over. colour and histogram take seconds and change colours alone. The run folder
    has restyle.pt, the look, also for training (data.augment.restyle); figures.json; restyle.png and panels/: before,
    after, label. An interrupted run resumes. Exit code 3: done, but frames were left out.

    \b
    Examples:
      advmtl restyle data/synth --like folder:drives/monday --out data/synth_monday --model runs/model3
      advmtl restyle cityscapes:data/synth:train --like camvid:camvid:train --out synth_camvid --method colour
      advmtl restyle data/synth --like drives/monday --run runs/monday --minutes 20
      advmtl restyle data/more --style runs/monday/restyle.pt --out data/more_monday
    """
    from advmtl.restyle import Asked, Settings
    from advmtl.restyle import restyle as make

    if style is not None and run is not None:
        raise InputError("--style and --run: a finished look needs no run; leave one of them out")
    settings = Settings(
        method=method,
        size=size_of(size),
        seed=seed,
        objective=objective,
        batch=batch,
        learning_rate=learning_rate,
        adversarial=adversarial,
        consistency=consistency,
        precision=precision,
        steps=steps,
        minutes=minutes,
    )
    asked = Asked(
        source,
        tuple(like or ()),
        out,
        run or Path("runs") / ("restyle" if out is None else f"restyle_{out.name}"),
        *(model, features, style, device_of(device), workers, copy, min_agreement, force),
    )
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    done = make(asked, settings, console)
    for line in done.lines:
        _say(console, line)
    if style is None:
        _say(console, f"look: {done.style}; pictures: {asked.run}/restyle.png; figures: {asked.run}/figures.json")
    if done.made is None or out is None:
        return
    made = done.made
    for name, reason in made.skipped[:_LISTED]:
        _say(console, f"left out {name}: {reason}")
    if len(made.skipped) > _LISTED:
        _say(console, f"… and {len(made.skipped) - _LISTED} more")
    _say(console, f"{made.frames - len(made.skipped)} frames in {out}, {made.made} made now; see {out}/restyle.png")
    if made.skipped:
        raise typer.Exit(EXIT_SKIPPED)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False)
