"""The commands `predict` and `export`. They import `export` inside their bodies."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import Provider, size_of


def predict(
    model: Annotated[Path, typer.Argument(help="Run folder, .pt checkpoint or exported .onnx.")],
    source: Annotated[str, typer.Argument(help="Picture, folder, or labelled source format:root[:split].")],
    out: Annotated[Path, typer.Option(help="Folder for the panels.")] = Path("predictions"),
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures at most.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Also write each task's map as PNG.")] = False,
    provider: Provider = "auto",
) -> None:
    """Draw panels image | truth | prediction of a model on pictures; truth where the source has labels.

    \b
    Examples:
      advmtl predict runs/model3 cityscapes:data/synth:val --limit 20 --out panels
      advmtl predict runs/model3/model.onnx holiday.jpg
    """
    from export.predict import predict as draw
    from export.session import open_session

    done, skipped = draw(open_session(model, provider), source, out, limit=limit, raw=raw)
    console = Console(soft_wrap=True)
    for one in skipped:
        console.print(f"skipped {one.name}: {one.reason}", markup=False, highlight=False)
    console.print(f"{done} panels in {out}, {len(skipped)} skipped", highlight=False)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder or .pt checkpoint.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file; default model.onnx in the run folder.")] = None,
    size: Annotated[str | None, typer.Option(help="Network size, WIDTHxHEIGHT; default: as trained.")] = None,
    frames: Annotated[Path | None, typer.Option(help="Frames to verify on; default: validation data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of frames to verify on, at most.")] = 20,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, fp16 or int8; repeatable. Default: fp32.")] = None,
    target: Annotated[
        str, typer.Option(help="cpu: faster there, equal outputs; gpu: every shape in the graph fixed, for TensorRT.")
    ] = "cpu",
    calibration_frames: Annotated[int, typer.Option(min=1, help="Training frames that int8 is calibrated on.")] = 100,
    calibration: Annotated[str, typer.Option(help="minmax, percentile or entropy.")] = "minmax",
    max_miou_loss: Annotated[float, typer.Option(help="Largest loss of mIoU, in points of 100.")] = 1.0,
    max_absrel_loss: Annotated[float, typer.Option(help="Largest growth of AbsRel, in percent.")] = 3.0,
    max_offset_loss: Annotated[float, typer.Option(help="Largest growth of offset RMSE, in percent.")] = 5.0,
    force: Annotated[bool, typer.Option("--force", help="Also write a model that exceeds these bounds.")] = False,
    engine: Annotated[bool, typer.Option("--engine", help="Also build a TensorRT engine of each model.")] = False,
) -> None:
    """Write one ONNX file, frame in, classes, metres and instance offsets out, and check it against the checkpoint.

    Fails, and writes nothing, where classes agree on less than 99.9 % of pixels, depth differs by more than 0.1 % or an
    offset by more than 0.01 px. fp16 and int8 are measured beside float32 on the labelled validation frames and are not
    written where they lose more than the bounds (exit code 1).

    \b
    Examples:
      advmtl export runs/model3 --size 1024x512
      advmtl export runs/model3 --precision fp32 --precision int8
      advmtl export runs/model3 --precision fp16 --target gpu --engine
    """
    from export.command import export_all
    from export.quantize import Bounds, Options

    options = Options(
        precisions=tuple(precision or ["fp32"]),
        target=target,  # type: ignore[arg-type]
        size=size_of(size) if size else None,
        calibration_frames=calibration_frames,
        calibration=calibration,
        bounds=Bounds({"miou": max_miou_loss, "abs_rel": max_absrel_loss, "offset_rmse_px": max_offset_loss}),
        force=force,
    )
    out = out or (run if run.is_dir() else run.parent) / "model.onnx"
    export_all(run, out, options, frames=frames, count=count, engine=engine)
