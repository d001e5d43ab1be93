"""Axes that point to better, numbers that keep apart; drawn wholly within the picture."""

import random
from pathlib import Path

import numpy as np
import pytest

from advmtl.compare.metrics import REFERENCE, Comparison, Metric, Outcome, Row
from advmtl.compare.picture import draw_tradeoff, free_offset, write_tradeoff
from preprocessing.ground.files import read_image

MIOU, RMSE = Metric("segmentation", "miou"), Metric("depth", "rmse_m")
TASKS = ("segmentation", "depth")


def two(values: tuple[dict[str, float], dict[str, float]]) -> Comparison:
    """Two configurations of one run each, against a reference between them."""
    rows = [
        Row(f"r{n}", str(n), TASKS, (Outcome(f"r{n}_s0", 0, "done", one),), 1, None, (MIOU, RMSE))
        for n, one in enumerate(values)
    ]
    middle = Outcome(REFERENCE, 0, "done", {MIOU.key: 0.35, RMSE.key: 4.0})
    reference = Row(REFERENCE, "", TASKS, (middle,), 2, None, (MIOU, RMSE))
    return Comparison((MIOU, RMSE), (MIOU, RMSE), reference, tuple(rows), 256)


def test_axes_and_legend_say_what_they_are_in_the_unit_of_the_table() -> None:
    figure = draw_tradeoff(two(({MIOU.key: 0.4, RMSE.key: 3.0}, {MIOU.key: 0.3, RMSE.key: 5.0})))
    assert figure is not None
    [axes], [legend] = figure.axes, figure.legends
    assert axes.get_xlabel() == "segmentation: mIoU [%]" and axes.get_ylabel() == "depth: RMSE [m], axis reversed"
    # A margin of 8 % of 10 points and of 2 m; metres run backwards, so that further on is better.
    assert axes.get_xlim() == pytest.approx((29.2, 40.8)) and axes.get_ylim() == pytest.approx((5.16, 2.84))
    assert [text.get_text() for text in legend.get_texts()][:2] == ["1  r0", "2  r1"]
    assert [text.get_text() for text in axes.texts] == ["1", "2"]


def test_numbers_keep_apart_and_within_the_frame() -> None:
    draw, frame = random.Random(3), (0.0, 0.0, 400.0, 300.0)
    at = [(draw.uniform(130, 270), draw.uniform(90, 200)) for _ in range(16)] + [(1.0, 1.0), (399.0, 299.0)]
    taken = [(*point, 9.0) for point in at]
    for point in at:
        dx, dy = free_offset(point, taken, frame)
        taken.append((point[0] + dx, point[1] + dy, 10.0))
    for number, (x, y, half) in enumerate(taken[len(at) :], len(at)):
        assert 10 <= x <= 390 and 10 <= y <= 290
        assert all(max(abs(x - a), abs(y - b)) >= half + other - 1e-9 for a, b, other in taken[:number])


def comparison(count: int, *, seeds: int = 3) -> Comparison:
    draw = random.Random(count)

    def outcomes(name: str) -> tuple[Outcome, ...]:
        values = [{MIOU.key: draw.gauss(0.36, 0.01), RMSE.key: draw.gauss(8.8, 0.1)} for _ in range(seeds)]
        return tuple(Outcome(f"{name}_s{n}", n, "done", one) for n, one in enumerate(values))

    rows = [Row(f"configuration {n}", str(n), TASKS, outcomes(str(n)), 1, None, (MIOU, RMSE)) for n in range(count)]
    reference = Row(REFERENCE, "", TASKS, outcomes(REFERENCE), 2, None, (MIOU, RMSE))
    return Comparison((MIOU, RMSE), (MIOU, RMSE), reference, tuple(rows), 256)


@pytest.mark.parametrize(("count", "seeds"), [(1, 1), (30, 3)])
def test_nothing_reaches_the_border(count: int, seeds: int, tmp_path: Path) -> None:
    assert write_tradeoff(comparison(count, seeds=seeds), tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    border = np.ones(picture.shape[:2], bool)
    border[4:-4, 4:-4] = False
    assert (picture[border] == 255).all()


def test_a_better_run_lies_further_up_and_right(tmp_path: Path) -> None:
    """Two configurations, the first (blue circle) better in both tasks than the second (vermilion)."""
    values = ({MIOU.key: 0.4, RMSE.key: 3.0}, {MIOU.key: 0.3, RMSE.key: 5.0})
    assert write_tradeoff(two(values), tmp_path / "a.png")
    plot = read_image(tmp_path / "a.png")[:, :800]  # without the legend
    found = []
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        ys, xs = np.nonzero((np.abs(plot.astype(int) - colour) < 8).all(axis=2))
        found.append((xs.mean(), ys.mean()))
    (good_x, good_y), (bad_x, bad_y) = found
    assert good_x > bad_x + 300 and good_y < bad_y - 300


@pytest.mark.parametrize(("tasks", "panels", "lines"), [(2, 1, 1), (3, 3, 2), (4, 6, 3)])
def test_a_panel_for_every_pair_of_tasks(tasks: int, panels: int, lines: int, tmp_path: Path) -> None:
    """Two abreast. Upper and lower edge of a panel are black lines of 720 px."""
    metrics = tuple(Metric(f"task{n}", "miou") for n in range(tasks))
    names = tuple(metric.task for metric in metrics)
    outcomes = tuple(Outcome(f"s{k}", k, "done", {m.key: 0.1 * n + k for n, m in enumerate(metrics)}) for k in (0, 1))
    rows = [Row(name, name, names, outcomes, 1, None, metrics) for name in (REFERENCE, "r")]
    assert write_tradeoff(Comparison(metrics, metrics, rows[0], (rows[1],), 256), tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    dark = (picture < 90).all(axis=2)
    edges = 0
    for line in dark:
        changes = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
        edges += int((np.diff(changes)[::2] > 700).sum())
    assert edges == 2 * panels and 600 * lines < picture.shape[0] < 700 * lines


def test_one_task_alone_trades_nothing(tmp_path: Path) -> None:
    reference = Row(REFERENCE, "", ("depth",), (Outcome("r", 0, "done", {RMSE.key: 4.0}),), 2, None, (RMSE,))
    row = Row("r", "0", ("depth",), reference.outcomes, 1, None, (RMSE,))
    assert not write_tradeoff(Comparison((RMSE,), (RMSE,), reference, (row,), 256), tmp_path / "a.png")
    missing = Row("m", "1", TASKS, (Outcome("m_s0", 0, "missing"),), 1, None, (MIOU, RMSE))
    both = Row(REFERENCE, "", TASKS, (Outcome("r", 0, "missing"),), 2, None, (MIOU, RMSE))
    assert not write_tradeoff(Comparison((MIOU, RMSE), (MIOU, RMSE), both, (missing,), 256), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
