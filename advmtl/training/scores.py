"""What a measurement comes to: one figure a task, the score that chooses the best state, one line to print."""

from collections.abc import Mapping
from typing import Any

from advmtl.config import Config
from advmtl.training.guards import LostDataError, lost


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """One figure per measured task, at most 1, more is better: mIoU, δ1, and for offsets 1 less the RMSE over that of
    predicting none.
    """
    keys = (("segmentation", "miou"), ("depth", "delta1"))
    found = {task: float(metrics[task][key]) for task, key in keys if metrics.get(task)}
    if metrics.get("instance"):
        offsets = metrics["instance"]
        found["instance"] = 1 - offsets["offset_rmse_px"] / max(offsets["zero_rmse_px"], 1e-6)
    return found


def score(metrics: Mapping[str, Any]) -> float:
    """What `best.pt` is chosen by: the mean over the measured tasks of their `figures`."""
    parts = figures(metrics).values()
    return sum(parts) / len(parts) if parts else float("-inf")


def headline(metrics: Mapping[str, Any]) -> str:
    """One line of the main figures, with units."""
    parts = []
    if metrics.get("segmentation"):
        parts.append(f"mIoU {metrics['segmentation']['miou']:.3f}")
    if metrics.get("depth"):
        depth = metrics["depth"]
        parts.append(f"AbsRel {depth['abs_rel']:.3f}, RMSE {depth['rmse_m']:.2f} m, δ1 {depth['delta1']:.3f}")
    if metrics.get("instance"):
        instance = metrics["instance"]
        quality = "" if instance.get("pq") is None else f", PQ {instance['pq']:.3f}"
        parts.append(f"offset RMSE {instance['offset_rmse_px']:.2f} px{quality}")
    return " · ".join(parts)


def checked(metrics: dict[str, Any], config: Config) -> dict[str, Any]:
    """The metrics themselves. Raises: LostDataError where nothing could be measured, as when the folder is gone."""
    if not figures(metrics):
        reason = next((frame["reason"] for frame in metrics.get("skipped", [])), "no label")
        raise LostDataError(lost(config, "val", "the validation sources", reason))
    return metrics
