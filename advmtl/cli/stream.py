"""The commands `infer` and `benchmark`."""

from dataclasses import MISSING
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import typer

from advmtl.cli.options import CameraFile, FitRule, FxPx, HfovDeg, Provider, Runtime, size_of
from advmtl.infer_options import OPTIONS, InferOptions, Option


def infer(**given: Any) -> None:
    """Run a model on a video, folder or camera: class overlay, depth in metres, instances, frames/s and latency.

    Ctrl-C or SIGTERM ends it with all files finished. Exit code 3 where frames could not be
    read or the network gave no finite numbers for them; they are listed. Exit code 4 where a
    camera or a live stream was lost and did not come back.

    Example: advmtl infer runs/demo/model.onnx drive.mp4 --out drive_result.mp4
    """
    from export.stream import infer_from, print_report
    from preprocessing.ground import write_json

    options = InferOptions(**given)
    result = infer_from(options)
    print_report(result)
    if options.report is not None:
        write_json(options.report, result.to_dict())
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _parameter(one: Option) -> Parameter:
    """An option as typer reads it off a function."""
    if one.default is MISSING:
        how, default = typer.Argument(help=one.help.text), Parameter.empty
    else:
        flags = ["--" + one.name] if one.type is bool else []  # else there would be a --no-show
        how, default = typer.Option(*flags, help=one.help.text, min=one.help.least), one.default
    kind = one.type if one.several is None else list[one.several]  # type: ignore[name-defined]
    return Parameter(one.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, how])


infer.__signature__ = Signature([_parameter(one) for one in OPTIONS.values()])  # type: ignore[attr-defined]


def benchmark(
    models: Annotated[list[Path], typer.Argument(help="Exported .onnx, run folders or .pt checkpoints.")],
    size: Annotated[str | None, typer.Option(help="Frame size, WIDTHxHEIGHT; default: each network's own.")] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Timed frames of each model.")] = 100,
    warm_up: Annotated[int, typer.Option(min=0, help="Warm-up frames, not timed.")] = 10,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of the network; 0 = one per core.")] = 0,
    provider: Provider = "auto",
    runtime: Runtime = "onnxruntime",
    camera: CameraFile = None,
    fx_px: FxPx = None,
    hfov_deg: HfovDeg = None,
    fit: FitRule = None,
    report: Annotated[Path | None, typer.Option(help="Write the measurements as JSON.")] = None,
) -> None:
    """Measure latency and throughput, split into pre, net and post [ms]; several models in turn in one run.

    With them come multiply-accumulates, parameters, memory, processor time, and power where the machine reports it.

    Example: advmtl benchmark runs/a/model.onnx runs/b/model.onnx --size 1024x512
    """
    from export.bench import add_facts, in_turn, open_models, print_benchmark, print_comparison
    from export.graph import told_lens
    from preprocessing.ground import write_json

    frame_size = size_of(size) if size else None
    lens = told_lens(camera, fx_px, hfov_deg)
    sessions, facts = open_models(models, provider, threads, lens, fit, runtime)  # type: ignore[arg-type]
    reports = in_turn(sessions, frame_size=frame_size, warm_up=warm_up, iterations=iterations)
    reports = [add_facts(one, known) for one, known in zip(reports, facts, strict=True)]
    for one in reports:
        print_benchmark(one)
    print_comparison(reports)
    if report is not None:
        whole = [one.to_dict() for one in reports]
        write_json(report, whole[0] if len(whole) == 1 else {"models": whole})
