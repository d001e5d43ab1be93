"""What a lower precision may cost."""

from dataclasses import replace

import pytest

from export.quantize.accuracy import Figures
from export.quantize.bounds import Bounds, shortfall
from export.session.latency import Latency

FIGURES = Figures(4, 0.5, 0.2, 1.0, 0.0, 0.0, None, Latency(1, 1, 1, 1, 1), 1.0, {})


@pytest.mark.parametrize(
    ("precision", "miou", "abs_rel", "agreement", "words"),
    [
        ("int8", 0.49, 0.206, 0.9, None),
        ("int8", 0.489, 0.2, 0.99, "mIoU falls by 1.10 points, the bound is 1"),
        ("int8", 0.6, 0.2061, 0.99, "AbsRel grows by 3.05 %, the bound is 3 %"),
        ("int8", 0.5, None, 0.99, "no number"),
        ("fp16", 0.5, 0.2, 0.9949, "classes agree on 99.49%"),
        ("fp16", 0.5, 0.2, 0.995, None),
    ],
)
def test_bounds(precision: str, miou: float, abs_rel: float | None, agreement: float, words: str | None) -> None:
    ours = replace(FIGURES, miou=miou, abs_rel=abs_rel, class_agreement=agreement)
    found = shortfall(precision, FIGURES, ours, Bounds())
    assert (found is None) == (words is None) and (words or "") in (found or "")


@pytest.mark.parametrize(("rmse", "words"), [(10.5, None), (10.6, "offset RMSE grows by 6.00 %"), (None, "no number")])
@pytest.mark.parametrize("alone", [False, True])
def test_offsets_are_bounded(rmse: float | None, words: str | None, alone: bool) -> None:
    reference = replace(FIGURES, offset_rmse_px=10.0)
    if alone:  # a run of the task instance alone has no other label
        reference = replace(reference, miou=None, abs_rel=None, class_agreement=None)
    found = shortfall("int8", reference, replace(reference, offset_rmse_px=rmse), Bounds())
    assert (found is None) == (words is None) and (words or "") in (found or "")
    assert shortfall("int8", reference, replace(reference, offset_rmse_px=10.3), Bounds().scaled(0.5)) is not None


def test_without_labels_nothing_can_be_promised() -> None:
    bare = replace(FIGURES, miou=None, abs_rel=None)
    assert "cannot be measured" in (shortfall("int8", bare, bare, Bounds()) or "")
