"""The scale of depth and what is left without it, against NumPy and values derived by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from advmtl.tasks.depth.learning import LEARNING
from advmtl.tasks.depth.scale import DepthScale, RatioHistogram, frame_scale_sums, scale_doubt
from advmtl.tasks.spec import TaskSpec


def _maps(seed: int = 5) -> tuple[Tensor, Tensor]:
    """Five frames of 7x11 with holes, each with a scale of its own; depths of some are beyond 80 m."""
    generator = torch.Generator().manual_seed(seed)
    target = 2 + 88 * torch.rand(5, 1, 7, 11, generator=generator)
    noise = torch.exp(0.2 * torch.randn(5, 1, 7, 11, generator=generator))
    prediction = target * noise * torch.tensor([0.5, 0.6, 0.7, 1.4, 0.4]).view(5, 1, 1, 1)
    target[torch.rand(target.shape, generator=generator) < 0.3] = 0
    return prediction, target


def _lower_median(values: np.ndarray) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def test_a_set_all_too_near_by_one_factor_is_right_without_it() -> None:
    _, target = _maps()
    scale = DepthScale()
    scale.update(0.57 * target, target)
    found = scale.compute()
    assert found["scale"] == pytest.approx(0.57, rel=5e-4) and found["scale_frames"] == pytest.approx(0.57)
    assert found["scale_error"] == pytest.approx(1 / 0.57 - 1, rel=2e-3)  # as if 1.75 times too far: either way
    assert found["abs_rel_set_scaled"] < 5e-4 and found["rmse_set_scaled_m"] < 0.05
    assert found["abs_rel_frame_scaled"] == pytest.approx(0, abs=1e-6)
    assert found["delta1_set_scaled"] == found["delta1_frame_scaled"] == 1


def test_as_numpy_says() -> None:
    prediction, target = _maps()
    scale = DepthScale()
    scale.update(prediction[:2], target[:2])
    scale.update(prediction[2:], target[2:])
    found = scale.compute()
    p, g = prediction.double().numpy(), target.double().numpy()
    inside = (g > 1e-3) & (g < 80)
    ratio = np.where(inside, p / np.where(inside, g, 1), np.nan)
    whole = _lower_median(ratio[inside])
    frames = np.array([_lower_median(one[valid]) for one, valid in zip(ratio, inside, strict=True)])
    assert found["scale"] == pytest.approx(whole, rel=5e-4)
    assert [found[f"scale_frames{end}"] for end in ("_p10", "", "_p90")] == pytest.approx(
        np.quantile(frames, (0.1, 0.5, 0.9)).tolist()
    )
    for name, factor in (("set", found["scale"]), ("frame", frames.reshape(5, 1, 1, 1))):
        error = (p / factor - g)[inside]
        near = np.maximum(ratio / factor, factor / ratio)[inside] < 1.25
        assert found[f"abs_rel_{name}_scaled"] == pytest.approx((np.abs(error) / g[inside]).mean(), abs=5e-4)
        assert found[f"rmse_{name}_scaled_m"] == pytest.approx((error**2).mean() ** 0.5)
        assert found[f"delta1_{name}_scaled"] == pytest.approx(near.mean(), abs=0.01)


def test_merged_parts_are_the_whole_in_any_order() -> None:
    prediction, target = _maps()
    whole, one, other, empty = DepthScale(), DepthScale(), DepthScale(), DepthScale()
    whole.update(prediction, target)
    one.update(prediction[:2], target[:2])
    other.update(prediction[2:], target[2:])
    for part in (other, one, DepthScale()):
        empty.merge(part)
    assert empty.compute() == pytest.approx(whole.compute())


def test_a_perfect_prediction_has_exactly_no_scale_error() -> None:
    _, target = _maps()
    scale = DepthScale()
    scale.update(target, target)
    found = scale.compute()
    assert found["scale"] == 1 and found["scale_error"] == 0 and found["abs_rel_set_scaled"] == 0


def test_frames_without_truth_have_no_scale_and_sets_of_them_no_figures() -> None:
    prediction, target = _maps()
    target[3] = 0
    scale = DepthScale()
    scale.update(prediction, target)
    assert scale.compute()["scale_frames_p90"] < 1  # the frame of 1.4 does not count
    assert all(math.isfinite(value) for value in frame_scale_sums(prediction, target, 80.0).flatten().tolist())
    nothing = DepthScale()
    assert nothing.compute() == {}
    nothing.update(prediction, torch.zeros_like(target))
    assert set(nothing.compute().values()) == {None}
    row = LEARNING.frame_meter(TaskSpec()).figures(np.zeros(6))
    assert row["scale"] is None and row["abs_rel_frame_scaled"] is None


def test_histogram_rows_and_what_lies_beyond_its_reach() -> None:
    """Row 0: log ratios 0.5 and two far beyond e^4; row 1: −0.25; one pixel is of no row; row 2 is empty."""
    ratios = RatioHistogram(3)
    ratios.update(torch.tensor([0.5, 9.0, 9.0, -0.25, 2.0]), torch.tensor([0, 0, 0, 1, -1]))
    first, second, third = ratios.medians()
    assert first == pytest.approx(math.exp(4)) and second == pytest.approx(math.exp(-0.25)) and third is None


def test_every_figure_is_declared_with_its_unit() -> None:
    prediction, target = _maps()
    scale = DepthScale()
    scale.update(prediction, target)
    assert set(scale.compute()) <= {one.name for one in LEARNING.figures}


@pytest.mark.parametrize(("factor", "said"), [(0.57, True), (1.8, True), (0.96, False), (1.04, False)])
def test_a_line_where_the_scale_is_off_by_more_than_5_percent(factor: float, said: bool) -> None:
    _, target = _maps()
    meter = LEARNING.meter(TaskSpec())
    meter.update({"depth": factor * target}, {"depth": target}, 5)
    lines = LEARNING.doubts(meter.compute())
    assert [f"{factor:.2f} of the truth" in line and "advmtl calibrate" in line for line in lines] == [True] * said
    assert scale_doubt({}) is None
