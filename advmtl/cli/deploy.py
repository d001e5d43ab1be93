"""The commands `predict` and `export`. They import `export` inside their bodies."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from advmtl.cli.options import CameraFile, FitRule, FxPx, HfovDeg, Provider, Runtime, size_of
from preprocessing.ground import EXIT_SKIPPED


def predict(
    model: Annotated[Path, typer.Argument(help="Run folder, .pt checkpoint or exported .onnx.")],
    source: Annotated[str, typer.Argument(help="Picture, folder, or labelled source format:root[:split].")],
    out: Annotated[Path, typer.Option(help="Folder for the panels.")] = Path("predictions"),
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures at most.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Also write each task's map as PNG.")] = False,
    provider: Provider = "auto",
    runtime: Runtime = "onnxruntime",
    camera: CameraFile = None,
    fx_px: FxPx = None,
    hfov_deg: HfovDeg = None,
    fit: FitRule = None,
) -> None:
    """Draw panels image | truth | prediction of a model on pictures; truth where the source has labels.

    Metres are those of the lens that is given, of a labelled source's own, else of the model's. Exit code 3: done, but
    pictures were skipped; they are listed.

    \b
    Examples:
      advmtl predict runs/model3 cityscapes:data/synth:val --limit 20 --out panels
      advmtl predict runs/model3/model.onnx holiday.jpg --hfov-deg 65
    """
    from export.graph import told_lens
    from export.predict import predict as draw
    from export.session import open_session

    console = Console(soft_wrap=True, emoji=False)

    def notice(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    lens = told_lens(camera, fx_px, hfov_deg)
    session = open_session(model, provider, lens=lens, fit=fit, runtime=runtime)  # type: ignore[arg-type]
    if session.note:
        notice(session.note)
    done, skipped = draw(session, source, out, limit=limit, raw=raw, notice=notice)
    for one in skipped:
        console.print(f"skipped {one.name}: {one.reason}", markup=False, highlight=False)
    console.print(f"{done} panels in {out}, {len(skipped)} skipped", highlight=False)
    if skipped:
        raise typer.Exit(EXIT_SKIPPED)


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
    camera: CameraFile = None,
    fx_px: FxPx = None,
    hfov_deg: HfovDeg = None,
    fit: FitRule = None,
    sky: Annotated[
        str, typer.Option(help="infinite: no distance where the class is sky, +Inf; far: what the network says.")
    ] = "infinite",
    batch: Annotated[
        int, typer.Option(min=1, help="Frames at a time, of as many cameras; more than 1 with --target gpu.")
    ] = 1,
    ir_version: Annotated[
        int, typer.Option(help="IR version of the file: ONNX Runtime 1.16 and 1.17 read up to 9, newer ones more.")
    ] = 8,
    engine: Annotated[bool, typer.Option("--engine", help="Also build a TensorRT engine of each model.")] = False,
    verify: Annotated[
        list[str] | None,
        typer.Option(help="Also run what was written in onnxruntime or openvino; repeatable."),
    ] = None,
) -> None:
    """Write one ONNX file, frame in, classes, metres and instance offsets out, and check it against the checkpoint.

    Fails, and writes nothing, where classes agree on less than 99.9 % of pixels, depth differs by more than 0.1 % or an
    offset by more than 0.01 px. fp16 and int8 are measured beside float32 on the labelled validation frames and are not
    written where they lose more than the bounds (exit code 1).

    The factor of a lens is baked in, the training data's or the one that is given; the file takes another one as its
    input lens_zoom. At another size or fit than trained, depth is held against truth of the validation frames, too.

    \b
    Examples:
      advmtl export runs/model3 --size 1024x512
      advmtl export runs/model3 --camera calibration.json --out vehicle.onnx
      advmtl export runs/model3 --precision fp32 --precision int8
      advmtl export runs/model3 --precision fp16 --target gpu --engine
      advmtl export runs/model3 --target gpu --batch 6 --out vehicle6.onnx
      advmtl export runs/model3 --verify openvino
    """
    from export.command import export_all
    from export.graph import told_lens
    from export.quantize import Bounds, Options

    options = Options(
        precisions=tuple(precision or ["fp32"]),
        target="gpu" if engine else target,  # type: ignore[arg-type]
        size=size_of(size) if size else None,
        lens=told_lens(camera, fx_px, hfov_deg),
        fit=fit,  # type: ignore[arg-type]
        sky=sky,
        batch=batch,
        ir_version=ir_version,
        calibration_frames=calibration_frames,
        calibration=calibration,
        bounds=Bounds({"miou": max_miou_loss, "abs_rel": max_absrel_loss, "offset_rmse_px": max_offset_loss}),
        force=force,
    )
    out = out or (run if run.is_dir() else run.parent) / "model.onnx"
    export_all(run, out, options, frames=frames, count=count, engine=engine, verify=verify or ())
