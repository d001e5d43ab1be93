"""Figures of every single frame, for ranking frames: which are worst, and is it one street or all."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from advmtl.data.batch import Batch
from advmtl.evaluation.metrics import MIN_DEPTH_M, depth_mask, iou_per_class, mean_or_none
from preprocessing.ground import IGNORE, atomic_write, write_json

Gather = Callable[[Any], Sequence[Any]]


class Observer(Protocol):
    """What else looks at the outputs of an evaluation."""

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Add a batch of the named source; outputs as `evaluate` has them."""

    def whole(self, gather: Gather) -> None:
        """Take over what all processes have seen; `gather` gives each one's value, in their order."""


@dataclass
class FrameFigures:
    """mIoU, pixel accuracy, AbsRel, RMSE and δ1 of each frame.

    A frame's mIoU is over the classes in its truth or prediction, so its mean over frames is not the set's mIoU. All
    sums stay on the device until `compute`.
    """

    num_classes: int
    max_m: float = 80.0
    _parts: list[tuple[str, list[str], Mapping[str, list[bool]], dict[str, Tensor]]] = field(default_factory=list)

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Add a batch: logits `[N,K,H,W]`, metres `[N,1,H,W]`; frames without a task's label have no figure of it."""
        sums: dict[str, Tensor] = {}
        if "segmentation" in outputs and any(batch.present["segmentation"]):
            classes = outputs["segmentation"].argmax(dim=1)
            sums["segmentation"] = frame_confusions(classes, batch.targets["segmentation"], self.num_classes)
        if "depth" in outputs and any(batch.present["depth"]):
            sums["depth"] = frame_depth_sums(outputs["depth"].float(), batch.targets["depth"], self.max_m)
        if sums:
            self._parts.append((source, batch.names, batch.present, sums))

    def merge(self, other: "FrameFigures") -> None:
        """Add the frames of another one."""
        self._parts += other._parts

    def whole(self, gather: Gather) -> None:
        """Take over the frames of all processes."""
        self._parts = [part for parts in gather(self._parts) for part in parts]

    def compute(self) -> list[dict[str, Any]]:
        """One row a frame, by source and name; keys `source`, `frame` and the figures of its labels."""
        rows = []
        for source, names, present, sums in self._parts:
            values = {task: one.cpu().numpy() for task, one in sums.items()}  # host sync, after the last batch
            for number, name in enumerate(names):
                row: dict[str, Any] = {"source": source, "frame": name}
                if "segmentation" in values and present["segmentation"][number]:
                    row |= _class_figures(values["segmentation"][number])
                if "depth" in values and present["depth"][number]:
                    row |= _depth_figures(values["depth"][number])
                if len(row) > 2:
                    rows.append(row)
        return sorted(rows, key=lambda row: (row["source"], row["frame"]))


def frame_confusions(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count each frame's pixels by (true class, predicted class): ids `[N,H,W]`, 255 = ignore -> int64 `[N,K,K]`."""
    cells, frames = num_classes**2, len(target)
    # One bucket more a frame takes its ignored pixels.
    counted = torch.where(target == IGNORE, cells, target.long() * num_classes + prediction.long()).flatten(1)
    counts = torch.zeros(frames, cells + 1, dtype=torch.int64, device=target.device)
    counts.scatter_add_(1, counted, torch.ones_like(counted))
    return counts[:, :-1].view(frames, num_classes, num_classes)


def frame_depth_sums(prediction: Tensor, target: Tensor, max_m: float) -> Tensor:
    """Per frame the sums over valid pixels of 1, |p−g|/g, (p−g)² and δ < 1.25: float64 `[N,4]`, metres `[N,1,H,W]`."""
    mask = depth_mask(target, max_m)
    p = torch.where(mask, prediction, 1.0).double().clamp_min(MIN_DEPTH_M)
    g = torch.where(mask, target, 1.0).double()
    near = (torch.maximum(p / g, g / p) < 1.25) & mask
    terms = (mask.double(), (p - g).abs() / g, (p - g) ** 2, near.double())
    return torch.stack([term.flatten(1).sum(1) for term in terms], dim=1)


def _class_figures(confusion: Any) -> dict[str, Any]:
    total = float(confusion.sum())
    return {
        "miou": mean_or_none(iou_per_class(confusion)),
        "pixel_accuracy": float(np.trace(confusion)) / total if total else None,
    }


def _depth_figures(sums: Any) -> dict[str, Any]:
    count, relative, squares, near = (float(value) for value in sums)
    if not count:
        return {"abs_rel": None, "rmse_m": None, "delta1": None}
    return {"abs_rel": relative / count, "rmse_m": (squares / count) ** 0.5, "delta1": near / count}


def frames_file(evaluation: Path) -> Path:
    """Where the frames of an `evaluation.json` lie: `evaluation_frames.jsonl` beside it."""
    return evaluation.with_name(f"{evaluation.stem}_frames.jsonl")


def write_evaluation(path: Path, metrics: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]) -> None:
    """Write the figures of a set as JSON, and beside it those of its frames, one line each."""
    with atomic_write(frames_file(path)) as temporary:
        temporary.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in frames))
    write_json(path, metrics)
