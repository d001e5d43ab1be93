"""Metrics of exported models on labelled frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from instance_set import write_instances
from numpy.typing import NDArray
from standins import make_config, make_metadata
from street_set import SIZE, write_cityscapes

from export.graph.metadata import OFFSETS
from export.quantize.accept import Bounds, accuracy_drop, compare_models, losses, validation_samples
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
    assert list(before.evaluation) == ["instance"] and after.outputs["offsets_px"].mean == 40
    first, then = (one.figure("instance", "offset_rmse_px") for one in (before, after))
    assert first is not None and then is not None
    assert losses(before, after)["instance"].value == pytest.approx(100 * (then / first - 1))
    assert accuracy_drop("fp16", before, before, Bounds()) is None
    assert "offset RMSE grows" in (accuracy_drop("int8", before, after, Bounds()) or "")


def test_the_first_call_is_not_timed_where_the_first_frame_cannot_be_read(tmp_path: Path) -> None:
    """The first call allocates: a call before the timed ones, two of three frames being left."""
    paths = write_cityscapes(tmp_path, "val", frames=3)
    write_instances(tmp_path, "val", paths)
    config = make_config(
        data={"val": [{"format": "cityscapes", "root": str(tmp_path), "split": "val"}]},
        tasks={"instance": {"losses": {"l1": 1.0}}},
    )
    (data,) = validation_samples(config, SIZE)
    samples = [data[i] for i in range(len(data))]
    samples[0] = replace(samples[0], fault="unreadable")
    calls: list[int] = []

    def counted(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        calls.append(len(calls))
        return session(0.0).network(image)

    figures = compare_models({"fp32": replace(session(0.0), network=counted)}, samples, config)["fp32"]
    assert figures.frames == figures.latency.count == 2 and len(calls) == 3
