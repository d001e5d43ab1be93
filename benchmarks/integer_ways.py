"""Ways of keeping 8-bit products from overflowing on x86 without VNNI: what each costs, in turn in one run.

    python benchmarks/integer_ways.py RUN --size 1024x512 --frames 40 --threads 1 --out ways.json

Run it on a processor with VNNI and on one without: the first line says what this one does with the largest products. Every
way is quantised from the same float graph and calibration, all layers that integers may run, on training frames; validation
frames are compared. Depth is compared with float32; `worst` is the pixel where it differs most. CPU time is of all threads.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData

from advmtl.training import load_generator
from export.convert import export_onnx
from export.graph import CLASSES, DEPTH, INPUT, describe
from export.quantize import Quantizer, calibration_samples, overflowing, prepare_quantizer, validation_samples
from export.session import this_processor
from preprocessing.ground import write_json

EXTRA = {"WeightSymmetric": True}


class FullRange(Quantizer):
    """Weights up to 127, whatever their neighbours are."""

    def weight_options(self, nodes: Collection[str]) -> dict[str, Any]:
        """As ONNX Runtime's quantiser does it by default."""
        return {"weight_qType": QuantType.QInt8, "reduce_range": False, "extra_options": dict(EXTRA)}


class SevenBits(Quantizer):
    """Weights up to 64."""

    def weight_options(self, nodes: Collection[str]) -> dict[str, Any]:
        """`reduce_range` of ONNX Runtime's quantiser."""
        return {"weight_qType": QuantType.QInt8, "reduce_range": True, "extra_options": dict(EXTRA)}


class Unsigned(Quantizer):
    """uint8 weights about 128, which ONNX Runtime multiplies in 16 bits where it has no VNNI."""

    def weight_options(self, nodes: Collection[str]) -> dict[str, Any]:
        """The same steps as `FullRange`."""
        return {"weight_qType": QuantType.QUInt8, "reduce_range": False, "extra_options": dict(EXTRA)}


def seven_bit_values(quantizer: Quantizer) -> FullRange:
    """A quantiser whose values use the lower half of the 256 steps: ranges are twice as long, upwards."""
    doubled = {}
    for name, one in quantizer.ranges.items():
        low, high = min(np.asarray(one.lowest).item(), 0.0), max(np.asarray(one.highest).item(), 0.0)
        doubled[name] = TensorData(lowest=np.float32(low), highest=np.float32(low + 2 * (high - low)))
    ranges = TensorsData(quantizer.ranges.calibration_method, doubled)
    return FullRange(quantizer.model, "cpu", ranges, quantizer.layers, quantizer.means)


def overflows_here() -> float:
    """The share that 8-bit products at full scale keep on this processor: 1 where they are exact."""
    weight = numpy_helper.from_array(np.full((8, 16), 127, np.int8), "b")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "products",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4, 16])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"a": np.full((4, 8), 255, np.uint8)})[0]
    return float(found[0, 0]) / (8 * 255 * 127)


@dataclass
class Way:
    """One way: its session and what was measured so far."""

    name: str
    session: ort.InferenceSession
    overflowing: int  # convolutions
    agreement: list[float] = field(default_factory=list)
    depth_mean: list[float] = field(default_factory=list)
    depth_worst: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def run(self, image: NDArray[np.uint8]) -> dict[str, NDArray]:
        """Outputs by name; times are kept."""
        names = [value.name for value in self.session.get_outputs()]
        start, cpu = time.perf_counter(), time.process_time()
        outputs = self.session.run(names, {INPUT: image})
        self.cpu_ms.append(1e3 * (time.process_time() - cpu))
        self.ms.append(1e3 * (time.perf_counter() - start))
        return dict(zip(names, outputs, strict=True))

    def compare(self, ours: dict[str, NDArray], theirs: dict[str, NDArray]) -> None:
        """Count one frame beside float32's."""
        self.agreement.append(float(np.mean(ours[CLASSES] == theirs[CLASSES])))
        relative = np.abs(ours[DEPTH].astype(np.float64) / theirs[DEPTH] - 1)
        self.depth_mean.append(float(relative.mean()))
        self.depth_worst.append(float(relative.max()))

    def row(self) -> dict[str, Any]:
        """The figures."""
        return {
            "way": self.name,
            "convolutions that can overflow": self.overflowing,
            "class agreement": round(statistics.mean(self.agreement), 5),
            "depth mean": round(statistics.mean(self.depth_mean), 5),
            "depth worst": round(max(self.depth_worst), 4),
            "latency ms": round(statistics.median(self.ms), 2),
            "CPU ms": round(statistics.median(self.cpu_ms), 2),
        }


def open_way(name: str, model: onnx.ModelProto, threads: int, exact: bool = False) -> Way:
    """exact: with ONNX Runtime's own remedy, `session.x64quantprecision`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Way(name, session, len(overflowing(model.graph)))


def ways(model: onnx.ModelProto, frames: list[NDArray[np.uint8]], threads: int) -> list[Way]:
    """float32 first."""
    ours = prepare_quantizer(model, "cpu", frames, "minmax")
    parts = (ours.model, ours.target, ours.ranges, ours.layers, ours.means)
    full = FullRange(*parts).quantised()
    return [
        open_way("float32", model, threads),
        open_way("full range", full, threads),
        open_way("pairs of weights up to 128 (as exported)", ours.quantised(), threads),
        open_way("weights of 7 bits", SevenBits(*parts).quantised(), threads),
        open_way("full range, x64quantprecision", full, threads, exact=True),
        open_way("uint8 weights", Unsigned(*parts).quantised(), threads),
        open_way("values of 7 bits", seven_bit_values(ours).quantised(), threads),
    ]


def main() -> None:
    """Quantise, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder or .pt checkpoint")
    parser.add_argument("--size", help="network size, WIDTHxHEIGHT; default: as trained")
    parser.add_argument("--frames", type=int, default=40, help="frames run, validation frames repeated")
    parser.add_argument("--calibration-frames", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    generator, config = load_generator(given.run)
    size = None if given.size is None else (int(given.size.split("x")[0]), int(given.size.split("x")[1]))
    metadata = describe(config, size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(generator, metadata, path, "cpu")
        model = onnx.load(path)
    training = [one.image for one in calibration_samples(config, metadata.size, given.calibration_frames)]
    every = ways(model, training, given.threads)
    images = [data[i].image for data in validation_samples(config, metadata.size) for i in range(len(data))]
    for number in range(given.frames):
        image = np.ascontiguousarray(images[number % len(images)])[None]
        order = [*range(number % len(every), len(every)), *range(number % len(every))]
        outputs = {place: every[place].run(image) for place in order}
        for place, way in enumerate(every):
            way.compare(outputs[place], outputs[0])
    report = {
        "processor": this_processor().description,
        "products at full scale keep": round(overflows_here(), 3),
        "size": f"{metadata.size[0]}x{metadata.size[1]}",
        "threads": given.threads,
        "frames": given.frames,
        "ways": [way.row() for way in every],
    }
    for name, value in report.items():
        if name != "ways":
            print(f"{name}: {value}")
    for row in report["ways"]:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    if given.out is not None:
        write_json(given.out, report)


if __name__ == "__main__":
    main()
