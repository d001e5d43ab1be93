#!/usr/bin/env bash
# Version: openvino 2026.4.1, CPU, with onnx 1.21.0 to make the file; onnxruntime 1.31.1 beside it.
# Expected: Clip of NaN is NaN (in NumPy and ONNX Runtime it is), so a network that gives NaN shows it in its outputs.
# Behaviour: Clip of NaN is a bound, a finite number within the range: nothing downstream can tell it from a result.
# Output seen:
#   OpenVINO 2026.4.1, ONNX Runtime 1.31.1
#   Clip of [-3.0, 7.0, 200.0, nan] to 1..80: OpenVINO [1.0, 7.0, 80.0, 1.0], ONNX Runtime [1.0, 7.0, 80.0, nan]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 onnx==1.21.0 onnxruntime==1.31.1 openvino==2026.4.1
cat > finding.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

print(f"OpenVINO {openvino.__version__.partition('-')[0]}, ONNX Runtime {onnxruntime.__version__}")
x = np.array([[-3, 7, 200, np.nan]], np.float32)
infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "clipped")]
bounds = [numpy_helper.from_array(np.float32(value), name) for name, value in (("low", 1), ("high", 80))]
graph = helper.make_graph([helper.make_node("Clip", ["x", "low", "high"], ["clipped"])], "nan", infos[:1], infos[1:], bounds)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "clip.onnx")
theirs = onnxruntime.InferenceSession("clip.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0][0]
compiled = openvino.Core().compile_model("clip.onnx", "CPU")
ours = compiled({"x": x})["clipped"][0]
print(f"Clip of {x[0].tolist()} to 1..80: OpenVINO {ours.tolist()}, ONNX Runtime {theirs.tolist()}")
assert theirs[:3].tolist() == ours[:3].tolist() == [1, 7, 80]
assert np.isnan(theirs[3])
assert ours[3] in (1, 80)
PYTHON
venv/bin/python finding.py
