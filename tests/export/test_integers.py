"""Which frames and which graph decide on an int8 model."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export.quantize.int8 import Target
from export.quantize.sensitivity import evenly, open_to_measure


@pytest.mark.parametrize(("length", "count"), [(40, 24), (47, 24), (24, 24), (100, 24), (7, 6), (3, 6), (1, 24)])
def test_evenly_spaced_to_the_last(length: int, count: int) -> None:
    found = evenly(range(length), count)
    assert len(set(found)) == len(found) == min(length, count)
    assert found[0] == 0 and found[-1] == length - 1
    steps = np.diff(found)
    assert length == 1 or max(steps) - min(steps) <= 1


@pytest.mark.parametrize(("target", "level"), [("cpu", "ORT_ENABLE_ALL"), ("gpu", "ORT_DISABLE_ALL")])
def test_a_graph_for_the_gpu_is_measured_as_written(
    target: Target, level: str, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, real = [], onnxruntime.InferenceSession

    def session(path: str, options: onnxruntime.SessionOptions, **rest: object) -> onnxruntime.InferenceSession:
        levels.append(options.graph_optimization_level.name)
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_to_measure(model_path, target)
    assert levels == [level]
