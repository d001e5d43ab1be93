"""Δm, win rate, means and deviations, each against a value derived by hand."""

import pytest

from advmtl.compare.metrics import (
    Comparison,
    Metric,
    Outcome,
    Row,
    against,
    delta_m,
    delta_metrics,
    shown_metrics,
    spread,
    values_of,
    win_rate,
)
from advmtl.compare.table import notes
from preprocessing.ground.errors import InputError

BOTH = ("segmentation", "depth")


def test_delta_m_counts_better_as_plus_for_both_signs_of_metric() -> None:
    """mIoU 0.50 -> 0.55 is +10 %; an error 0.20 -> 0.25 is 25 % worse: (10 - 25) / 2 = -7.5."""
    assert delta_m([0.55, 0.25], [0.50, 0.20], [True, False]) == pytest.approx(-7.5)
    assert delta_m([0.55, 0.15], [0.50, 0.20], [True, False]) == pytest.approx((10 + 25) / 2)
    assert delta_m([0.55, 0.15], [0.50, 0.20], [True, True]) == pytest.approx((10 - 25) / 2)


def test_delta_m_of_a_row_of_mamo() -> None:
    """Tan et al. 2024, Table 1: gains of 1.39, 0.33, 4.80 and 3.74 % over mIoU, Pix Acc, Abs Err, Rel Err; their mean
    is 2.565, and 2.57 is printed. (CAGrad's row does not follow it: gains of the mean -0.11, printed is +0.42.)
    """
    single = [69.60, 91.82, 0.0125, 45.95]
    higher = [True, True, False, False]
    gains = [1.39, 0.33, 4.80, 3.74]
    multi = [s * (1 + (g if up else -g) / 100) for s, g, up in zip(single, gains, higher, strict=True)]
    assert delta_m(multi, single, higher) == pytest.approx(2.565)


def test_delta_m_is_unknown_where_it_is_undefined() -> None:
    assert delta_m([0.1], [0.0], [True]) is None
    assert delta_m([], [], []) is None
    with pytest.raises(ValueError):
        delta_m([1.0, 2.0], [1.0], [True])


def test_win_rate_takes_strictly_better_only() -> None:
    higher = [True, True, False, False, False]
    assert win_rate([0.6, 0.6, 0.1, 0.3, 0.2], [0.5, 0.6, 0.2, 0.2, 0.2], higher) == pytest.approx(2 / 5)
    assert win_rate([0.6], [0.5], [False]) == 0
    assert win_rate([], [], []) is None


def test_spread_is_mean_and_sample_deviation() -> None:
    """1, 2, 6: mean 3, squares 4 + 1 + 9 = 14 over n - 1 = 2, so sqrt 7."""
    found = spread([1.0, None, 2.0, 6.0])
    assert found is not None and found.count == 3
    assert found.mean == pytest.approx(3) and found.deviation == pytest.approx(7**0.5)
    alone = spread([5.0])
    assert alone is not None and alone.deviation is None
    assert spread([None]) is None


def row(values: list[dict[str, float]], metrics: tuple[Metric, ...]) -> Row:
    outcomes = tuple(Outcome(f"r_s{n}", n, "done", one) for n, one in enumerate(values))
    return Row("r", "0", BOTH, outcomes, 1, None, metrics)


def test_a_row_is_measured_seed_by_seed_against_the_means() -> None:
    """Seed 0: +20 % and 50 % worse; seed 1: -10 % and 50 % better. Δm -15 and 20, win rate 1/2 and 1/2."""
    metrics = (Metric("segmentation", "miou"), Metric("depth", "rmse_m"))
    measured = [
        {"segmentation.miou": 0.60, "depth.rmse_m": 6.0},
        {"segmentation.miou": 0.45, "depth.rmse_m": 2.0},
        {"segmentation.miou": 0.45},
    ]
    found = against(row(measured, metrics), {"segmentation.miou": 0.5, "depth.rmse_m": 4.0})
    assert found.delta_m[:2] == (pytest.approx(-15), pytest.approx(20)) and found.delta_m[2] is None
    assert found.win_rate == (0.5, 0.5, None)


def test_without_a_single_task_figure_there_is_no_delta() -> None:
    found = against(row([{"segmentation.miou": 0.6}], (Metric("segmentation", "miou"),)), {})
    assert found.delta_m == (None,) and found.win_rate == (None,)


def test_why_there_is_no_delta_is_said() -> None:
    """A network that is right nowhere has an mIoU of 0, and nothing is so many percent more."""
    metrics = (Metric("segmentation", "miou"), Metric("depth", "rmse_m"))
    for miou, said in ((0.0, " No Δm, since the single-task networks' mIoU (segmentation) is 0"), (0.1, None)):
        reference = row([{"segmentation.miou": miou, "depth.rmse_m": 4.0}], metrics)
        found = notes(Comparison(metrics, metrics, reference, (), 64))
        assert said in found if said else "No Δm" not in found


def test_every_task_weighs_the_same_by_default() -> None:
    keys = [metric.key for metric in delta_metrics(BOTH)]
    assert keys == ["segmentation.miou", "segmentation.pixel_accuracy", "depth.abs_rel", "depth.rmse_m"]
    assert [metric.task for metric in delta_metrics(("depth",))] == ["depth", "depth"]
    three = [metric.key for metric in delta_metrics((*BOTH, "instance"))]
    assert three == ["segmentation.miou", "depth.abs_rel", "instance.offset_rmse_px"]


def test_metrics_may_be_chosen() -> None:
    chosen = delta_metrics(BOTH, ["depth.delta1", "segmentation.miou", "depth.delta1"])
    assert [metric.key for metric in chosen] == ["depth.delta1", "segmentation.miou"]
    shown = [metric.key for metric in shown_metrics(BOTH, chosen)]
    assert shown[0] == "segmentation.miou" and {"depth.delta1", "depth.abs_rel"} <= set(shown)
    assert [key.split(".")[0] for key in shown] == sorted((k.split(".")[0] for k in shown), reverse=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("miou", "task"), ("segmentation.rmse_m", "no such metric"), ("segmentation.frames", "no such metric")],
)
def test_an_unknown_metric_is_told(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        delta_metrics(BOTH, [text])
    with pytest.raises(InputError, match="names none of depth"):
        delta_metrics(BOTH, ["segmentation.miou"])


def test_shares_are_shown_in_percent_and_errors_in_their_unit() -> None:
    assert (Metric("segmentation", "miou").scale, Metric("segmentation", "miou").unit) == (100, "%")
    assert (Metric("depth", "abs_rel").scale, Metric("depth", "abs_rel").unit) == (1, "1")
    assert Metric("depth", "rmse_m").unit == "m" and not Metric("depth", "rmse_m").higher


def test_undefined_figures_are_left_out() -> None:
    metrics = [Metric("segmentation", "miou"), Metric("depth", "rmse_m"), Metric("depth", "delta1")]
    assert values_of({"depth": {"rmse_m": 3, "delta1": None}}, metrics) == {"depth.rmse_m": 3.0}
