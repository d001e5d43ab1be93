"""The commands that make and try a model: predict, export. They look forward, into export, inside their bodies."""

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
    raw: Annotated[bool, typer.Option("--raw", help="Also write class ids, depth and instances as PNG.")] = False,
    provider: Provider = "auto",
) -> None:
    """Draw panels image | truth | prediction of a model on pictures; truth where the source has labels.

    \b
    Examples:
      advmtl predict runs/model3 cityscapes:data/synth:val --limit 20 --out panels
      advmtl predict runs/model3/model.onnx holiday.jpg
    """
    from export.predict import predict as draw
    from export.runtime import open_session

    done, skipped = draw(open_session(model, provider), source, out, limit=limit, raw=raw)
    console = Console(soft_wrap=True)
    for one in skipped:
        console.print(f"skipped {one.name}: {one.reason}", markup=False, highlight=False)
    console.print(f"{done} panels in {out}, {len(skipped)} skipped", highlight=False)


def export(
    run: Annotated[Path, typer.Argument(help="Run folder or .pt checkpoint.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file; default model.onnx in the run folder.")] = None,
    size: Annotated[str | None, typer.Option(help="Network size, WIDTHxHEIGHT; default: as trained.")] = None,
    frames: Annotated[Path | None, typer.Option(help="Pictures to check on; default: validation data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures to check on, at most.")] = 20,
    target: Annotated[
        str, typer.Option(help="cpu: faster there, equal outputs; gpu: every shape in the graph fixed, for TensorRT.")
    ] = "cpu",
) -> None:
    """Write one ONNX file, frame in, classes, metres and instance offsets out, and check it against the checkpoint.

    Fails, and writes nothing, where classes agree on less than 99.9 % of pixels, depth differs by more than 0.1 % or an
    offset by more than 0.01 px.

    Example: advmtl export runs/model3 --size 1024x512
    """
    from export.graphs.to_onnx import export_run, print_export
    from preprocessing.files import write_json

    out = out or (run if run.is_dir() else run.parent) / "model.onnx"
    network_size = size_of(size) if size else None
    report = export_run(run, out, size=network_size, frames=frames, count=count, target=target)
    print_export(report)
    write_json(out.with_suffix(".json"), report.to_dict())
    Console(soft_wrap=True).print(f"next: advmtl infer {out} VIDEO --out result.mp4", highlight=False)
