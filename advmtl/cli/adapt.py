"""The command `adapt`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import Device, device_of
from preprocessing.ground import InputError


def adapt(
    model: Annotated[Path, typer.Argument(help="Run folder or checkpoint.")],
    like: Annotated[
        list[str] | None, typer.Option(help="Recordings it shall work on, labels not needed; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New checkpoint; default: beside the model's, _adapted.pt.")] = None,
    pictures: Annotated[int, typer.Option(min=2, help="Of the recordings at most, evenly.")] = 500,
    strength: Annotated[float, typer.Option(help="0 to 1: how much of the recordings' statistics.")] = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    device: Device = "auto",
) -> None:
    """Give a trained network's batch norms the statistics of other recordings; no labels, no training, seconds.

    For a network that learnt on generated streets or another camera's pictures. Weights stay. Beside the new
    checkpoint: JSON with what changed, and a picture before and after. evaluate, predict and export take it.

    \b
    Examples:
      advmtl adapt runs/unlabelled --like folder:recordings:train
      advmtl export runs/unlabelled/checkpoints/best_adapted.pt
    """
    from advmtl.adapt import Asked
    from advmtl.adapt import adapt as make

    if not like:
        raise InputError("--like: name the recordings, e.g. --like folder:recordings:train")
    done = make(Asked(model, like, out, pictures, strength, overwrite), device_of(device))
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    for doubt in done.doubts:
        console.print(f"warning {doubt}")
    words = []
    if (sure := done.figures.get("confidence")) is not None:
        words.append(f"mean probability of the class told {sure['before']:.3f} before, {sure['after']:.3f} after")
        words.append(f"{done.figures['classes_changed']:.1%} of the pixels have another class")
    if (ratio := done.figures.get("metres_ratio")) is not None:
        words.append(f"metres {ratio:.2f} times what they were (median)")
    console.print("; ".join([f"statistics of {done.pictures} pictures", *words]))
    console.print(f"{done.out}; look at {done.out.with_suffix('.png')}")
