"""The figures of exported models on labelled frames."""

from pathlib import Path

import numpy as np
import pytest
from instance_set import write_instances
from numpy.typing import NDArray
from standins import make_config, make_metadata
from street_set import SIZE, write_cityscapes

from export.graph.metadata import OFFSETS
from export.quantize.accuracy import compare_models, validation_samples
from export.quantize.bounds import Bounds, offset_loss, shortfall
from export.session.session import Session


def session(offset: float) -> Session:
    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        return {OFFSETS: np.full((1, 2, *image.shape[1:3]), offset, np.float32)}

    return Session(make_metadata(SIZE, (OFFSETS,)), "fake", "", network)


def test_offsets_alone_are_measured_and_bounded(tmp_path: Path) -> None:
    """A run of the task instance has neither mIoU nor AbsRel."""
    write_instances(tmp_path, "val", write_cityscapes(tmp_path, "val", frames=3)[:2])
    source = {"format": "cityscapes", "root": str(tmp_path), "split": "val"}
    config = make_config(data={"val": [source]}, tasks={"instance": {"losses": {"l1": 1.0}}})
    (data,) = validation_samples(config, SIZE)
    sessions = {"fp32": session(0.0), "int8": session(40.0)}
    figures = compare_models(sessions, [data[i] for i in range(len(data))], config)
    before, after = figures["fp32"], figures["int8"]
    assert before.miou is None and before.abs_rel is None and after.offset_mean_px == 40
    assert before.offset_rmse_px is not None and after.offset_rmse_px is not None
    assert offset_loss(before, after) == pytest.approx(100 * (after.offset_rmse_px / before.offset_rmse_px - 1))
    assert shortfall("fp16", before, before, Bounds()) is None
    assert "offset RMSE grows" in (shortfall("int8", before, after, Bounds()) or "")
