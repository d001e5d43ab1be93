"""Exported models side by side on labelled frames: metrics, latency, and the accepted accuracy drop."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from advmtl.config import Config
from advmtl.data import Sample, collate, val_loaders
from advmtl.evaluation import Meters
from advmtl.tasks import TASKS, Figure, PrecisionLoss, Task
from export.convert import ParityError, differences, outputs_of, told_zoom
from export.session import Latency, Session, fault_of, summarise, unpack
from preprocessing.ground import progress


@dataclass(frozen=True)
class Deviation:
    """How far one output is from the first model's, `parity.differences` averaged over all frames, and over the frame
    where it is largest; None where it is not finite.
    """

    mean: float | None
    worst_frame: float | None


@dataclass(frozen=True)
class ModelMetrics:
    """One model on a set of frames.

    Attributes:
        evaluation: by task, as `evaluate` measures them, at the network's size; without tasks that the model or the
            frames lack.
        outputs: by name, how far they are from the first of the models.
        latency: of the network alone, in turn with the others.
        cpu_ms: median of the processor time of all its threads, which a busy machine does not lengthen.
    """

    frames: int
    evaluation: Mapping[str, Any]
    outputs: Mapping[str, Deviation]
    latency: Latency
    cpu_ms: float

    def figure(self, task: str, name: str) -> float | None:
        """One metric of the evaluation; None where it was not measured or is not finite."""
        return _finite(self.evaluation.get(task, {}).get(name))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Tally:
    """The sums of one model over frames."""

    def __init__(self, config: Config) -> None:
        self.spec, self.tasks = config.spec, config.task_table
        self.meters = Meters(self.spec, self.tasks)
        self.differences: dict[str, list[float]] = {}
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def add(self, outputs: Mapping[str, NDArray], reference: Mapping[str, NDArray], sample: Sample) -> None:
        """Count one frame's outputs, as `Deployable` gives them, beside those of the reference."""
        deployed = {name: torch.from_numpy(values) for name, values in outputs.items()}
        maps = {
            name: task.learning.from_deployed(deployed, self.spec)
            for name, task in self.tasks.items()
            if all(one.name in deployed for one in task.arrays.outputs)
        }
        self.meters.update(maps, collate([sample], self.tasks, self.spec))
        for name, output in outputs_of(self.tasks).items():
            if name in outputs:
                found = differences(output.comparison, outputs[name], reference[name])
                self.differences.setdefault(name, []).append(float(np.mean(found)))

    def metrics(self) -> ModelMetrics:
        """The metrics of all frames so far."""
        return ModelMetrics(
            frames=len(self.seconds),
            evaluation=self.meters.compute(),
            outputs={
                name: Deviation(_finite(float(np.mean(values))), _finite(max(values)))
                for name, values in self.differences.items()
            },
            latency=summarise(self.seconds),
            cpu_ms=round(1e3 * float(np.median(self.cpu_seconds)), 3),
        )


def _finite(value: float | None) -> float | None:
    """None instead of NaN, which JSON does not have."""
    return value if value is not None and math.isfinite(value) else None


def validation_samples(config: Config, size: tuple[int, int]) -> list[Any]:
    """Datasets over the run's validation sources, whole frames at `size` (width, height) in the place of the size that
    a source has in training: an exported network has only one.
    """
    sources = [source.model_copy(update={"size": size}) for source in config.data.val]
    uncached = config.model_copy(update={"data": config.data.model_copy(update={"cache_mb": 0})})
    return [loader.dataset for _, loader in val_loaders(uncached, sources)]


def compare_models(
    sessions: Mapping[str, Session], samples: Iterable[Sample], config: Config, total: int | None = None
) -> dict[str, ModelMetrics]:
    """Run every frame through every model, in turn, so that load on the machine affects all alike.

    The first session is the one that the others are held against. Frames that cannot be read are left out.
    Raises: ParityError where a model gives numbers that are not finite.
    """
    tallies = {name: Tally(config) for name in sessions}
    first = next(iter(sessions))
    with progress("compare", total) as bar:
        for sample in samples:
            bar.advance()
            if sample.fault is not None:
                continue
            image = np.ascontiguousarray(sample.image)[None]
            zoom = told_zoom(sample.record, sample.zoom, config)
            if not tallies[first].seconds:
                for session in sessions.values():
                    session.network(image)  # the first call allocates
            outputs = {}
            for name, session in sessions.items():
                start, cpu = time.perf_counter(), time.process_time()
                outputs[name] = session.infer(image, zoom)
                tallies[name].seconds.append(time.perf_counter() - start)
                tallies[name].cpu_seconds.append(time.process_time() - cpu)
                if fault := fault_of(unpack(outputs[name]), session.metadata.sky):
                    raise ParityError(f"{name} on {sample.record.name}: {fault}; the model is broken")
            for name, tally in tallies.items():
                tally.add(outputs[name], outputs[first], sample)
    return {name: tally.metrics() for name, tally in tallies.items()}


