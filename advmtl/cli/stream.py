"""The commands that run a model on frames: infer and benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from advmtl.cli.options import EXIT_SKIPPED, Provider, size_of


def infer(
    model: Annotated[Path, typer.Argument(help="Exported .onnx, run folder or .pt checkpoint.")],
    source: Annotated[
        str, typer.Argument(help="Folder of pictures, video, camera (0, /dev/video0), URL or GStreamer pipeline.")
    ],
    out: Annotated[Path | None, typer.Option(help="A .mp4 or .mkv file or a folder for pictures.")] = None,
    arrays: Annotated[Path | None, typer.Option(help="Folder for raw maps, one .npz a frame.")] = None,
    log: Annotated[Path | None, typer.Option(help="File for a line of JSON a frame with its latencies.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the frames in a window.")] = False,
    policy: Annotated[str, typer.Option(help="every, latest (drop what is late), auto (live: latest).")] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Frames at most.")] = None,
    loop: Annotated[int, typer.Option(min=0, help="How often a file or folder is repeated; 0 = for ever.")] = 1,
    reconnect_seconds: Annotated[
        float, typer.Option(min=0, help="How long a lost camera or stream is tried again [s].")
    ] = 30.0,
    fps: Annotated[float, typer.Option(min=0, help="Rate of the written video; 0 = that of the source.")] = 0,
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            help="CPU threads that a frame in the network may use; 0 = all cores, shared by the frames in flight.",
        ),
    ] = 0,
    in_flight: Annotated[
        int,
        typer.Option(
            min=1, help="Frames in the network at once, of every frame only: more frames/s, each takes longer."
        ),
    ] = 1,
    provider: Provider = "auto",
    report: Annotated[Path | None, typer.Option(help="Write the latency report as JSON.")] = None,
) -> None:
    """Run a model on a video, folder or camera: class overlay, depth in metres, instances, frames/s and latency.

    Ctrl-C or SIGTERM ends it with all files finished. Exit code 3 where frames could not be
    read or the network gave no finite numbers for them; they are listed.

    Example: advmtl infer runs/demo/model.onnx drive.mp4 --out drive_result.mp4
    """
    from export.session.session import open_session
    from export.stream.in_flight import session_threads
    from export.stream.infer import Outputs, Reading, print_report
    from export.stream.infer import infer as run
    from preprocessing.ground import write_json

    reading = Reading(policy, limit, loop, reconnect_seconds, in_flight)
    outputs = Outputs(out, fps, arrays, log, show)
    session = open_session(model, provider, session_threads(model, threads, in_flight))
    result = run(session, source, outputs, reading)
    print_report(result)
    if report is not None:
        write_json(report, result.to_dict())
    if not result.complete:
        raise typer.Exit(EXIT_SKIPPED)


def benchmark(
    models: Annotated[list[Path], typer.Argument(help="Exported .onnx, run folders or .pt checkpoints.")],
    size: Annotated[str | None, typer.Option(help="Frame size, WIDTHxHEIGHT; default: each network's own.")] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Timed frames of each model.")] = 100,
    warm_up: Annotated[int, typer.Option(min=0, help="Frames before them that are not timed.")] = 10,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of the network; 0 = one per core.")] = 0,
    provider: Provider = "auto",
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Measure latency and throughput, split into pre, net and post [ms]; several models in turn in one run.

    With them come multiply-accumulates, parameters, memory, processor time, and power where the machine tells.

    Example: advmtl benchmark runs/a/model.onnx runs/b/model.onnx --size 1024x512
    """
    from export.bench.benchmark import in_turn, print_benchmark
    from export.bench.benchmark_report import complete, open_models, print_comparison
    from preprocessing.ground import write_json

    frame_size = size_of(size) if size else None
    sessions, facts = open_models(models, provider, threads)
    reports = in_turn(sessions, frame_size=frame_size, warm_up=warm_up, iterations=iterations)
    reports = [complete(one, known) for one, known in zip(reports, facts, strict=True)]
    for one in reports:
        print_benchmark(one)
    print_comparison(reports)
    if report is not None:
        whole = [one.to_dict() for one in reports]
        write_json(report, whole[0] if len(whole) == 1 else {"models": whole})
