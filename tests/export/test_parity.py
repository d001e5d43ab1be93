from pathlib import Path

import numpy as np
import pytest
import torch
from standins import make_frame, make_generator

from export.convert.parity import Difference, ParityError, ParityReport, check_parity, compare
from preprocessing.ground.errors import InputError


def outputs(classes: list[int], depth: list[float]) -> dict[str, np.ndarray]:
    return {
        "classes": np.array([[classes]], dtype=np.uint8),
        "depth_m": np.array([[depth]], dtype=np.float32),
    }


def test_figures_by_hand() -> None:
    """Frame 1: 3 of 4 classes agree, depth off by 0, 1/2, 0, 0; frame 2: all agree, off by 1/4 at one of 4.

    Agreement 7/8, mean error (1/2 + 1/4) / 8 = 0.09375, largest 1/2. The 99.9th percentile of eight sorted
    values lies at place 0.999 * 7 = 6.993: 1/4 + 0.993 * (1/2 - 1/4) = 0.49825.
    """
    pairs = [
        (outputs([0, 1, 2, 3], [1, 3, 4, 8]), outputs([0, 1, 2, 2], [1, 2, 4, 8])),
        (outputs([1, 1, 1, 1], [3, 4, 4, 4]), outputs([1, 1, 1, 1], [4, 4, 4, 4])),
    ]
    report = compare(pairs)
    assert report.frames == 2 and report.outputs["classes"].measured == 0.875
    assert report.outputs["depth_m"] == Difference("relative", 0.001, 0.09375, pytest.approx(0.49825), 0.5)


@pytest.mark.parametrize(
    ("agreement", "worst", "holds"),
    [
        (1.0, 0.0, True),
        (0.999, 0.001, True),
        (0.9989, 0.0, False),
        (1.0, 0.0011, False),
        (None, 0.0011, False),
    ],
)
def test_bounds(agreement: float | None, worst: float, holds: bool) -> None:
    outputs = {"depth_m": Difference("relative", 0.001, 0.0, 0.0, worst)}
    if agreement is not None:
        outputs["classes"] = Difference("agreement", 0.999, 1 - agreement, 0.0, 1.0)
    assert (ParityReport(1, outputs).shortfall() is None) == holds


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_depth_that_is_not_finite_fails_on_either_side(value: float) -> None:
    good, bad = outputs([0, 0], [1, 2]), outputs([0, 0], [1, value])
    for pair in ((good, bad), (bad, good), (bad, bad)):
        with pytest.raises(ParityError, match="not finite on frame 1"):
            compare([(good, good), pair])


def test_without_frames() -> None:
    with pytest.raises(InputError, match="no frames"):
        compare([])


def test_checkpoint_and_file(model_path: Path) -> None:
    frames = [make_frame(i, size) for i, size in enumerate([(160, 96), (333, 201), (80, 60)])]
    report = check_parity(make_generator(), model_path, frames)
    assert report.frames == 3
    assert report.outputs["classes"].measured >= 0.999 and report.outputs["depth_m"].largest < 1e-4
    with pytest.raises(ParityError, match="parity: "):
        check_parity(make_generator(seed=5), model_path, frames)


def test_a_small_change_of_one_weight_is_noticed(model_path: Path) -> None:
    generator = make_generator()
    with torch.no_grad():
        generator.heads["depth"].bias += 0.01
    with pytest.raises(ParityError, match="depth_m differs by up to"):
        check_parity(generator, model_path, [make_frame(0)])
