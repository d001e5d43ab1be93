"""What of a run's growth is in its best state, which evaluation and export use."""

from pathlib import Path

from advmtl.config.detection import detection_of
from advmtl.drawing.growth import held_text
from advmtl.training.checkpoint import recorded_growth
from preprocessing.ground import InputError


def best_growth(run: Path) -> str:
    """A line about the best checkpoint of a run folder that grows; empty where it cannot be read."""
    try:
        growth = recorded_growth(run / "checkpoints" / "best.pt")
    except InputError:  # who uses it says why
        return ""
    return held_text([detection_of(row) for row in growth["history"]])
