"""The command `evaluate`. It imports `export` inside its body, for a model's file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from advmtl.cli.options import Device, device_of
from advmtl.cli.own_files import evaluation_files
from preprocessing.ground import EXIT_SKIPPED, InputError, check_outputs

if TYPE_CHECKING:
    from torch import nn

    from advmtl.config import Config
    from advmtl.data import Line, NamedLoader
    from advmtl.evaluation import Manner, Observer, ResultFiles

_FILES = (".onnx", ".engine")
_SAME = 1e-6  # of our figures and the published scripts' of the same pixels


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, .pt checkpoint, or exported .onnx.")],
    data: Annotated[list[str] | None, typer.Option(help="Source format:root[:split]; default: the run's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON; default: in the run folder, named after the options.")] = None,
    constant: Annotated[
        bool, typer.Option("--constant", help="Also evaluate constants of the training frames, e.g. the mean depth.")
    ] = False,
    size: Annotated[
        str, typer.Option(help="Where figures are measured: network, labels (their own size), or WxH, input and all.")
    ] = "network",
    input: Annotated[str | None, typer.Option(help="What the network is shown, WxH; default: as trained.")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average the picture and its mirror image.")] = False,
    scales: Annotated[str, typer.Option(help="Average over the picture at these scales: 0.75,1,1.25.")] = "1",
    sliding_window: Annotated[str | None, typer.Option(help="Move a window, WxH, over the picture.")] = None,
    stride: Annotated[str | None, typer.Option(help="How far, WxH; default: half of the window.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Also as papers measure: garg, eigen, garg_median, …; repeatable.")
    ] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Also under fog, rain, snow, night, noise, … at five strengths.")
    ] = False,
    kinds: Annotated[str | None, typer.Option(help="Of --corruptions, these alone: fog,night,jpeg.")] = None,
    corruption_seed: Annotated[int, typer.Option("--corruption-seed", min=0, help="Seed of their pictures.")] = 0,
    official: Annotated[str | None, typer.Option(help="Also by a set's own scripts: cityscapes.")] = None,
    submit: Annotated[
        Path | None, typer.Option(help="Write classes as Cityscapes' server takes them into this folder.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Evaluate a run: metrics with their units as table and JSON. Exit code 3: done, but frames were left out.

    \b
    Examples:
      advmtl evaluate runs/model3
      advmtl evaluate runs/model3 --data cityscapes:other_city:val
      advmtl evaluate runs/model3 --size labels --flip --scales 0.75,1,1.25
      advmtl evaluate runs/model3 --input 2048x1024 --size labels --sliding-window 512x256
      advmtl evaluate runs/model3 --corruptions --kinds fog,night
      advmtl evaluate runs/model3 --official cityscapes
      advmtl evaluate runs/depth --data rig:kitti --size labels --protocol garg

    As training measures, figures are of the network's size, with labels made smaller by nearest. Published ones are of
    the labels' own: --size labels. A picture shown larger than in training is that of a longer lens, and its metres are
    multiplied accordingly.
    """
    from advmtl.evaluation import (
        FrameMetrics,
        check_scripts,
        chosen_kinds,
        constant_baselines,
        corruption_figures,
        print_corruptions,
        print_table,
        write_evaluation,
    )
    from advmtl.evaluation import evaluate as measure

    if official not in (None, "cityscapes"):
        raise InputError(f"--official {official}: there is cityscapes")
    if official:
        check_scripts()
    if kinds is not None and not corruptions:
        raise InputError("--kinds: are those of --corruptions; give it, too")
    corrupted = chosen_kinds(kinds)
    manner = _manner(size, input, flip, scales, sliding_window, stride, protocol, at_labels=bool(official or submit))
    out = out or _place(model, manner, data or [])
    check_outputs(evaluation_files("--out", out))  # before hours of measuring; of the default place, too
    network, config, loaders, target, chosen = _opened(model, data, manner, device, submit)
    _doubt(loaders, config, chosen.pop("lenses", {}))
    frames = FrameMetrics(config.spec, config.task_table)
    with _result_files(submit, loaders, config, wanted=bool(official or submit)) as files:
        observers: list[Observer] = [frames] if files is None else [frames, files]
        tasks = config.task_table
        metrics = measure(network, loaders, config, target, observers=observers, tasks=tasks, manner=manner)
        metrics |= {"checkpoint": chosen} if chosen else {}
        if official and files is not None:
            metrics["official"] = {official: _official(files, metrics)}
    measured = [name for name in config.tasks if name in metrics]
    if not measured and submit is None:
        names = ", ".join(name for name, _ in loaders)
        raise InputError(f"{names}: no frame has a valid label of {', '.join(config.tasks)}; nothing can be measured")
    console = Console(soft_wrap=True, emoji=False)
    if measured:
        print_table(metrics, f"Evaluation{f' {manner.words}' if manner.words else ''}", tasks=tasks)
    _print_protocols(metrics, config)
    _print_doubts(metrics, config)
    if constant:
        for task, constants in constant_baselines(config, loaders, tasks).items():
            metrics[f"constant_{task}"] = constants
            for name, figures in constants.items():
                print_table({task: figures}, f"Predicting the {name} {task} everywhere", tasks=tasks)
    if corruptions and measured:
        metrics["corruptions"] = corruption_figures(
            *(network, loaders, config, metrics, target),
            kinds=corrupted,
            seed=corruption_seed,
            tasks={name: tasks[name] for name in measured},
            manner=manner,
        )
        print_corruptions(metrics["corruptions"], tasks)
    if submit is not None and files is not None:
        console.print(f"{len(files.pairs)} class maps in {submit}", highlight=False)
    write_evaluation(out, metrics, frames.compute())
    console.print(f"written: {out}", highlight=False)
    if manner.size == "network" and measured:
        console.print("at the network's size; --size labels measures as published figures are", highlight=False)
    if metrics.get("skipped"):
        raise typer.Exit(EXIT_SKIPPED)


