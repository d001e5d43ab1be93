"""advmtl.tasks.depth.published: crops, cap, mean over frames and median scaling, by hand."""

import pytest
import torch

from advmtl.tasks import TASKS
from advmtl.tasks.depth.published import PROTOCOLS
from advmtl.tasks.spec import TaskSpec

SIZE = 375, 1242  # of KITTI


def figures(name: str, *frames: tuple[torch.Tensor, torch.Tensor]) -> dict:
    meter = PROTOCOLS[name](TaskSpec())
    for prediction, target in frames:
        meter.update({"depth": prediction[None, None]}, {"depth": target[None, None]}, 1)
    return meter.compute()


def maps(pixels: dict[tuple[int, int], tuple[float, float]], size: tuple[int, int] = SIZE):
    """Predicted and true metres at some pixels; 3 m predicted elsewhere, no truth."""
    prediction, target = torch.full(size, 3.0), torch.zeros(size)
    for place, (p, g) in pixels.items():
        prediction[place], target[place] = p, g
    return prediction, target


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        # 375 · 0.40810811 = 153.04, · 0.99189189 = 371.96; 1242 · 0.03594771 = 44.6, · 0.96405229 = 1197.4.
        ("garg", (153, 370), (44, 1196)),
        # 375 · 0.3324324 = 124.66, · 0.91351351 = 342.57; columns as Garg's.
        ("eigen", (124, 341), (44, 1196)),
    ],
)
def test_crops_of_a_kitti_picture(crop, rows, columns):
    """Every corner of the crop counts, and no pixel beside it."""
    inside = {(r, c): (11.0, 10.0) for r in rows for c in columns}
    beside = {(r, c): (99.0, 10.0) for r in (rows[0] - 1, rows[1] + 1) for c in columns}
    beside |= {(r, c): (99.0, 10.0) for r in rows for c in (columns[0] - 1, columns[1] + 1)}
    found = figures(crop, maps({**inside, **beside}))
    assert found["pixels"] == 4 and found["abs_rel"] == pytest.approx(0.1)


def test_figures_by_hand():
    """10 m said to be 12, 40 m said to be 200 and clipped to 80; 80 and 90 m do not count, and 0 is no truth.

    AbsRel (0.2 + 1) / 2; SqRel (0.4 + 40) / 2; RMSE √((4 + 1600) / 2); 12 / 10 is below 1.25, 80 / 40 above 1.25³.
    """
    found = figures("garg", maps({(200, 99): (12, 10), (201, 99): (200, 40), (202, 99): (7, 80), (203, 99): (7, 90)}))
    assert found["abs_rel"] == pytest.approx(0.6) and found["sq_rel_m"] == pytest.approx(20.2)
    assert found["rmse_m"] == pytest.approx(802**0.5) and found["delta1"] == found["delta3"] == 0.5
    assert found["rmse_log"] == pytest.approx(((0.18232156**2 + 0.69314718**2) / 2) ** 0.5)
    assert (found["frames"], found["pixels"]) == (1, 2)


def test_frames_count_alike_and_those_without_truth_not_at_all():
    one = maps({(200, 99): (11, 10)})
    three = maps({(200, column): (13, 10) for column in (90, 91, 92)})
    found = figures("garg", one, three, maps({(0, 0): (5, 10)}))
    assert found["abs_rel"] == pytest.approx((0.1 + 0.3) / 2) and found["frames"] == 2  # over pixels: 0.25
    assert figures("garg", maps({})) == {}


def test_median_scaling_is_another_protocol():
    """Three times too far everywhere: AbsRel 2, and nothing once medians are equal; medians of a pair are between."""
    frame = maps({(200, 99): (30, 10), (201, 99): (60, 20), (202, 99): (15, 5), (203, 99): (36, 12)})
    assert figures("eigen", frame)["abs_rel"] == pytest.approx(2.0)
    assert figures("eigen_median", frame)["abs_rel"] == pytest.approx(0.0, abs=1e-12)
    # Medians 11 of 10 and 12, 33 of 24 and 42: the ratio is 1/3, so 8 and 14 for 10 and 12.
    pair = maps({(200, 99): (24, 10), (201, 99): (42, 12)})
    assert figures("garg_median", pair)["abs_rel"] == pytest.approx((2 / 10 + 2 / 12) / 2)


def test_parts_make_the_whole_in_any_order():
    frames = [maps({(200, 90 + n): (11.1 + n, 10.3), (201, 99): (9.7, 8 + n)}) for n in range(5)]
    one, other = (PROTOCOLS["garg"](TaskSpec()) for _ in range(2))
    for number, (prediction, target) in enumerate(frames):
        meter = one if number in (1, 4) else other
        meter.update({"depth": prediction[None, None]}, {"depth": target[None, None]}, 1)
    one.merge(other)
    assert one.compute() == figures("garg", *frames)


def test_the_task_offers_them():
    assert set(TASKS["depth"].learning.protocols) == {"garg", "garg_median", "eigen", "eigen_median"}
    assert not TASKS["segmentation"].learning.protocols
    names = {figure.name for figure in TASKS["depth"].learning.figures}
    assert set(figures("garg", maps({(200, 99): (12, 10)}))) <= names
