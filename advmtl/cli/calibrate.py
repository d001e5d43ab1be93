"""The command `calibrate`. It imports `export` inside its body."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from advmtl.cli.options import CameraFile, FxPx, HfovDeg, Provider
from advmtl.cli.own_files import CALIBRATION
from preprocessing.ground import EXIT_SKIPPED, Output, check_outputs

if TYPE_CHECKING:
    from export.calibrate import Calibrated

_LISTED = 8


def calibrate(
    model: Annotated[Path, typer.Argument(help="Exported .onnx, run folder or .pt checkpoint.")],
    points: Annotated[
        Path | None, typer.Option(help="CSV: frame, x, y (or x0, y0, x1, y1) in pixels of the picture, metres.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Folder of the pictures of --points; default: the file's.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "--lidar", help="Source format:root[:split] with depth or disparity.")
    ] = None,
    stereo: Annotated[Path | None, typer.Option(help="Stereo set; its pairs are matched as preprocess does.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Frames of --data, pairs of --stereo, at most.")] = 50,
    out: Annotated[Path | None, typer.Option(help="New file; default: MODEL_calibrated beside the model.")] = None,
    report: Annotated[Path | None, typer.Option(help="JSON; default: beside the new file, where there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    provider: Provider = "auto",
    camera: CameraFile = None,
    fx_px: FxPx = None,
    hfov_deg: HfovDeg = None,
) -> None:
    """Set the scale of a finished model by known distances: one factor on its depth, in a new file. No training.

    The factor is applied where distances that were held out of its fit gain by it; else nothing is written, and a line
    says why. Metres are along the optical axis; pixels are those of the picture as it is on the disk. Tell the lens of
    the pictures where their set does not: a factor that makes up for it would be right behind that lens alone.

    \b
    Examples:
      advmtl calibrate runs/demo/model.onnx --points tape.csv --hfov-deg 65
      advmtl calibrate runs/demo/model.onnx --stereo recordings/garage
      advmtl calibrate runs/demo --data folder:drive --out runs/demo/checkpoints/drive.pt
    """
    from export.calibrate import Given, default_out
    from export.calibrate import calibrate as run
    from export.graph import told_lens
    from preprocessing.ground import write_json

    if report is None:
        check_outputs([Output("--report", (out or default_out(model)).with_suffix(".json"), CALIBRATION)])
    given = Given(points, frames, data, stereo, limit)
    lens = told_lens(camera, fx_px, hfov_deg)
    found = run(model, given, out, lens=lens, provider=provider, overwrite=overwrite)
    print_calibration(found)
    where = report or (None if found.out is None else (out or default_out(model)).with_suffix(".json"))
    if where is not None:
        write_json(where, found.to_dict())
        Console(soft_wrap=True, emoji=False).print(f"written: {where}", highlight=False, markup=False)
    if found.samples.skipped:
        raise typer.Exit(EXIT_SKIPPED)


def print_calibration(found: "Calibrated") -> None:
    """Before and after as a table, what is doubtful, and what was written or why not."""
    fit, console = found.fit, Console(soft_wrap=True, emoji=False)
    table = Table(
        title=f"{fit.count} known distances in {len(found.samples.frames)} pictures, each held out in its turn"
    )
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("predicted / true, median", f"{fit.before.scale:.3f}", f"{fit.after.scale:.3f}")
    table.add_row("  off by", f"{fit.before.scale_error:.1%}", f"{fit.after.scale_error:.1%}")
    table.add_row("AbsRel", f"{fit.before.abs_rel:.3f}", f"{fit.after.abs_rel:.3f}")
    table.add_section()
    for band in fit.bands:
        name = f"{band.from_m:g} to {band.to_m:g} m ({band.count})"
        table.add_row(name, f"{band.before:.3f}", f"{band.after:.3f}")
    console.print(table)
    for line in dict.fromkeys(found.samples.lenses[:1]):
        console.print(line, markup=False, highlight=False)
    for kind, lines in (
        ("skipped", [one.reason for one in found.samples.skipped]),
        ("left out", found.samples.left_out),
        ("warning:", list(found.warnings)),
    ):
        for line in lines[:_LISTED]:
            console.print(f"{kind} {line}", markup=False, highlight=False)
        if len(lines) > _LISTED:
            console.print(f"{kind} … and {len(lines) - _LISTED} more", highlight=False)
    factor = f"x{fit.factor:.3f} (95 %: x{fit.low:.3f} to x{fit.high:.3f})"
    if found.out is None:
        console.print(f"nothing written: {fit.reason}", markup=False, highlight=False)
    else:
        console.print(f"depth {factor}; written: {found.out}", markup=False, highlight=False)
