"""Measuring a generator on validation sources, and the constant prediction it has to beat."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.data.batch import Batch
from advmtl.data.frames import BadFrame
from advmtl.distributed import SINGLE, Processes
from advmtl.evaluation.distance_bands import DistanceBands
from advmtl.evaluation.edges import BoundaryIoU, DepthEdges
from advmtl.evaluation.faults import leave_out_faults
from advmtl.evaluation.frame_metrics import Observer
from advmtl.evaluation.metrics import DepthMetrics, SegmentationMetrics
from advmtl.evaluation.panoptic import InstanceMetrics
from preprocessing.ground import progress

NamedLoader = tuple[str, Any]  # (source name, DataLoader of Batch)


class Meters:
    """All figures of one source, or of several once merged."""

    def __init__(self, label_set: str, max_m: float) -> None:
        self.segmentation = SegmentationMetrics(label_set)
        self.boundary = BoundaryIoU(label_set)
        self.depth = DepthMetrics(max_m)
        self.edges = DepthEdges(max_m)
        self.bands = DistanceBands(max_m)
        self.instance = InstanceMetrics(label_set)

    def update(self, outputs: Mapping[str, Tensor], batch: Batch) -> None:
        """Add a batch: "segmentation" logits `[N,K,H,W]`, "depth" metres `[N,1,H,W]`, "instance" offsets [px]
        `[N,2,H,W]`; frames without the label add nothing.
        """
        labelled = sum(batch.present["segmentation"])
        if "segmentation" in outputs and labelled:
            target = batch.targets["segmentation"]
            classes = outputs["segmentation"].argmax(dim=1)
            self.segmentation.update(classes, target, labelled)
            self.boundary.update(classes, target)
        measured = sum(batch.present["depth"])
        if "depth" in outputs and measured:
            depth, target = outputs["depth"].float(), batch.targets["depth"]
            self.depth.update(depth, target, frames=measured)
            self.edges.update(depth, target)
            self.bands.update(depth, target)
        told_apart = sum(batch.present.get("instance", []))
        if "instance" in outputs and told_apart:
            # Without classes, as in a network of this task alone, only the offsets can be measured.
            known = outputs["segmentation"].argmax(dim=1) if "segmentation" in outputs else None
            self.instance.update(outputs["instance"].float(), batch.targets["instance"], known, told_apart)

    def merge(self, other: "Meters") -> None:
        """Add what another source has counted, pixel by pixel."""
        self.segmentation.merge(other.segmentation)
        self.boundary.merge(other.boundary)
        self.depth.merge(other.depth)
        self.edges.merge(other.edges)
        self.bands.merge(other.bands)
        self.instance.merge(other.instance)

    def whole(self, processes: Processes) -> "Meters":
        """What all processes have counted, in their order, so that the sums are the same bits on each."""
        if processes.count == 1:
            return self
        first, *others = processes.gather(self)
        for other in others:
            first.merge(other)
        return first

    def compute(self) -> dict[str, dict[str, Any]]:
        """Figures nested by task, without the tasks that no pixel had a label for."""
        result = {
            "segmentation": {**self.segmentation.compute(), **self.boundary.compute()},
            "depth": {**self.depth.compute(), **self.edges.compute(), "bands": self.bands.compute()},
            "instance": self.instance.compute(),
        }
        counted = {"segmentation": "pixel_accuracy", "depth": "abs_rel", "instance": "offset_rmse_px"}
        return {task: figures for task, figures in result.items() if figures.get(counted[task]) is not None}


def evaluate(
    generator: nn.Module,
    loaders: Sequence[NamedLoader],
    config: Config,
    device: torch.device | str = "cpu",
    autocast: torch.dtype | None = None,
    observers: Sequence[Observer] = (),
    processes: Processes = SINGLE,
) -> dict[str, Any]:
    """Measure `generator` on every source, at the network's size, and on all sources together.

    Args:
        generator: image `[N,3,H,W]`, normalised -> {"segmentation": logits `[N,K,H,W]`, "depth": metres
            `[N,1,H,W]`, "instance": offsets [px] `[N,2,H,W]`} or some of them. In evaluation mode meanwhile, in its
            former mode afterwards.
        loaders: (name, DataLoader) as `data.val_loaders` gives them: whole frames, true depth not clipped.
        config: names the label set, and the depth beyond which the truth does not count.
        autocast: precision of the forward pass, None = float32.
        observers: are shown every batch too, e.g. `frame_figures.FrameFigures`.
        processes: with more than one, `loaders` have this one's share, and all get the figures of the whole.

    Returns: {"segmentation": {...}, "depth": {...}, "instance": {...}, "sources": {name: the same} where there are
        several, "skipped": [{"name", "reason"}] where frames could not be read or the
        network gave numbers for them that are not finite}; JSON-able, None where a figure is
        undefined. Units: `metrics.UNITS`.
    """
    total = Meters(config.data.classes, config.depth.max_m)
    sources: dict[str, Any] = {}
    skipped: list[BadFrame] = []
    batches = sum(len(loader) for _, loader in loaders)
    with evaluating(generator), progress("evaluate", batches, "batches") as bar:
        for name, loader in loaders:
            meters = Meters(config.data.classes, config.depth.max_m)
            for batch in loader:
                batch = batch.to(device)
                outputs, batch = leave_out_faults(_forward(generator, batch.image, autocast), batch)
                skipped += batch.skipped
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
        skipped += [frame for _, loader in loaders for frame in getattr(loader.dataset, "bad_frames", [])]
    result: dict[str, Any] = {**total.compute(), "measured_on": list(sources)}
    if len(sources) > 1:
        result["sources"] = sources
    if skipped:
        result["skipped"] = [{"name": frame.name, "reason": frame.reason} for frame in skipped]
    return result


def _forward(generator: nn.Module, image: Tensor, autocast: torch.dtype | None) -> Mapping[str, Tensor]:
    with torch.autocast(image.device.type, dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        outputs: Mapping[str, Tensor] = generator(image.contiguous(memory_format=torch.channels_last))
    return outputs


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
