"""Training every configuration and its single-task references with the same budget and several seeds."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from advmtl.compare.configs import check_comparable, differences, plain_sum, single_task
from advmtl.compare.metrics import (
    REFERENCE,
    Comparison,
    Metric,
    Outcome,
    Row,
    StepTime,
    against,
    delta_metrics,
    shown_metrics,
    values_of,
)
from advmtl.compare.picture import write_tradeoff
from advmtl.compare.plan import Plan, Planned, architecture_of, measured_parameters, parameters_of
from advmtl.compare.table import frames_left_out, print_tables, write_tables
from advmtl.compare.timing import step_times
from advmtl.config import Config
from advmtl.data import TrainLoader, train_loader, val_loaders
from advmtl.networks import Architecture
from advmtl.training import NonFiniteLoss, build, count_labels, fit, foresee, headline, left_out, plan_of, warn
from preprocessing.ground import InputError, first_line, progress


def compare(
    configs: Sequence[Config],
    seeds: int,
    out: Path,
    device: torch.device,
    console: Console,
    *,
    metrics: Sequence[str] = (),
    timing: bool = True,
) -> Comparison:
    """Train every configuration and one single-task network per task with `seeds` seeds each; measure, tabulate, draw.

    Each run is an ordinary run folder `out/NAME_sSEED`; what it says goes to output.txt there. A finished run is not
    trained again, an interrupted one goes on, a failed one is listed with its reason and tried again by the next call.
    After every run `table.md`, `comparison.json` and, with two tasks or more, `tradeoff.png` are written anew.

    Args:
        configs: distinct, with the same data, size and budget; the seeds are each one's own `seed` and those after it.
        metrics: those of Δm and win rate as `task.metric`; default `metrics.delta_metrics`.
        timing: also measure step times relative to the plain sum (`timing.json`).
    Raises: InputError where configurations cannot be compared, a folder holds another run, or labels or weights are
        missing, before anything is trained.
    """
    if not configs:
        raise InputError("name a configuration to compare, e.g. baseline model3")
    check_comparable(configs)
    plan = Plan(list(configs), single_task(configs), seeds, out)
    chosen = delta_metrics(list(plan.singles), metrics)
    runs = plan.all_runs()
    todo = [planned for planned in runs if not plan.take_finished(planned)]
    console.print(f"{len(runs)} runs in {out}, {len(runs) - len(todo)} of them done", highlight=False)
    if todo:
        _check(plan, device)
        _say_doubts(plan, console)
    _train_all(plan, todo, device, console, lambda: _publish(_collect(plan, chosen, {}), out))
    times: Mapping[str, StepTime] = {}
    if timing:
        every = plan.distinct()
        times = step_times(every, plain_sum(configs[0]), device, out / "timing.json", console, _grown(plan))
    comparison = _collect(plan, chosen, times)
    _publish(comparison, out)
    print_tables(comparison, console)
    return comparison


def _grown(plan: Plan) -> dict[str, Architecture]:
    """By hash, what has grown in the first seed's network at its end, of configurations whose run has come to it."""
    first = {config.hash: plan.run_of(config, 0) for config in plan.distinct() if config.growth is not None}
    finished = {name: planned for name, planned in first.items() if planned.run.folder in plan.metrics}
    found = {name: architecture_of(planned.config, planned.run.last) for name, planned in finished.items()}
    return {name: architecture for name, architecture in found.items() if architecture is not None}


def _check(plan: Plan, device: torch.device) -> None:
    """Find what would end a run at its start, such as absent labels or weights, before hours are spent on others; and
    what a training is foreseen not to do.
    """
    loaders: dict[str, TrainLoader] = {}
    for config in plan.singles.values():
        loader = _loader_of(config, loaders)
        count_labels(config, loader, [val for _, val in val_loaders(config)])
    for config in plan.distinct():
        loader = _loader_of(config, loaders)
        settled = config.settled(config.train.steps(loader.batch_sampler.batches))
        plan.doubts[config.hash] = tuple(foresee(build(settled, device), plan_of(settled, loader)).caveats)


def _loader_of(config: Config, known: dict[str, TrainLoader]) -> TrainLoader:
    """Its training batches; configurations with the same frames share them."""
    unlabelled = config.partial is not None and config.partial.needs_no_label
    key = f"{config.data.model_dump_json()} {sorted(config.tasks)} {unlabelled}"
    if key not in known:
        known[key] = train_loader(config)
    return known[key]


def _say_doubts(plan: Plan, console: Console) -> None:
    """Each doubt once, with the configurations that have it."""
    said: dict[str, list[str]] = {}
    for config in plan.distinct():
        for doubt in plan.doubts_of(config):
            said.setdefault(doubt, []).append(config.name)
    for doubt, names in said.items():
        warn(console, f"{', '.join(names)}: {doubt}")


def _publish(comparison: Comparison, out: Path) -> None:
    write_tables(comparison, out)
    write_tradeoff(comparison, out / "tradeoff.png")


