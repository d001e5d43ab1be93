#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93, with onnx 1.21.0 and onnxruntime 1.31.1 to make and check the file.
# Expected: cv2.dnn computes x * HardSigmoid(c) of two tensors, the gate of squeeze-and-excitation in MobileNetV3, as
#   ONNX says and ONNX Runtime does.
# Behaviour: The product is replaced by HardSwish of the gate's own input, c * HardSigmoid(c): x is dropped, without a
#   message.
# Output seen:
#   OpenCV 5.0.0 ONNX Runtime 1.31.1
#   ONNX Runtime: off by 0.000000 from x * HardSigmoid(c), by 1.274060 from c * HardSigmoid(c)
#   cv2.dnn: off by 1.274060 from x * HardSigmoid(c), by 0.000000 from c * HardSigmoid(c)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 opencv-python-headless==5.0.0.93 onnx==1.21.0 onnxruntime==1.31.1
cat > finding.py <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("OpenCV", cv2.__version__, "ONNX Runtime", onnxruntime.__version__)
weight = np.full((3, 3, 1, 1), 0.5, np.float32)
nodes = [
    helper.make_node("Conv", ["x", "w"], ["c"]),
    helper.make_node("HardSigmoid", ["c"], ["gate"], alpha=1 / 6, beta=0.5),
    helper.make_node("Mul", ["x", "gate"], ["y"]),
]
x_info, y_info = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 5]) for name in "xy")
graph = helper.make_graph(nodes, "gate", [x_info], [y_info], [onnx.numpy_helper.from_array(weight, "w")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "gate.onnx")

x = np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
c = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x)
gate = np.clip(c / 6 + 0.5, 0, 1)
runtime = onnxruntime.InferenceSession("gate.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
network = cv2.dnn.readNetFromONNX("gate.onnx")
network.setInput(x)
answer = network.forward()
for name, values in (("ONNX Runtime", runtime), ("cv2.dnn", answer)):
    far = [float(np.abs(values - wanted).max()) for wanted in (x * gate, c * gate)]
    print(f"{name}: off by {far[0]:.6f} from x * HardSigmoid(c), by {far[1]:.6f} from c * HardSigmoid(c)")
assert np.allclose(runtime, x * gate, atol=1e-5)
assert np.allclose(answer, c * gate, atol=1e-5) and np.abs(answer - x * gate).max() > 0.5
PYTHON
venv/bin/python finding.py
