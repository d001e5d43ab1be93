"""Dominance, hypervolume and the balanced trial, by hand and by property."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advmtl.tasks import TASKS, TaskSpec
from advmtl.tasks.figure_path import figure_at
from advmtl.tune.front import dominates, front_of, hypervolume, read_reference
from advmtl.tune.objective import Objective
from advmtl.tune.picture import draw_front, draw_history
from advmtl.tune.records import TrialRecord
from preprocessing.ground.errors import InputError

PATHS = ("segmentation.miou", "depth.abs_rel")
MIOU, ABS_REL = (Objective(figure_at(path, TASKS, TaskSpec()), TASKS) for path in PATHS)
BOTH = (MIOU, ABS_REL)


def trials(*values: tuple[float, float] | None, own: int = 0) -> list[TrialRecord]:
    """Complete trials with mIoU and AbsRel; None has failed."""
    return [
        TrialRecord(
            number,
            "failed" if value is None else "complete",
            Path("trials"),
            {},
            {} if value is None else dict(zip(("segmentation.miou", "depth.abs_rel"), value, strict=True)),
            own=number == own,
        )
        for number, value in enumerate(values)
    ]


FIVE = trials((0.5, 0.30), (0.6, 0.30), None, (0.7, 0.40), (0.4, 0.10), (0.3, 0.50))


def test_the_front_has_what_no_other_trial_beats() -> None:
    """0 has the AbsRel of 1 and a lower mIoU; 5 is the worst in both."""
    front = front_of(FIVE, BOTH)
    assert front is not None and [one.number for one in front.trials] == [3, 1, 4]
    assert front.worst and dict(front.reference) == {"segmentation.miou": 0.3, "depth.abs_rel": 0.5}


def test_hypervolume_and_balance_by_hand() -> None:
    """From (0.3, 0.5): steps of 0.4 x 0.1 under trial 3, 0.3 x 0.1 by 1, 0.1 x 0.2 by 4; the box is 0.4 x 0.4."""
    front = front_of(FIVE, BOTH)
    assert front is not None
    assert front.hypervolume == pytest.approx(0.04 + 0.03 + 0.02) and front.share == pytest.approx(0.09 / 0.16)
    # Distances from the ideal (0.7, 0.1), by the front's spans 0.3: 3 is (0, 1), 1 is (1/3, 2/3), 4 is (1, 0).
    assert front.balanced.number == 1


def test_a_given_reference_cuts_off_what_lies_beyond() -> None:
    """Within mIoU > 0.45 and AbsRel < 0.35 only trial 1: 0.15 x 0.05, of 0.25 x 0.25."""
    front = front_of(FIVE, BOTH, read_reference(["segmentation.miou=0.45", "depth.abs_rel=0.35"], BOTH))
    assert front is not None and not front.worst and front.hypervolume == pytest.approx(0.15 * 0.05)
    assert front.share == pytest.approx(0.15 * 0.05 / 0.0625)
    for text, said in (("depth=1", "no objective of this study"), ("depth.abs_rel=x", "write OBJECTIVE=VALUE")):
        with pytest.raises(InputError, match=said):
            read_reference([text], BOTH)


def test_without_a_complete_trial_there_is_no_front() -> None:
    assert front_of(trials(None, None), BOTH) is None


POINTS = st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 3), min_size=1, max_size=6)


@given(POINTS)
def test_hypervolume_is_the_volume_of_the_union_of_boxes(points: list[tuple[float, ...]]) -> None:
    """Counted cube by cube: with whole numbers, a cube of side 1 is inside of a box or outside."""
    corner = (4.0, 5.0, 3.0)
    corners = np.stack(np.meshgrid(*(np.arange(side) for side in corner), indexing="ij"), -1).reshape(-1, 3)
    inside = np.zeros(len(corners), bool)
    for point in points:
        inside |= (corners >= np.array(point)).all(1)
    assert hypervolume(points, corner) == inside.sum()


@given(POINTS)
def test_what_is_dominated_adds_nothing(points: list[tuple[float, ...]]) -> None:
    corner = (5.0, 5.0, 5.0)
    best = [one for one in points if not any(dominates(other, one) for other in points)]
    assert best and hypervolume(best, corner) == hypervolume(points, corner)


def test_the_picture_has_all_trials_and_the_better_end_up_and_right() -> None:
    complete = [one for one in FIVE if one.metrics]
    front = front_of(FIVE, BOTH)
    assert front is not None
    (axes,) = draw_front(complete, BOTH, front).axes
    assert axes.get_xlabel() == "segmentation.miou [1]" and axes.get_ylabel() == "depth.abs_rel [1], axis reversed"
    assert axes.get_xlim()[0] < axes.get_xlim()[1] and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert {text.get_text() for text in axes.texts} == {"1", "3", "4"}
    marks = {line.get_label(): len(line.get_xdata()) for line in axes.lines}  # type: ignore[arg-type]
    assert (marks["trial"], marks["on the front"], marks["own values"], marks["balanced"]) == (2, 3, 1, 1)
    # The border goes from the reference up, to the right and down to it again, never to the left.
    stairs = max(axes.lines, key=lambda line: len(line.get_xdata()))  # type: ignore[arg-type]
    xs, ys = np.asarray(stairs.get_xdata(), float), np.asarray(stairs.get_ydata(), float)
    assert all(a <= b for a, b in pairwise(xs)) and ys[-1] == 0.5 and ys[0] == pytest.approx(0.10)


def test_the_history_rises_to_the_best() -> None:
    (axes,) = draw_history([one for one in FIVE if one.metrics], ABS_REL).axes
    best = next(line for line in axes.lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == [0.30, 0.30, 0.30, 0.10, 0.10] and axes.yaxis_inverted()
