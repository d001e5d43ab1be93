"""`mamo` on the command line: it grows, and what has grown is evaluated and drawn."""

import json
from pathlib import Path

import numpy as np
from command_line import advmtl
from growing_runs import opposed_objectives

from advmtl.config.growth import detection_of
from advmtl.drawing.growth import draw_growth
from advmtl.training.checkpoint import load_generator, recorded_growth
from preprocessing.ground.files import read_image

SMALL = [
    *("encoder.weights=null", "encoder.width=0.5", "generator.channels=8", "generator.crp_stages=1"),
    *("perceptual.weights=null", "tasks.segmentation.losses.perceptual=0", "tasks.depth.losses.perceptual=0"),
    *("data.size=64x32", "data.batch_size=2", "data.workers=0", "train.epochs=1", "train.log_every=1"),
    *("growth.start_step=0", "growth.every_steps=3", "growth.accumulate_steps=3", "growth.detections=1"),
]


def succeeding(*arguments: object) -> str:
    """What a command says that must not fail."""
    result = advmtl(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_mamo_grows_and_is_evaluated_and_drawn(streets: Path, tmp_path: Path) -> None:
    run, panels = tmp_path / "mamo", tmp_path / "panels"
    with opposed_objectives():
        said = succeeding("train", "mamo", "--data", f"cityscapes:{streets}", "--out", run, *SMALL)
    assert "grew at step 3: segmentation~depth at stage 4 " in said and "did not grow" not in said
    growth, (generator, _) = recorded_growth(run / "checkpoints" / "best.pt"), load_generator(run)
    assert growth["architecture"]
    size = sum(p.numel() for p in generator.parameters())
    assert size == growth["history"][0]["parameters"]
    held = f"best.pt holds detection 1: {size / 1e6:.3f} M parameters"
    drawn = draw_growth([detection_of(row) for row in growth["history"]], held)
    assert np.array_equal(read_image(run / "growth.png"), drawn)

    again = tmp_path / "again.json"
    succeeding("evaluate", run, "--data", f"cityscapes:{streets}:val", "--out", again)
    assert json.loads(again.read_text()) == json.loads((run / "evaluation.json").read_text())
    succeeding("predict", run, f"cityscapes:{streets}:val", "--out", panels, "--raw")
    assert len(list(panels.glob("*_classes.png"))) == len(list(panels.glob("*_depth.png"))) == 3
