"""Evaluating a generator on validation sources, and the constant prediction as baseline."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.data import BadFrame, Batch, NamedLoader, val_loaders
from advmtl.distributed import SINGLE, Processes
from advmtl.evaluation.faults import leave_out_faults
from advmtl.evaluation.frame_metrics import Observer
from advmtl.evaluation.manner import PLAIN, Manner
from advmtl.evaluation.views import maps_of
from advmtl.tasks import TASKS, Meter, Task, TaskSpec
from preprocessing.ground import InputError, progress


class Meters:
    """All metrics of one source, or of several once merged.

    `protocols`: those of the tasks that are measured too. Raises: InputError where no task has one of that name.
    """

    def __init__(self, spec: TaskSpec, tasks: Mapping[str, Task] = TASKS, protocols: Sequence[str] = ()) -> None:
        self.meters = {name: task.learning.meter(spec) for name, task in tasks.items()}
        self.protocols: dict[str, dict[str, Meter]] = {}
        for protocol in protocols:
            for name in _with_protocol(protocol, tasks):
                own = self.protocols.setdefault(name, {})
                own[protocol] = tasks[name].learning.protocols[protocol](spec)

    def update(self, outputs: Mapping[str, Tensor], batch: Batch) -> None:
        """Add a batch of the generator's maps by task; frames without the label add nothing."""
        for name, meter in self.meters.items():
            labelled = sum(batch.present.get(name, []))
            if name in outputs and labelled:
                for one in (meter, *self.protocols.get(name, {}).values()):
                    one.update(outputs, batch.targets, labelled)

    def merge(self, other: "Meters") -> None:
        """Add the counts of another source."""
        for name, meter in self.meters.items():
            meter.merge(other.meters[name])
        for name, own in self.protocols.items():
            for protocol, meter in own.items():
                meter.merge(other.protocols[name][protocol])

    def whole(self, processes: Processes) -> "Meters":
        """The counts of all processes, in their order, so that the sums are the same bits on each."""
        if processes.count == 1:
            return self
        first, *others = processes.gather(self)
        for other in others:
            first.merge(other)
        return first

    def compute(self) -> dict[str, dict[str, Any]]:
        """Metrics nested by task, without the tasks that no pixel had a label for."""
        result = {name: meter.compute() for name, meter in self.meters.items()}
        for name, own in self.protocols.items():
            if result[name]:
                result[name]["protocols"] = {protocol: meter.compute() for protocol, meter in own.items()}
        return {name: figures for name, figures in result.items() if figures}


def _with_protocol(protocol: str, tasks: Mapping[str, Task]) -> list[str]:
    found = [name for name, task in tasks.items() if protocol in task.learning.protocols]
    if not found:
        known = {one for task in tasks.values() for one in task.learning.protocols}
        close = difflib.get_close_matches(protocol, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known)) or 'none'}"
        raise InputError(f"protocol {protocol!r}: no task is measured so; {hint}")
    return found


