"""Axes that point to better, round ticks, labels that keep apart; drawn wholly within the picture."""

import random
from pathlib import Path

import numpy as np
import pytest

from advmtl.compare.metrics import REFERENCE, Comparison, Metric, Outcome, Row
from advmtl.compare.picture import Axis, round_step, write_tradeoff
from advmtl.drawing.canvas import Canvas, around, overlap, place_label, text_size
from preprocessing.ground.files import read_image

MIOU, RMSE = Metric("segmentation", "miou"), Metric("depth", "rmse_m")
TASKS = ("segmentation", "depth")


def test_further_along_an_axis_is_better_for_shares_and_for_errors() -> None:
    share, error = Axis(MIOU, 0.2, 0.6, 100, 500), Axis(RMSE, 2, 6, 400, 40)
    assert share.place(0.3) == pytest.approx(200) and share.place(0.6) == pytest.approx(500)
    assert error.place(6) == pytest.approx(400) and error.place(3) == pytest.approx(40 + 360 / 4)
    assert share.title == "segmentation: mIoU [%]" and error.title == "depth: RMSE [m], axis reversed"


def test_ticks_are_round_and_in_the_unit_of_the_table() -> None:
    assert Axis(MIOU, 0.331, 0.382, 0, 1).ticks()[:2] == [(pytest.approx(0.34), "34"), (pytest.approx(0.35), "35")]
    assert [text for _, text in Axis(RMSE, 8.56, 8.93, 0, 1).ticks()] == [f"{8.60 + 0.05 * n:.2f}" for n in range(7)]


@pytest.mark.parametrize(("raw", "step"), [(0.0103, 0.02), (0.01, 0.01), (3, 5), (5.1, 10), (0.7, 1), (120, 200)])
def test_round_step(raw: float, step: float) -> None:
    assert round_step(raw) == pytest.approx(step)


def test_labels_keep_apart_and_within_the_frame() -> None:
    draw, frame = random.Random(3), (0.0, 0.0, 300.0, 200.0)
    at = [(draw.uniform(100, 200), draw.uniform(60, 130)) for _ in range(16)] + [(1.0, 1.0), (299.0, 199.0)]
    taken = [around(point, 9, 9) for point in at]
    marks = len(taken)
    for point in at:
        taken.append(place_label(point, (18.0, 11.0), 8, taken, frame))
    labels = taken[marks:]
    for number, box in enumerate(labels):
        assert min(box[:2]) >= 0 and box[2] <= 300 and box[3] <= 200
        assert not any(overlap(box, other) for other in taken[: marks + number])


def test_text_keeps_to_its_measured_size() -> None:
    """Letters the font has not, as δ, are written out rather than drawn as boxes."""
    width, height = text_size("δ1 [%] – ×", 20)
    canvas = Canvas(400, 60)
    canvas.text((50, 30), "δ1 [%] – ×", 20, "lm")
    rows, columns = np.nonzero(canvas.pixels().min(axis=2) < 128)
    assert 0.85 * width < columns.max() - columns.min() < width + 3
    assert rows.max() - rows.min() < height + 3 and columns.min() >= 49
    assert width == text_size("delta 1 [%] - x", 20)[0]


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
    rows = [
        Row(f"r{n}", str(n), TASKS, (Outcome(f"r{n}_s0", 0, "done", one),), 1, None, (MIOU, RMSE))
        for n, one in enumerate(values)
    ]
    reference = Row(
        REFERENCE, "", TASKS, (Outcome(REFERENCE, 0, "done", {MIOU.key: 0.35, RMSE.key: 4.0}),), 2, None, (MIOU, RMSE)
    )
    assert write_tradeoff(Comparison((MIOU, RMSE), (MIOU, RMSE), reference, tuple(rows), 256), tmp_path / "a.png")
    plot = read_image(tmp_path / "a.png")[:, :800]  # without the legend
    found = []
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        ys, xs = np.nonzero((np.abs(plot.astype(int) - colour) < 8).all(axis=2))
        found.append((xs.mean(), ys.mean()))
    (good_x, good_y), (bad_x, bad_y) = found
    assert good_x > bad_x + 300 and good_y < bad_y - 300


@pytest.mark.parametrize(("tasks", "panels", "lines"), [(2, 1, 1), (3, 3, 2), (4, 6, 3)])
def test_a_panel_for_every_pair_of_tasks(tasks: int, panels: int, lines: int, tmp_path: Path) -> None:
    """Two abreast. The top edge of a panel is a black line of 720 px."""
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
    assert edges == panels and 600 * lines < picture.shape[0] < 700 * lines


def test_one_task_alone_trades_nothing(tmp_path: Path) -> None:
    reference = Row(REFERENCE, "", ("depth",), (Outcome("r", 0, "done", {RMSE.key: 4.0}),), 2, None, (RMSE,))
    row = Row("r", "0", ("depth",), reference.outcomes, 1, None, (RMSE,))
    assert not write_tradeoff(Comparison((RMSE,), (RMSE,), reference, (row,), 256), tmp_path / "a.png")
    missing = Row("m", "1", TASKS, (Outcome("m_s0", 0, "missing"),), 1, None, (MIOU, RMSE))
    both = Row(REFERENCE, "", TASKS, (Outcome("r", 0, "missing"),), 2, None, (MIOU, RMSE))
    assert not write_tradeoff(Comparison((MIOU, RMSE), (MIOU, RMSE), both, (missing,), 256), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