def _manner(
    size: str,
    input: str | None,
    flip: bool,
    scales: str,
    window: str | None,
    stride: str | None,
    protocols: list[str] | None,
    *,
    at_labels: bool,
) -> "Manner":
    from advmtl.evaluation import manner_of

    if at_labels and size not in ("network", "labels"):
        raise InputError(f"--size {size}: class maps for Cityscapes are of the labels' size; write --input {size}")
    try:
        numbers = [float(part) for part in scales.split(",")]
    except ValueError:
        raise InputError(f"--scales {scales}: write numbers, for example 0.75,1,1.25") from None
    return manner_of(
        "labels" if at_labels else size,
        input=input,
        flip=flip,
        scales=numbers,
        window=window,
        stride=stride,
        protocols=protocols or [],
    )


def _opened(
    model: Path, data: list[str] | None, manner: "Manner", device: str, submit: Path | None
) -> "tuple[nn.Module, Config, list[NamedLoader], Any, dict[str, Any]]":
    """What is measured, its configuration, the frames to measure on, the device, and which checkpoint of a run it is.

    Raises: InputError where the sources have no label to measure on.
    """
    from advmtl.config import Source
    from advmtl.data import check_measurable, source_lines, source_name, survey_val, val_loaders
    from advmtl.training import load_trained

    if model.suffix in _FILES:
        from export.measure import Deployed, file_config, file_loaders
        from export.session import open_session

        kind, _, number = device.partition(":")
        if number not in ("", "0"):
            raise InputError(
                f"--device {device}: a file runs on the first GPU; CUDA_VISIBLE_DEVICES={number} makes it that"
            )
        session = open_session(model, kind)
        config = file_config(session.metadata)
        return Deployed(session), config, file_loaders(model, config, data, manner), "cpu", {}
    trained = load_trained(model)
    config, target = trained.config, device_of(device)
    sources = [Source.parse(text) for text in data] if data else config.data.val
    loaders = val_loaders(config, sources, presentation=manner.presentation)
    for _, loader in loaders:
        _tell(source_lines(loader))
    if submit is None:
        what = ", ".join(map(source_name, sources))
        surveyed = survey_val(config, [loader for _, loader in loaders], sources)
        check_measurable(surveyed, what)
        for doubt in (one for labels in surveyed.values() for one in labels.doubts):
            _warn(doubt)
    return trained.generator.to(target), config, loaders, target, {**trained.chosen, "lenses": trained.lenses}


def _warn(line: str) -> None:
    console = Console(stderr=True, soft_wrap=True, emoji=False)
    console.print("[yellow]warning[/]", end=" ")
    console.print(line, highlight=False, markup=False, emoji=False)


def _tell(lines: "Sequence[Line]") -> None:
    for line in lines:
        if line.doubtful:
            _warn(line.text)
        else:
            console = Console(stderr=True, soft_wrap=True, emoji=False)
            console.print(line.text, highlight=False, markup=False)