_ROUNDING = 1e-9  # of the subtraction: a loss of exactly the bound holds it


@dataclass(frozen=True)
class Bounds:
    """Largest losses against float32.

    Attributes:
        losses: by metric, in the unit of the task's `lower_precision`; others have the bound declared there.
        half_agreement: for fp16, the least share of pixels with the same class.
        factor: what all losses are multiplied by.
    """

    losses: Mapping[str, float] = field(default_factory=dict)
    half_agreement: float = 0.995
    factor: float = 1.0

    def scaled(self, by: float) -> "Bounds":
        """These bounds with all losses multiplied; the agreement stays."""
        return replace(self, factor=by * self.factor)

    def of(self, declared: PrecisionLoss) -> float:
        """The bound of a task's metric."""
        return self.factor * self.losses.get(declared.figure, declared.bound)


@dataclass(frozen=True)
class Lost:
    """The loss of a task's metric: points of 100 or percent of its value, negative where it is better; None where it
    was measured of float32 alone.
    """

    figure: Figure
    declared: PrecisionLoss
    value: float | None

    @property
    def unit(self) -> str:
        """As in a text."""
        return "points" if self.declared.kind == "points" else "%"

    @property
    def verb(self) -> str:
        """Which way is worse."""
        return "falls" if self.figure.higher_is_better else "grows"


def losses(reference: ModelMetrics, ours: ModelMetrics, tasks: Mapping[str, Task] = TASKS) -> dict[str, Lost]:
    """By task, of those whose metric float32 has."""
    found = {}
    for name, task in tasks.items():
        declared = task.learning.lower_precision
        before = None if declared is None else reference.figure(name, declared.figure)
        if declared is None or before is None:
            continue
        figure = next(one for one in task.learning.figures if one.name == declared.figure)
        found[name] = Lost(figure, declared, _loss(figure, declared, before, ours.figure(name, declared.figure)))
    return found


def _loss(figure: Figure, declared: PrecisionLoss, before: float, after: float | None) -> float | None:
    if after is None or (declared.kind == "percent" and not before):
        return None
    worse = before - after if figure.higher_is_better else after - before
    if declared.kind == "points":
        return 100 * worse
    grown = 100 * (after / before - 1)
    return -grown if figure.higher_is_better else grown


def accuracy_drop(
    precision: str, reference: ModelMetrics, ours: ModelMetrics, bounds: Bounds, tasks: Mapping[str, Task] = TASKS
) -> str | None:
    """The first bound that does not hold, in words; None where all hold.

    A metric that float32 has and the model has not (its depth is not finite) is a shortfall. So is having nothing to
    measure by: validation data without any label.
    """
    found = losses(reference, ours, tasks)
    if not found:
        return "its loss cannot be measured: no validation frame has a label"
    for lost in found.values():
        bound = bounds.of(lost.declared)
        if lost.value is None or not lost.value <= bound + _ROUNDING:
            value = "no number (not finite)" if lost.value is None else f"{lost.value:.2f}"
            share = " %" if lost.unit == "%" else ""
            return f"{lost.figure.title} {lost.verb} by {value} {lost.unit}, the bound is {bound:g}{share}"
    if precision != "fp16":
        return None
    for task in tasks.values():
        output = ours.outputs.get(task.learning.arg_max or "")
        if output is not None and (output.mean is None or 1 - output.mean < bounds.half_agreement):
            agreement = "no number" if output.mean is None else f"{1 - output.mean:.2%}"
            return f"{task.learning.arg_max} agree on {agreement} of pixels, the bound is {bounds.half_agreement:.1%}"
    return None
