"""The commands `tune` and `probe`."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from advmtl.cli.options import Device, device_of
from advmtl.cli.own_files import probe_file
from advmtl.cli.train import sources_of
from preprocessing.ground import EXIT_FAILED, InputError, check_outputs, inputs_in

_UNITS = ("epochs", "steps", "seconds")


def tune(
    config: Annotated[str, typer.Argument(help="What trials begin with: a name (demo, baseline, …) or a YAML file.")],
    space: Annotated[str, typer.Argument(help="The search space: a YAML file, or a name (demo).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value of every trial.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Training source format:root[:split]; repeatable.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Validation source; default: split val of --data.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the study.")] = Path("runs/tune"),
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all, also of former calls. Default: 20; all of a grid.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Budget of a trial. Default: train.epochs.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Budget of a trial, to the nearest whole epoch.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Budget of a trial: the epochs that fit, by its measured step.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="task.metric, or score; several give a Pareto front. Default: mIoU, AbsRel, … of the tasks."),
    ] = None,
    sampler: Annotated[str, typer.Option(help="tpe, random, grid or cmaes.")] = "tpe",
    pruner: Annotated[
        str | None, typer.Option(help="median, hyperband or none. Default: median; none with several objectives.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler; that of training is the key seed.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Trials at once, each in one thread.")] = 1,
    reference: Annotated[
        list[str] | None, typer.Option(help="OBJECTIVE=VALUE the hypervolume is measured from; repeatable.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Search settings: trials of a configuration over a space of its keys, tables, Pareto front, the best as a file.

    \b
    Examples:
      advmtl tune demo demo --data cityscapes:data/demo --trials 24 --seconds 180 --processes 2
      advmtl tune baseline space.yaml --data cityscapes:city --objective depth.abs_rel --pruner hyperband --epochs 20
      advmtl train runs/tune/best.yaml

    \b
    A space lists keys of the configuration:
      train.learning_rate: {low: 1e-3, high: 1e-2, log: true}
      balance.method: [sum, famo, stch]
      balance.options.mu: {low: 0.1, high: 10, log: true, when: {balance.method: stch}}

    The same line continues a study that was stopped or killed, trials from their checkpoints; started twice, both work
    on it. Trials are run folders in OUT/trials. Needs the extra tune. Exit code 1 where no trial came to its end.
    """
    from advmtl.config import load_config
    from advmtl.tune import Budget, find_space, read_space, require_optuna
    from advmtl.tune import tune as search
    from preprocessing.ground import usable_cores

    require_optuna()
    given: dict[str, Any] = {"epochs": epochs, "steps": steps, "seconds": seconds}
    chosen = [unit for unit in _UNITS if given[unit] is not None]
    if len(chosen) > 1:
        raise InputError(f"--{chosen[0]} and --{chosen[1]}: give one budget")
    budget = Budget(chosen[0], given[chosen[0]]) if chosen else Budget()  # type: ignore[arg-type]
    console = Console(soft_wrap=True, emoji=False)
    if processes > (cores := usable_cores()[0]):
        console.print(f"[yellow]warning[/] --processes {processes}: there are {cores:g} cores", highlight=False)
    found = search(
        load_config(config, [*sources_of(data or [], val or []), *(overrides or [])]),
        read_space(find_space(space)),
        out,
        device_of(device),
        console,
        objectives=objective or [],
        trials=trials,
        budget=budget,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        processes=processes,
        reference=reference or [],
    )
    if found.best is None:
        raise typer.Exit(EXIT_FAILED)


def probe(
    config: Annotated[str, typer.Argument(help="A name (model3, demo, …) or a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. data.size=256x128.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="Training source format:root[:split]; repeatable.")] = None,
    val: Annotated[list[str] | None, typer.Option(help="Validation source; default: split val of --data.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps in all; the second half is measured.")] = 100,
    share: Annotated[float, typer.Option(min=0.001, help="An adversary's gradient, as a share of the tasks'.")] = 0.1,
    out: Annotated[Path | None, typer.Option(help="JSON file; default runs/probe/NAME.json.")] = None,
    device: Device = "auto",
) -> None:
    """Propose weights of the tasks and discriminators from their gradients in the first steps, as overrides to paste.

    Example: advmtl probe model3 --data cityscapes:data/synth --steps 100
    """
    from advmtl.config import load_config
    from advmtl.tune import probe as measure
    from preprocessing.ground import write_json

    settings = load_config(config, [*sources_of(data or [], val or []), *(overrides or [])])
    name = re.sub(r"[^\w.+-]+", "-", settings.name)
    out = out or Path("runs/probe") / f"{name}.json"
    check_outputs(probe_file("--out", out), inputs_in("", settings.model_dump()))
    found = measure(settings, device_of(device), steps=steps, share=share)
    console = Console(soft_wrap=True, emoji=False)
    console.print(found.grid().rich())
    console.print(
        f"gradient magnitude similarity of the tasks: {found.similarity:.2f} as configured, 1 as proposed; adversaries "
        f"at {100 * found.share:g} % of the tasks\n{' '.join(found.overrides)}",
        highlight=False,
    )
    for line in found.doubts:
        console.print(f"[yellow]warning[/] {line}", highlight=False)
    write_json(out, {"configuration": {"name": settings.name, "hash": settings.hash}, **found.to_dict()})
    console.print(f"written: {out}", highlight=False)
