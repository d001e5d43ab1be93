"""Depth error by distance, against values derived by hand."""

import pytest
import torch

from advmtl.tasks.depth.distance_bands import DistanceBands


def test_bands_by_hand() -> None:
    """Truth 5, 10, 12, 60 and 90 m, and one pixel without; 10 m belongs to the first band, 90 m to none.

    0–10 m: predictions 6 and 8 for 5 and 10: AbsRel (0.2 + 0.2) / 2, RMSE √((1 + 4) / 2), bias (1 − 2) / 2.
    10–20 m: 15 for 12: 0.25, 3, 3. 50–80 m: 30 for 60: 0.5, 30, −30. Ratios: 1.2 and 0.8 (the lower one), 1.25, 0.5.
    """
    bands = DistanceBands(80.0)
    target = torch.tensor([[5.0, 10.0, 12.0], [60.0, 90.0, 0.0]]).view(1, 1, 2, 3)
    prediction = torch.tensor([[6.0, 8.0, 15.0], [30.0, 1.0, 7.0]]).view(1, 1, 2, 3)
    bands.update(prediction, target)
    rows = bands.compute()
    assert [(row["from_m"], row["to_m"], row["pixels"]) for row in rows] == [
        *((0, 10, 2), (10, 20, 1), (20, 30, 0), (30, 50, 0), (50, 80, 1))
    ]
    near, second, empty, _, far = rows
    assert near["abs_rel"] == pytest.approx(0.2) and near["rmse_m"] == pytest.approx(2.5**0.5)
    assert near["bias_m"] == pytest.approx(-0.5)
    assert (second["abs_rel"], second["rmse_m"], second["bias_m"]) == pytest.approx((0.25, 3, 3))
    assert (far["abs_rel"], far["rmse_m"], far["bias_m"]) == pytest.approx((0.5, 30, -30))
    assert (near["scale"], second["scale"], far["scale"]) == pytest.approx((0.8, 1.25, 0.5), rel=5e-4)
    assert empty["scale"] is None
    assert empty["abs_rel"] is None and empty["rmse_m"] is None and empty["bias_m"] is None


def test_merged_parts_are_the_whole() -> None:
    generator = torch.Generator().manual_seed(3)
    target = 100 * torch.rand(5, 1, 7, 11, generator=generator)
    prediction = 100 * torch.rand(5, 1, 7, 11, generator=generator)
    whole, one, other = DistanceBands(), DistanceBands(), DistanceBands()
    whole.update(prediction, target)
    one.update(prediction[:2], target[:2])
    other.update(prediction[2:], target[2:])
    empty = DistanceBands()
    empty.merge(one)
    empty.merge(other)
    empty.merge(DistanceBands())
    for merged, row in zip(empty.compute(), whole.compute(), strict=True):
        assert merged == pytest.approx(row) and row["pixels"] > 0


def test_the_last_band_ends_where_the_truth_stops_counting() -> None:
    assert DistanceBands(50.0).edges_m == [0, 10, 20, 30, 50]
    assert DistanceBands(60.0).edges_m == [0, 10, 20, 30, 50, 60]
    assert DistanceBands(120.0).edges_m == [0, 10, 20, 30, 50, 80, 120]
    assert DistanceBands().compute() == []
