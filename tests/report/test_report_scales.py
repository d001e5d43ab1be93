"""Scales and their ticks."""

import pytest

from advmtl.report.charts import Scale


def test_linear_places_run_upwards_and_keep_room() -> None:
    scale = Scale.over(2, 12, (200, 0), room=0.1)  # 1 to 13
    assert scale(1) == 200 and scale(13) == 0 and scale(7) == pytest.approx(100)
    assert scale.round_values() == [2.5, 5, 7.5, 10, 12.5]


def test_logarithmic_places() -> None:
    scale = Scale.over(0.01, 100, (0, 400), logarithmic=True)
    assert [scale(10.0**power) for power in (-2, -1, 0, 1, 2)] == pytest.approx([0, 100, 200, 300, 400])
    assert scale.round_values() == pytest.approx([0.01, 0.1, 1, 10, 100])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 6, [0, 2, 4, 6]),
        (-0.15, 0.02, [-0.15, -0.1, -0.05, 0]),
        (0.3, 0.3, [-0.2, 0, 0.2, 0.4, 0.6, 0.8]),
        (1e-7, 3e-7, [1e-7, 1.5e-7, 2e-7, 2.5e-7, 3e-7]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Scale.over(low, high, (0, 100)).round_values() == pytest.approx(ticks)


@pytest.mark.parametrize(("low", "high"), [(1.3, 5), (0.5, 0.500001), (2, 90), (1e-4, 1), (1e-9, 1e9), (3, 3)])
def test_a_logarithmic_scale_has_ticks_to_read_by(low: float, high: float) -> None:
    scale = Scale.over(low, high, (0, 100), logarithmic=True)
    ticks = scale.round_values()
    assert 2 <= len(ticks) <= 10 and ticks == sorted(ticks) and all(-1e-6 <= scale(t) <= 100 + 1e-6 for t in ticks)
