#!/usr/bin/env bash
# Version: onnxruntime 1.31.1, CPU, with onnx 1.21.0 to make the file.
# Expected: Sigmoid of float32 falls smoothly to about 1e-38 near x = -88, so log(sigmoid(x)), as a log-sigmoid is
#   commonly written in ONNX, is about x.
# Behaviour: From -18 down Sigmoid is exactly 0 (the true value is 1.5e-8), and the logarithm is minus infinity.
# Output seen:
#   ONNX Runtime 1.31.1
#   x=-5: sigmoid 0.00669, its log -5.007; true 0.00669
#   x=-10: sigmoid 4.54e-05, its log -10; true 4.54e-05
#   x=-18: sigmoid 0, its log -inf; true 1.52e-08
#   x=-20: sigmoid 0, its log -inf; true 2.06e-09
#   x=-40: sigmoid 0, its log -inf; true 4.25e-18
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 onnx==1.21.0 onnxruntime==1.31.1
cat > finding.py <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("ONNX Runtime", onnxruntime.__version__)
x = np.array([-5, -10, -18, -20, -40], np.float32)
x_info, y_info, log_info = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [5]) for name in ("x", "y", "log"))
nodes = [helper.make_node("Sigmoid", ["x"], ["y"]), helper.make_node("Log", ["y"], ["log"])]
graph = helper.make_graph(nodes, "tail", [x_info], [y_info, log_info])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
sigmoid, log = session.run(None, {"x": x})
true = 1 / (1 + np.exp(-x.astype(np.float64)))
for place in range(len(x)):
    print(f"x={x[place]:g}: sigmoid {sigmoid[place]:.3g}, its log {log[place]:.4g}; true {true[place]:.3g}")
assert np.allclose(sigmoid[:2], true[:2], rtol=0.01)
assert (sigmoid[2:] == 0).all() and np.isneginf(log[2:]).all()
PYTHON
venv/bin/python finding.py