def _train_all(
    plan: Plan, todo: Sequence[Planned], device: torch.device, console: Console, publish: Callable[[], None]
) -> None:
    start = time.monotonic()
    with progress("comparing", len(todo), "runs") as bar:
        for done, planned in enumerate(todo):
            name = planned.run.folder.name
            bar.advance(0, f"{name}{time_left(time.monotonic() - start, done, len(todo))}")
            said = _train(plan, planned, device)
            bar.advance(1)
            console.print(f"{done + 1}/{len(todo)} {name}: {said}", markup=False, highlight=False)
            publish()


def time_left(elapsed_s: float, done: int, total: int) -> str:
    """Time left for the note of the bar, whose own estimate looks back over seconds, not runs."""
    if not done:
        return ""
    seconds = elapsed_s / done * (total - done)
    size, unit = next(
        (size, unit) for size, unit in ((3600, "h"), (60, "min"), (1, "s")) if seconds >= 2 * size or size == 1
    )
    return f", about {seconds / size:.0f} {unit} left"


def _train(plan: Plan, planned: Planned, device: torch.device) -> str:
    """Train one run; its outcome in one line."""
    start, folder = time.monotonic(), planned.run.folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("a") as output:
        try:
            fitted = fit(planned.config, folder, device, Console(file=output, width=160, soft_wrap=True, emoji=False))
        except InputError:
            raise
        except NonFiniteLoss as error:
            reason = first_line(error)
        except Exception as error:  # a failure of one run must not end the others
            traceback.print_exc(file=output)
            reason = f"{type(error).__name__}: {first_line(error)}"
        else:
            plan.metrics[folder] = fitted.metrics
            count = len(left_out(fitted.metrics))
            frames = f"; {frames_left_out(count)}" if count else ""
            return f"{headline(fitted.metrics)}{frames} ({(time.monotonic() - start) / 60:.1f} min)"
    plan.failures[folder] = reason
    return f"failed: {plan.failures[folder]}"


def _collect(plan: Plan, chosen: Sequence[Metric], times: Mapping[str, StepTime]) -> Comparison:
    """The measured runs so far, as rows."""
    shown = shown_metrics(list(plan.singles), chosen)
    rows = [_row(plan, config, chosen, shown, times) for config in plan.configs]
    singles = [_row(plan, config, chosen, shown, times) for config in plan.singles.values()]
    reference = _together(singles, chosen)
    means = {metric.key: found.mean for metric in shown if (found := reference.figure(metric)) is not None}
    first, *others = (against(row, means) for row in (reference, *rows))
    return Comparison(tuple(chosen), tuple(shown), first, tuple(others), plan.configs[0].data.size[0])


def _row(
    plan: Plan, config: Config, chosen: Sequence[Metric], shown: Sequence[Metric], times: Mapping[str, StepTime]
) -> Row:
    return Row(
        name=config.name,
        hash=config.hash,
        tasks=tuple(config.tasks),
        outcomes=tuple(_outcome(plan, plan.run_of(config, seed), shown) for seed in range(plan.seeds)),
        parameters=parameters_of(config),
        grows=config.growth is not None,
        step_time=times.get(config.hash),
        metrics=tuple(metric for metric in chosen if metric.task in config.tasks),
        doubts=plan.doubts_of(config),
        differences=differences(config, plan.singles),
    )


def _outcome(plan: Plan, planned: Planned, shown: Sequence[Metric]) -> Outcome:
    folder, seed, config = planned.run.folder, planned.config.seed, planned.config
    if folder in plan.failures:
        return Outcome(folder.name, seed, "failed", reason=plan.failures[folder])
    if folder not in plan.metrics:
        return Outcome(folder.name, seed, "missing")
    if config.growth is not None and folder not in plan.parameters:
        plan.parameters[folder] = measured_parameters(config, planned.run)
    figures = values_of(plan.metrics[folder], shown)
    frames = tuple(left_out(plan.metrics[folder]))
    return Outcome(folder.name, seed, "done", figures, parameters=plan.parameters.get(folder), left_out=frames)


def _together(singles: Sequence[Row], chosen: Sequence[Metric]) -> Row:
    """The single-task networks as one row: metrics of each task from its own, parameters and step times added up."""
    outcomes = []
    for parts in zip(*(row.outcomes for row in singles), strict=True):
        values = {key: value for part in parts for key, value in part.values.items()}
        worst = next((part for part in parts if part.status == "failed"), None)
        worst = worst or next((part for part in parts if part.status == "missing"), parts[0])
        frames = tuple(dict.fromkeys(one for part in parts for one in part.left_out))
        outcomes.append(Outcome(worst.run, parts[0].seed, worst.status, values, worst.reason, left_out=frames))
    times = [row.step_time for row in singles if row.step_time is not None]
    added = None
    if len(times) == len(singles):
        relative, seconds = sum(one.relative for one in times), sum(one.seconds for one in times)
        added = StepTime(relative, seconds, seconds / relative)
    return Row(
        name=REFERENCE,
        hash="",
        tasks=tuple(task for row in singles for task in row.tasks),
        outcomes=tuple(outcomes),
        parameters=sum(row.parameters for row in singles),
        step_time=added,
        metrics=tuple(chosen),
        doubts=tuple(dict.fromkeys(doubt for row in singles for doubt in row.doubts)),
    )
