"""The command line. Each command is one stage of the way: stereo -> depth -> run -> model -> frames."""

import re
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from advmtl.cli_options import Device, Provider, device_of, size_of
from advmtl.cli_stereo import preprocess, quality, synth
from preprocessing.errors import InputError

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130
# ClickException, whichever package typer takes it from (click before 0.2x, a copy of its own since).
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
_errors = Console(stderr=True, soft_wrap=True)


class _Commands(TyperGroup):
    """Turns errors a user can mend into one line and an exit code; `--debug` shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _UsageError):  # --help leaves this way; typer explains wrong options itself
            raise
        except InputError as error:
            _complain(ctx, str(error))
            raise typer.Exit(EXIT_BAD_INPUT) from None
        except KeyboardInterrupt:
            _errors.print("[yellow]interrupted[/]; what was finished is kept")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except Exception as error:  # a defect or a full disk: still one line; --debug shows where
            lines = str(error).splitlines()
            _complain(ctx, f"{type(error).__name__}: {lines[0] if lines else 'no message'} (--debug shows more)")
            raise typer.Exit(EXIT_FAILED) from None


def _complain(ctx: Any, message: str) -> None:
    if ctx.params.get("debug"):
        traceback.print_exc()
    _errors.print("[bold red]error[/]: ", end="")
    _errors.print(message, markup=False, highlight=False)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _advmtl(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Class and metric distance of every pixel of a street, from stereo recordings to a model on a camera.

    The commands come in the order in which data flows: synth, preprocess, quality, train, evaluate, predict, export,
    infer, benchmark. Exit codes: 0 done, 1 failed, 2 bad input (file, key or setting), 3 done but frames were left out,
    130 interrupted.

    A data source is written format:root[:split]; formats are cityscapes, camvid, folder and rig.
    """


app.command()(synth)
app.command()(preprocess)
app.command()(quality)