def _doubt(loaders: "list[NamedLoader]", config: "Config", trained: Mapping[str, Any]) -> None:
    """Metres are multiplied where things are shown larger; beyond the training's zooms nothing says that it fits."""
    from advmtl.data import doubt_untold

    for name, loader in loaders if trained.get("told", True) else []:  # who learnt of none has none to hold against
        frames: Any = loader.dataset
        if doubt := doubt_untold(list(zip(frames.records, frames.looks, strict=False)), config):
            _warn(f"{name}: {doubt}")
    if trained:
        _doubt_lenses(loaders, config, trained)
        return
    low, high = config.data.augment.zoom
    lens = any(output.of_lens for name in config.tasks for output in config.task_table[name].arrays.outputs)
    zooms = {zoom for _, loader in loaders for zoom in getattr(loader.dataset, "zooms", ())}
    beyond = [f"{zoom:.3g}" for zoom in sorted(zooms) if lens and not min(low, 1) <= zoom <= max(high, 1)]
    if beyond:
        Console(soft_wrap=True, emoji=False).print(
            f"[yellow]warning[/] shown {', '.join(beyond)} times as large as in training, whose zooms are {low:g} to "
            f"{high:g}: metres and normals are corrected for it, and are a guess there",
            highlight=False,
        )


def _doubt_lenses(loaders: "list[NamedLoader]", config: "Config", trained: Mapping[str, Any]) -> None:
    from advmtl.data import doubt_lenses, shown_lenses

    for name, loader in loaders:
        frames: Any = loader.dataset
        presented = getattr(frames, "presentation", None)
        own = [config.data.size if presented is None or presented.input is None else presented.input]
        sizes = frames.sizes if presented is None or presented.input is None else own
        found = shown_lenses(list(zip(frames.records, frames.looks, strict=False)), config, sizes)
        if doubt := doubt_lenses(found, trained):
            _warn(f"{name}: {doubt}")


@contextmanager
def _result_files(
    folder: Path | None, loaders: "list[NamedLoader]", config: "Config", *, wanted: bool
) -> "Iterator[ResultFiles | None]":
    """Who writes class maps: into the user's folder, or into one that is removed afterwards."""
    from advmtl.evaluation import ResultFiles

    with TemporaryDirectory(prefix="advmtl-") as temporary:
        yield ResultFiles(folder or Path(temporary), loaders, config.spec, config.task_table) if wanted else None


def _official(files: "ResultFiles", metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The scripts' figures as a table, too; said aloud where ours are others."""
    from advmtl.evaluation import official_figures

    figures, ours = official_figures(files.pairs), files.ours(metrics)
    table = Table(title="By Cityscapes' own scripts (1 = perfect)")
    for column in ("figure", "theirs", "ours"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, value in figures.items():
        if value is None or isinstance(value, float):
            table.add_row(name, _share(value), _share(ours[name]) if name in ours else "")
    console = Console(soft_wrap=True, emoji=False)
    console.print(table)
    for name, own in ours.items():
        if (own is None) != (figures[name] is None) or abs((own or 0) - (figures[name] or 0)) > _SAME:
            console.print(f"[yellow]warning[/] {name}: {figures[name]} by the scripts, {own} by us", highlight=False)
    return figures


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"


def _print_protocols(metrics: Mapping[str, Any], config: "Config") -> None:
    from advmtl.evaluation import print_table

    for task in config.tasks:
        for name, figures in metrics.get(task, {}).get("protocols", {}).items():
            if figures:
                print_table({task: figures}, f"{task}, protocol {name}", tasks=config.task_table)
            else:
                Console(soft_wrap=True, emoji=False).print(
                    f"[yellow]warning[/] protocol {name}: no frame has a true value where it measures", highlight=False
                )


def _print_doubts(metrics: Mapping[str, Any], config: "Config") -> None:
    """What the tasks find doubtful in their figures; of single sources where there are several."""
    parts = metrics.get("sources") or {"": metrics}
    for source, figures in parts.items():
        for task in config.tasks:
            for line in config.task_table[task].learning.doubts(figures[task]) if task in figures else ():
                _warn(f"{source}: {line}" if source else line)


def _place(model: Path, manner: "Manner", data: list[str]) -> Path:
    """Where the JSON goes: evaluation.json belongs to the run's own validation data, measured as in training."""
    sources = "".join("_" + re.sub(r"[^\w.-]+", "_", text) for text in data)
    name = f"evaluation{sources}{manner.suffix}.json"
    if model.suffix in _FILES:
        return model.with_name(f"{model.stem}_{name}")
    return (model if model.is_dir() else model.parent) / name
