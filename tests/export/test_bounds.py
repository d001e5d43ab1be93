"""Bounds on the accuracy drop of a lower precision."""

import pytest

from export.quantize.accept import Bounds, Deviation, ModelMetrics, accuracy_drop
from export.session.latency import Latency


def figures(
    miou: float | None = 0.5, abs_rel: float | None = 0.2, agreement: float | None = 1.0, rmse_px: float | None = None
) -> ModelMetrics:
    """Of a model and frames that have what is not None."""
    found = {"segmentation": {"miou": miou}, "depth": {"abs_rel": abs_rel}, "instance": {"offset_rmse_px": rmse_px}}
    outputs = {} if agreement is None else {"classes": Deviation(1 - agreement, 1 - agreement)}
    return ModelMetrics(4, found, outputs, Latency(1, 1, 1, 1, 1), 1.0)


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
    found = accuracy_drop(precision, figures(), figures(miou, abs_rel, agreement), Bounds())
    assert (found is None) == (words is None) and (words or "") in (found or "")


@pytest.mark.parametrize(("rmse", "words"), [(10.5, None), (10.6, "offset RMSE grows by 6.00 %"), (None, "no number")])
@pytest.mark.parametrize("alone", [False, True])
def test_offsets_are_bounded(rmse: float | None, words: str | None, alone: bool) -> None:
    others = (None, None, None) if alone else (0.5, 0.2, 1.0)  # a run of the task instance alone has no other label
    reference = figures(*others, 10.0)
    found = accuracy_drop("int8", reference, figures(*others, rmse), Bounds())
    assert (found is None) == (words is None) and (words or "") in (found or "")
    assert accuracy_drop("int8", reference, figures(*others, 10.3), Bounds().scaled(0.5)) is not None
    assert accuracy_drop("int8", reference, figures(*others, 10.9), Bounds({"offset_rmse_px": 10})) is None


def test_without_labels_nothing_can_be_promised() -> None:
    bare = figures(None, None)
    assert "cannot be measured" in (accuracy_drop("int8", bare, bare, Bounds()) or "")
