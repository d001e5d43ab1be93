"""The commands `train` and `compare`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from advmtl.cli.options import Device, device_of
from preprocessing.ground import EXIT_FAILED, EXIT_SKIPPED, InputError


def sources_of(data: list[str], val: list[str]) -> list[str]:
    """`--data` and `--val` as overrides; without `--val`, the val split of each `--data` that has splits."""
    import yaml

    from advmtl.config import Source
    from advmtl.data import format_of

    if not data and not val:
        return []
    train = [Source.parse(text) for text in data]
    train = [s if s.split or not format_of(s).splits else s.model_copy(update={"split": "train"}) for s in train]
    measured = [Source.parse(text) for text in val]
    if not val:
        measured = [s.model_copy(update={"split": "val"}) for s in train if format_of(s).splits]
        if not measured:
            raise InputError("--data has no val split; name what to validate on with --val format:root[:split]")
    texts = []
    for key, sources in (("data.train", train), ("data.val", measured)):
        if sources:
            plain = [source.model_dump(mode="json", exclude_defaults=True) for source in sources]
            texts.append(f"{key}={yaml.safe_dump(plain, default_flow_style=True, width=10**6).strip()}")
    return texts


def train(
    config: Annotated[str, typer.Argument(help="A name (model3, baseline, demo, …) or a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. train.epochs=5.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Training source format:root[:split]; repeatable.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Validation source; default: split val of --data.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order and augmentation.")] = None,
    device: Device = "auto",
    resume: Annotated[
        bool,
        typer.Option("--resume/--no-resume", help="Resume the folder's run, or refuse a folder that has one."),
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, removing the run in the folder.")] = False,
    init: Annotated[
        str | None, typer.Option(help="Begin a new run with the weights of a run folder, a checkpoint or a file.")
    ] = None,
    init_part: Annotated[str | None, typer.Option(help="Of --init: whole (all that fits) or encoder.")] = None,
    data_changed: Annotated[
        bool, typer.Option("--data-changed", help="Go on with a run although its frames are others than they were.")
    ] = False,
    dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Train nothing: what would happen, a batch as a picture, how long it takes."),
    ] = False,
    report: Annotated[
        str | None,
        typer.Option("--json", metavar="PATH", help="With --dry-run: the same as JSON; - is standard output."),
    ] = None,
) -> None:
    """Train a configuration into a run folder; a folder that holds the same run is resumed, bit by bit. Exit code 3:
    done, but frames were left out (under torchrun 0).

    \b
    Examples:
      advmtl train model3 --data cityscapes:data/synth train.epochs=20 data.size=256x128
      advmtl train single_depth --data rig:my_rig:monday --val rig:my_rig:tuesday
      advmtl train baseline --data cityscapes:city balance.method=pcgrad --out runs/pcgrad
      advmtl train my_classes --init runs/model3 --init-part encoder train.freeze={encoder: 500}
      advmtl train model3 --data cityscapes:city train.max_steps=20000 train.warmup_steps=5% --dry-run
      torchrun --nproc-per-node 2 -m advmtl train model3 --data cityscapes:city    # data.batch_size is per process

    Every value of a configuration can be set as key=value: data.batch_size=4, train.learning_rate=5e-4,
    encoder.weights=null (from scratch), discriminators.depth.sees=[image,depth]. A wrong key names the nearest one.
    """
    from advmtl.config import Config, load_config
    from advmtl.distributed import process_group
    from advmtl.training import dry_run, fit, left_out, with_init

    if report is not None and not dry:
        raise InputError("--json: only with --dry-run; a training writes plan.json and evaluation.json into its folder")

    def read() -> Config:
        if init_part is not None and init is None:
            raise InputError("--init-part: names no weights; add --init RUN")
        own = [] if seed is None else [f"seed={seed}"]
        found = load_config(config, [*sources_of(data or [], val or []), *(overrides or []), *own])
        return found if init is None else with_init(found, init, init_part or "whole")

    with process_group(device_of(device)) as (processes, target):
        settings = processes.raise_together(read)
        folder = out or Path("runs") / settings.name
        console = Console(soft_wrap=True, quiet=not processes.is_main or report == "-", emoji=False)
        if Path(config).is_dir() and settings.init is None and folder.resolve() != Path(config).resolve():
            console.print(f"{config}: its settings alone are taken; --init {config} takes its weights", highlight=False)
        ways: dict[str, Any] = {"overwrite": overwrite, "resume": resume, "data_changed": data_changed}
        if dry:
            found = dry_run(settings, folder, target, console, **ways, processes=processes)
            if report is not None and processes.is_main:
                _write_json(found, report)
            if found["skipped"]:
                raise typer.Exit(EXIT_SKIPPED)
            return
        fitted = fit(settings, folder, target, console, **ways, processes=processes)
        console.print(f"run: {folder}\nnext: advmtl export {folder}", highlight=False)
        alone = processes.count == 1  # torchrun takes any other code than 0 for a failure, and says so at length
    if alone and left_out(fitted.metrics):
        raise typer.Exit(EXIT_SKIPPED)


def _write_json(found: dict[str, Any], path: str) -> None:
    if path == "-":
        typer.echo(json.dumps(found, indent=2))
        return
    from preprocessing.ground import write_json

    write_json(path, found)


def compare(
    arguments: Annotated[
        list[str], typer.Argument(metavar="CONFIG... [KEY=VALUE]...", help="CONFIG or CONFIG:key=value,key=value.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each configuration.")] = 3,
    data: Annotated[list[str] | None, typer.Option(help="Training source format:root[:split]; repeatable.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Validation source; default: split val of --data.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs and the tables.")] = Path("runs/compare"),
    metrics: Annotated[
        list[str] | None, typer.Option(help="task.metric for Δm and win rate; repeatable. Default: see docs/method.md.")
    ] = None,
    timing: Annotated[bool, typer.Option(help="Also measure step times relative to the plain sum.")] = True,
    device: Device = "auto",
) -> None:
    """Train configurations and single-task references with several seeds: one table, Δm, win rate, a picture.

    Example: advmtl compare baseline baseline:balance.method=pcgrad model3 --data cityscapes:data/synth train.epochs=10

    The same line continues an interrupted comparison. Exit code 1 where a run failed, 3 where frames were left out; the
    table lists them.
    """
    from advmtl.compare import compare as run
    from advmtl.compare import read_configurations

    configs = read_configurations(arguments, sources_of(data or [], val or []))
    console = Console(soft_wrap=True, emoji=False)
    comparison = run(configs, seeds, out, device_of(device), console, metrics=metrics or [], timing=timing)
    console.print(f"written: {out}/table.md, {out}/comparison.json, {out}/tradeoff.png", highlight=False)
    if comparison.failed:
        raise typer.Exit(EXIT_FAILED)
    if comparison.left_out:
        raise typer.Exit(EXIT_SKIPPED)