def _sources(data: list[str], val: list[str]) -> list[str]:
    """`--data` and `--val` as overrides; without `--val`, the val split of each `--data` that has splits."""
    import yaml

    from advmtl.config import WITHOUT_SPLITS, Source

    if not data and not val:
        return []
    train = [Source.parse(text) for text in data]
    train = [s if s.split or s.format in WITHOUT_SPLITS else s.model_copy(update={"split": "train"}) for s in train]
    measured = [Source.parse(text) for text in val]
    if not val:
        measured = [s.model_copy(update={"split": "val"}) for s in train if s.format not in WITHOUT_SPLITS]
        if not measured:
            raise InputError("--data has no val split; name what to validate on with --val format:root[:split]")
    texts = []
    for key, sources in (("data.train", train), ("data.val", measured)):
        if sources:
            plain = [source.model_dump(mode="json", exclude_defaults=True) for source in sources]
            texts.append(f"{key}={yaml.safe_dump(plain, default_flow_style=True, width=10**6).strip()}")
    return texts


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A name (model3, baseline, demo, …) or a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. train.epochs=5.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Training source format:root[:split]; repeatable.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Validation source; default: split val of --data.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order and augmentation.")] = None,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew in a folder that holds a run.")] = False,
) -> None:
    """Train a configuration into a run folder; a folder that holds the same run is continued.

    Example: advmtl train model3 --data cityscapes:data/synth train.epochs=20 data.size=256x128
    """
    from advmtl.config_files import load_config
    from advmtl.train import fit

    texts = [*_sources(data or [], val or []), *(overrides or [])]
    if seed is not None:
        texts.append(f"seed={seed}")
    settings = load_config(config, texts)
    folder = out or Path("runs") / settings.name
    target = device_of(device)
    fit(settings, folder, target, Console(soft_wrap=True), overwrite=overwrite)
    Console(soft_wrap=True).print(f"run: {folder}\nnext: advmtl export {folder}", highlight=False)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder or .pt checkpoint.")],
    data: Annotated[list[str] | None, typer.Option(help="Source format:root[:split]; default: the run's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file; default: in the run folder, named after --data.")] = None,
    constant: Annotated[
        bool, typer.Option("--constant", help="Also measure predicting the training frames' mean and median depth.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Measure a run: metrics with their units as table and JSON."""
    from advmtl.checkpoint import load_generator
    from advmtl.config import Source
    from advmtl.data import val_loaders
    from advmtl.evaluate import evaluate as measure
    from advmtl.evaluate import mean_depth_baseline, print_table
    from preprocessing.files import write_json

    generator, config = load_generator(run)
    target = device_of(device)
    loaders = val_loaders(config, [Source.parse(text) for text in data] if data else None)
    metrics = measure(generator.to(target), loaders, config, target)
    print_table(metrics)
    if constant:
        metrics["constant_depth"] = mean_depth_baseline(config, loaders)
        for name, figures in metrics["constant_depth"].items():
            print_table({"depth": figures}, f"Predicting the {name} depth, {figures['depth_m']:.2f} m, everywhere")
    # Another source gets a file of its own: evaluation.json belongs to the run's validation data.
    suffix = "".join("_" + re.sub(r"[^\w.-]+", "_", text) for text in data or [])
    name = f"evaluation{suffix}.json"
    out = out or (run if run.is_dir() else run.parent) / name
    write_json(out, metrics)
    Console(soft_wrap=True).print(f"written: {out}", highlight=False)


@app.command()
def compare(
    arguments: Annotated[
        list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE]...", help="CONFIG or CONFIG:key=value,key=value.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each configuration.")] = 3,
    data: Annotated[list[str] | None, typer.Option(help="Training source format:root[:split]; repeatable.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Validation source; default: split val of --data.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs and the tables.")] = Path("runs/compare"),
    metrics: Annotated[
        list[str] | None, typer.Option(help="task.figure for Δm and win rate; repeatable. Default: see docs/method.md.")
    ] = None,
    timing: Annotated[bool, typer.Option(help="Also measure step times relative to the plain sum.")] = True,
    device: Device = "auto",
) -> None:
    """Train configurations and single-task references with several seeds: one table, Δm, win rate, a picture.

    Example: advmtl compare baseline baseline:balance.method=pcgrad model3 --data cityscapes:data/synth train.epochs=10

    The same line continues an interrupted comparison. Exit code 1 where a run failed; the table lists it.
    """
    from advmtl.comparison.compare import compare as run
    from advmtl.comparison.configs import read_configurations

    configs = read_configurations(arguments, _sources(data or [], val or []))
    console = Console(soft_wrap=True)
    comparison = run(configs, seeds, out, device_of(device), console, metrics=metrics or [], timing=timing)
    console.print(f"written: {out}/table.md, {out}/comparison.json, {out}/tradeoff.png", highlight=False)
    if comparison.failed:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Run folder, .pt checkpoint or exported .onnx.")],
    source: Annotated[str, typer.Argument(help="Picture, folder, or labelled source format:root[:split].")],
    out: Annotated[Path, typer.Option(help="Folder for the panels.")] = Path("predictions"),
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures at most.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Also write class ids, depth and instances as PNG.")] = False,
    provider: Provider = "auto",
) -> None:
    """Draw panels image | truth | prediction of a model on pictures; truth where the source has labels."""
    from export.predict import predict as draw
    from export.runtime import open_session

    done, skipped = draw(open_session(model, provider), source, out, limit=limit, raw=raw)
    console = Console(soft_wrap=True)
    for one in skipped:
        console.print(f"skipped {one.name}: {one.reason}", markup=False, highlight=False)
    console.print(f"{done} panels in {out}, {len(skipped)} skipped", highlight=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder or .pt checkpoint.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file; default model.onnx in the run folder.")] = None,
    size: Annotated[str | None, typer.Option(help="Network size, WIDTHxHEIGHT; default: as trained.")] = None,
    frames: Annotated[Path | None, typer.Option(help="Pictures to check on; default: validation data.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures to check on, at most.")] = 20,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, fp16 or int8; repeatable. Default: fp32.")] = None,
    target: Annotated[str, typer.Option(help="What int8 and fp16 are made for: cpu, or gpu (TensorRT).")] = "cpu",
    calibration_frames: Annotated[int, typer.Option(min=1, help="Training frames that int8 is calibrated on.")] = 100,
    calibration: Annotated[str, typer.Option(help="minmax, percentile or entropy.")] = "minmax",
    max_miou_loss: Annotated[float, typer.Option(help="Largest loss of mIoU, in points of 100.")] = 1.0,
    max_absrel_loss: Annotated[float, typer.Option(help="Largest growth of AbsRel, in percent.")] = 3.0,
    force: Annotated[bool, typer.Option("--force", help="Write a model that loses more, too.")] = False,
    engine: Annotated[bool, typer.Option("--engine", help="Also build a TensorRT engine of each model.")] = False,
) -> None:
    """Write one ONNX file, frame in, classes, metres and instance offsets out, and check it against the checkpoint.

    Fails, and writes nothing, where classes agree on less than 99.9 % of pixels, depth differs by more than 0.1 % or an
    offset by more than 0.01 px. fp16 and int8 are measured beside float32 on the labelled validation frames and are not
    written where they lose more than the bounds (exit code 1).

    Example: advmtl export runs/model3 --precision fp32 --precision int8
    """
    from export.bounds import Bounds
    from export.export_command import export_all
    from export.precisions import Options

    options = Options(
        precisions=tuple(precision or ["fp32"]),
        target=target,  # type: ignore[arg-type]
        size=size_of(size) if size else None,
        calibration_frames=calibration_frames,
        calibration=calibration,
        bounds=Bounds(max_miou_loss, max_absrel_loss),
        force=force,
    )
    out = out or (run if run.is_dir() else run.parent) / "model.onnx"
    export_all(run, out, options, frames=frames, count=count, engine=engine)


@app.command()
def infer(
    model: Annotated[Path, typer.Argument(help="Exported .onnx, run folder or .pt checkpoint.")],
    source: Annotated[str, typer.Argument(help="Folder of pictures, video file, camera (0, /dev/video0) or URL.")],
    out: Annotated[Path | None, typer.Option(help="A .mp4 file or a folder for pictures; default: nothing.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Frames at most.")] = None,
    fps: Annotated[float, typer.Option(min=0, help="Rate of the written video; 0 = that of the source.")] = 0,
    provider: Provider = "auto",
    report: Annotated[Path | None, typer.Option(help="Write the latency report as JSON.")] = None,
) -> None:
    """Run a model on a video, folder or camera: class overlay, depth in metres, instances, frames/s and latency.

    Example: advmtl infer runs/demo/model.onnx drive.mp4 --out drive_result.mp4
    """
    from export.runtime import open_session
    from export.stream import infer as run
    from export.stream import print_report
    from preprocessing.files import write_json

    result = run(open_session(model, provider), source, out, limit=limit, fps=fps)
    print_report(result)
    if report is not None:
        write_json(report, result.to_dict())


@app.command()
def benchmark(
    model: Annotated[Path, typer.Argument(help="Exported .onnx, run folder or .pt checkpoint.")],
    size: Annotated[str | None, typer.Option(help="Frame size, WIDTHxHEIGHT; default: the network's.")] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Timed frames.")] = 100,
    provider: Provider = "auto",
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Measure latency and throughput of a model, split into pre, net and post [ms]."""
    from export.benchmark import benchmark as measure
    from export.benchmark import print_benchmark
    from export.runtime import open_session
    from preprocessing.files import write_json

    frame_size = size_of(size) if size else None
    result = measure(open_session(model, provider), frame_size=frame_size, iterations=iterations)
    print_benchmark(result)
    if report is not None:
        write_json(report, result.to_dict())


def main() -> None:
    """Entry point of the `advmtl` command."""
    app()
