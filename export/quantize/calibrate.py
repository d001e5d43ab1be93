"""Calibration: training frames for quantisation, and the ranges of the activations on them."""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

from advmtl.config import Config
from advmtl.data import FrameDataset, Sample, index_source
from advmtl.tasks import FrameRecord
from export.graph import INPUT
from preprocessing.ground import InputError, track

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


def calibration_samples(config: Config, size: tuple[int, int], count: int) -> list[Sample]:
    """`count` frames of the run's training data at the network's `size` (width, height), not augmented.

    Every source gives an equal part, evenly spaced over its frames, whatever its length: a short one (the only one with
    depth, perhaps) must not drown. A picture that is also among the validation data is left out, and one that cannot be
    read gives way to the next. The same configuration and data give the same frames.
    Raises: InputError where no training picture can be read.
    """
    if count < 1:
        raise InputError(f"{count} calibration frames: give at least one")
    held_back = {record.image.resolve() for record in _records(config, "val")}
    sources = [
        [record for record in _records(config, "train", number) if record.image.resolve() not in held_back]
        for number in range(len(config.data.train))
    ]
    left, samples = count, list[Sample]()
    sources = [records for records in sorted(sources, key=len) if records]
    for place, records in enumerate(sources):  # the shortest first: what it cannot give, the longer ones do
        part = min(len(records), left // (len(sources) - place) or 1)
        found = list(_spread(records, size, part, config))[:left]
        left -= len(found)
        samples += found
    if not samples:
        raise InputError(
            "int8 is calibrated on training pictures, and none of data.train can be read here;"
            " export where the run was trained"
        )
    return samples


def _records(config: Config, role: Any, only: int | None = None) -> list[FrameRecord]:
    records: list[FrameRecord] = []
    for number, source in enumerate(config.data.train if role == "train" else config.data.val):
        if only not in (None, number):
            continue
        try:
            records += index_source(source, config.data.classes, role)
        except InputError:
            if role == "train" and len(config.data.train) == 1:
                raise
    return records


def _spread(records: Sequence[FrameRecord], size: tuple[int, int], count: int, config: Config) -> Iterator[Sample]:
    tasks = {name: task for name, task in config.task_table.items() if name in config.tasks}
    own = [replace(record, source=0) for record in records]
    data = FrameDataset(own, [size], tasks, spec=config.spec, fit=config.data.fit)
    starts = np.linspace(0, len(records) - 1, count).astype(int).tolist()
    for start, end in pairwise([*starts, len(records)]):
        for index in range(start, max(end, start + 1)):
            sample = data[index]
            if sample.fault is None:
                yield sample
                break


class _Frames(CalibrationDataReader):
    def __init__(self, frames: Iterator[NDArray[np.uint8]]) -> None:
        self._frames = frames

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        frame = next(self._frames, None)
        return None if frame is None else {INPUT: frame[None]}


def value_ranges(model: onnx.ModelProto, frames: Sequence[NDArray[np.uint8]], method: str, symmetric: bool) -> Any:
    """The range of every float value of `model` over `frames` (uint8 `[h, w, 3]` of its size).

    method: of METHODS. symmetric: ranges about 0. Returns: ONNX Runtime's `TensorsData`.
    """
    # Not what chooses by a condition: nothing of it is quantised, and the sky's distance is infinite.
    operators = sorted({node.op_type for node in model.graph.node} - {"Where"})
    with tempfile.TemporaryDirectory(prefix="calibrate") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path,
            operators,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=METHODS[method],
            extra_options={"symmetric": symmetric},
        )
        # One frame at a time: the histogram methods keep all values of what they are given at once.
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a line a frame
            for frame in track(frames, "calibrate", len(frames)):
                calibrator.collect_data(_Frames(iter([frame])))
            return calibrator.compute_data()


@dataclass(frozen=True)
class ChannelStatistics:
    """Of every channel of a value, over all frames: the largest magnitude and the mean, both `[C]`."""

    largest: NDArray[np.float32]
    mean: NDArray[np.float64]


def channel_statistics(
    model: onnx.ModelProto, names: Sequence[str], frames: Sequence[NDArray[np.uint8]]
) -> dict[str, ChannelStatistics]:
    """Statistics of the named values `[1, C, h, w]` of `model` over `frames` (uint8 `[h, w, 3]` of its size)."""
    names = list(dict.fromkeys(names))
    session = ort.InferenceSession(_probe(model, names).SerializeToString(), providers=["CPUExecutionProvider"])
    largest: list[NDArray] = []
    total: list[NDArray] = []
    outputs = [f"probe_{part}_{number}" for part in ("max", "min", "mean") for number in range(len(names))]
    for frame in track(frames, "statistics", len(frames)):
        found = session.run(outputs, {INPUT: frame[None]})
        high, low, mean = (found[start : start + len(names)] for start in range(0, len(found), len(names)))
        magnitudes = [np.maximum(a, -b) for a, b in zip(high, low, strict=True)]
        largest = [np.maximum(a, b) for a, b in zip(largest, magnitudes, strict=True)] if largest else magnitudes
        total = [a + b for a, b in zip(total, mean, strict=True)] if total else [one.astype(np.float64) for one in mean]
    return {
        name: ChannelStatistics(one, two / len(frames)) for name, one, two in zip(names, largest, total, strict=True)
    }


def _probe(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with the largest, the least and the mean of each channel of these values as further outputs."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.initializer.append(numpy_helper.from_array(np.array([0, 2, 3], np.int64), "probe_axes"))
    for number, name in enumerate(names):
        for part, operator in (("max", "ReduceMax"), ("min", "ReduceMin"), ("mean", "ReduceMean")):
            out = f"probe_{part}_{number}"
            probe.graph.node.append(helper.make_node(operator, [name, "probe_axes"], [out], keepdims=0))
            probe.graph.output.append(helper.make_tensor_value_info(out, TensorProto.FLOAT, None))
    return probe