def evaluate(
    generator: nn.Module,
    loaders: Sequence[NamedLoader],
    config: Config,
    device: torch.device | str = "cpu",
    autocast: torch.dtype | None = None,
    observers: Sequence[Observer] = (),
    processes: Processes = SINGLE,
    tasks: Mapping[str, Task] = TASKS,
    manner: Manner = PLAIN,
    *,
    of_a_lens: bool = True,
) -> dict[str, Any]:
    """Measure `generator` on every source, at the size of the loaders' targets, and on all sources together.

    Args:
        generator: image `[N,3,H,W]`, normalised -> maps by task, of some of `tasks`. In evaluation mode meanwhile, in
            its former mode afterwards.
        loaders: (name, DataLoader) as `data.val_loaders` gives them: whole frames, true depth not clipped.
        config: its `spec` names the label set, and the depth beyond which the truth does not count.
        autocast: precision of the forward pass, None = float32.
        observers: get every batch too, e.g. `frame_metrics.FrameMetrics`.
        processes: with more than one, `loaders` have this one's share, and all get the metrics of the whole.
        tasks: which can be measured.
        manner: views that are averaged, and protocols. What sizes there are is the loaders', `val_loaders(…,
            presentation=manner.presentation)`.
        of_a_lens: whether what the generator says of a picture changes with the lens; False: of a constant.

    Returns: {task: {...}, "measured_on": the sources, "measured_as": `Manner.stated` and the sizes that there were,
        "sources": {name: the same figures} where there are several, "skipped": [{"name", "reason"}] where frames could
        not be read or the network gave numbers for them that are not finite}; JSON-able, None where a metric is
        undefined. Units: the tasks' `figures`.
    """
    total = Meters(config.spec, tasks, manner.protocols)
    sources: dict[str, Any] = {}
    skipped: list[BadFrame] = []
    sizes: set[tuple[str, str]] = set()
    batches = sum(len(loader) for _, loader in loaders)
    with evaluating(generator), progress("evaluate", batches, "batches") as bar:
        for name, loader in loaders:
            meters = Meters(config.spec, tasks, manner.protocols)
            for batch in loader:
                batch = batch.to(device)
                batch = batch if of_a_lens else replace(batch, zoom=1.0)
                with torch.autocast(batch.image.device.type, autocast or torch.bfloat16, autocast is not None):
                    outputs = maps_of(generator, batch, manner, tasks, config.spec)
                outputs, batch = leave_out_faults(outputs, batch, config.spec, tasks)
                skipped += batch.skipped
                sizes.add((_size(batch.image), _size(next(iter(outputs.values()), batch.image))))
                meters.update(outputs, batch)
                for observer in observers:
                    observer.update(outputs, batch, name)
                bar.advance(1)
            meters = meters.whole(processes)
            sources[_unused(name, sources)] = meters.compute()
            total.merge(meters)
        for observer in observers:
            observer.whole(processes.gather)
        skipped = [frame for part in processes.gather(skipped) for frame in part]
        skipped += [frame for _, loader in loaders for frame in loader.dataset.bad_frames]
    pairs = [pair for part in processes.gather(sizes) for pair in part]
    shown, compared = (sorted({pair[place] for pair in pairs}) for place in (0, 1))
    stated = {**manner.stated(), "shown_at": shown, "compared_at": compared}
    result: dict[str, Any] = {**total.compute(), "measured_on": list(sources), "measured_as": stated}
    if len(sources) > 1:
        result["sources"] = sources
    if skipped:
        result["skipped"] = [{"name": frame.name, "reason": frame.reason} for frame in skipped]
    return result


def _size(maps: Tensor) -> str:
    return f"{maps.shape[-1]}x{maps.shape[-2]}"


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    return name if name not in taken else f"{name}#{sum(key.startswith(name) for key in taken) + 1}"


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode and no autograd inside; afterwards every submodule's former mode (some are frozen)."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def constant_baselines(
    config: Config, loaders: Sequence[NamedLoader], tasks: Mapping[str, Task] = TASKS
) -> dict[str, dict[str, dict[str, Any]]]:
    """By task and name, what predicting a constant of the training frames (not augmented) scores on `loaders`.

    Returns: {task: {"mean": {what the constant is, metrics}, …}}, of the configured tasks that have such a constant.
    Raises: InputError where no training frame has the label.
    """
    result = {}
    for name, task in tasks.items():
        if name not in config.tasks:
            continue
        constants = task.learning.constants(_training_targets(config, name), config.spec)
        found = {
            kind: {
                **one.facts,
                **evaluate(one.network, loaders, config, tasks=tasks, of_a_lens=False).get(name, {}),
            }
            for kind, one in constants.items()
        }
        if found:
            result[name] = found
    return result


def _training_targets(config: Config, task: str) -> Iterator[Tensor]:
    for _, loader in val_loaders(config, config.data.train, "train"):
        for batch in loader:
            yield batch.targets[task]
