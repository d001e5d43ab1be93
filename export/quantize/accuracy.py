"""Exported models side by side on labelled frames: their figures, how far they are from the first, their latency."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from advmtl.config import Config
from advmtl.data.batch import Sample, collate
from advmtl.data.loading import val_loaders
from advmtl.evaluation.evaluate import Meters
from export.convert.parity import ParityError
from export.graph.metadata import CLASSES, DEPTH, OFFSETS
from export.session.faults import fault_of
from export.session.latency import Latency, summarise
from export.session.session import Session, unpack
from preprocessing.ground import progress


@dataclass(frozen=True)
class Figures:
    """One model on a set of frames; None where it has no such output or the frames no such label.

    miou, abs_rel, offset_rmse_px: as `evaluate` measures them, at the network's size. Against the first of the models:
    class_agreement, the share of pixels of the same class; depth_mean_relative and depth_worst_relative, mean of
    |Z − Z₀| / Z₀ over all frames and over the frame where it is largest; offset_mean_px. latency: of the network alone,
    in turn with the others. cpu_ms: median of the processor time of all its threads, which a busy machine does not
    lengthen.
    """

    frames: int
    miou: float | None
    abs_rel: float | None
    class_agreement: float | None
    depth_mean_relative: float | None
    depth_worst_relative: float | None
    offset_mean_px: float | None
    latency: Latency
    cpu_ms: float
    evaluation: dict[str, Any]
    offset_rmse_px: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Tally:
    """What is counted of one model, frame by frame."""

    def __init__(self, config: Config) -> None:
        self.meters = Meters(config.data.classes, config.depth.max_m)
        self.agreements: list[float] = []
        self.depths: list[float] = []
        self.offsets: list[float] = []
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def add(self, outputs: Mapping[str, NDArray], reference: Mapping[str, NDArray], sample: Sample) -> None:
        """Count one frame's outputs, as `Deployable` gives them, beside those of the reference."""
        self.meters.update(_as_maps(outputs, self.meters.segmentation.num_classes), collate([sample]))
        if CLASSES in outputs:
            self.agreements.append(float(np.mean(outputs[CLASSES] == reference[CLASSES])))
        if DEPTH in outputs:
            wanted = reference[DEPTH].astype(np.float64)
            self.depths.append(float(np.mean(np.abs(outputs[DEPTH] - wanted) / wanted)))
        if OFFSETS in outputs:
            wanted = reference[OFFSETS].astype(np.float64)
            self.offsets.append(float(np.mean(np.abs(outputs[OFFSETS] - wanted))))

    def figures(self) -> Figures:
        """The figures of all frames so far."""
        evaluation = self.meters.compute()
        return Figures(
            frames=len(self.seconds),
            miou=evaluation.get("segmentation", {}).get("miou"),
            abs_rel=_finite(evaluation.get("depth", {}).get("abs_rel")),
            class_agreement=_mean(self.agreements),
            depth_mean_relative=_mean(self.depths),
            depth_worst_relative=_finite(max(self.depths, default=None)),
            offset_mean_px=_mean(self.offsets),
            latency=summarise(self.seconds),
            cpu_ms=round(1e3 * float(np.median(self.cpu_seconds)), 3),
            evaluation=evaluation,
            offset_rmse_px=_finite(evaluation.get("instance", {}).get("offset_rmse_px")),
        )


def _mean(values: list[float]) -> float | None:
    return _finite(float(np.mean(values))) if values else None


def _finite(value: float | None) -> float | None:
    """JSON has no NaN, and a model that gives one has no figure."""
    return value if value is not None and math.isfinite(value) else None


def _as_maps(outputs: Mapping[str, NDArray], classes: int) -> dict[str, Tensor]:
    """A session's outputs as the maps that `Meters` takes; a class stands for logits with a single 1."""
    maps: dict[str, Tensor] = {}
    if CLASSES in outputs:
        maps["segmentation"] = F.one_hot(torch.from_numpy(outputs[CLASSES]).long(), classes).permute(0, 3, 1, 2)
    if DEPTH in outputs:
        maps["depth"] = torch.from_numpy(outputs[DEPTH])[:, None]
    if OFFSETS in outputs:
        maps["instance"] = torch.from_numpy(outputs[OFFSETS])
    return maps


def validation_samples(config: Config, size: tuple[int, int]) -> list[Any]:
    """Datasets over the run's validation sources, whole frames at `size` (width, height) in the place of the size that
    a source has in training: an exported network has only one.
    """
    sources = [source.model_copy(update={"size": size}) for source in config.data.val]
    uncached = config.model_copy(update={"data": config.data.model_copy(update={"cache_mb": 0})})
    return [loader.dataset for _, loader in val_loaders(uncached, sources)]


def compare_models(
    sessions: Mapping[str, Session], samples: Iterable[Sample], config: Config, total: int | None = None
) -> dict[str, Figures]:
    """Run every frame through every model, in turn, so that a busy moment of the machine meets all of them.

    The first session is the one that the others are held against. Frames that cannot be read are left out.
    Raises: ParityError where a model gives numbers that are not finite.
    """
    tallies = {name: Tally(config) for name in sessions}
    first = next(iter(sessions))
    with progress("compare", total) as bar:
        for number, sample in enumerate(samples):
            bar.advance()
            if sample.fault is not None:
                continue
            image = np.ascontiguousarray(sample.image)[None]
            if not number:
                for session in sessions.values():
                    session.network(image)  # the first call allocates
            outputs = {}
            for name, session in sessions.items():
                start, cpu = time.perf_counter(), time.process_time()
                outputs[name] = session.network(image)
                tallies[name].seconds.append(time.perf_counter() - start)
                tallies[name].cpu_seconds.append(time.process_time() - cpu)
                if fault := fault_of(unpack(outputs[name])):
                    raise ParityError(f"{name} on {sample.record.name}: {fault}; the model is broken")
            for name, tally in tallies.items():
                tally.add(outputs[name], outputs[first], sample)
    return {name: tally.figures() for name, tally in tallies.items()}
