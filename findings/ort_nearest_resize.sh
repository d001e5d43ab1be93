#!/usr/bin/env bash
# Version: onnxruntime 1.31.1, CPU, with onnx 1.21.0 to make the file.
# Expected: Nearest Resize from 1920 to 1024 columns with asymmetric coordinates and floor, as PyTorch's nearest
#   interpolation is exported, takes column floor(i * 1920 / 1024) = floor(i * 15 / 8), which is exact in binary.
# Behaviour: 109 columns come from the neighbour to the left: where the exact place is a whole column, a rounded ratio
#   falls just short of it. From 1280 to 512 all columns are right.
# Output seen:
#   ONNX Runtime 1.31.1
#   1920 to 1024: 109 of 1024 columns are others than floor(i * 1920 / 1024)
#     column 8: source 14 instead of 15
#     column 16: source 29 instead of 30
#   1280 to 512: 0 of 512 columns are others than floor(i * 1280 / 512)
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
wrong = {}
for width, smaller in ((1920, 1024), (1280, 512)):
    x_info, y_info = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, n]) for name, n in (("x", width), ("y", smaller))
    )
    node = helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    sizes = onnx.numpy_helper.from_array(np.array([1, 1, 2, smaller], np.int64), "sizes")
    graph = helper.make_graph([node], "resize", [x_info], [y_info], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    columns = np.arange(width, dtype=np.float32)[None, None, None].repeat(2, axis=2)
    taken = session.run(None, {"x": columns})[0][0, 0, 0].astype(int)
    wanted = np.arange(smaller) * width // smaller
    wrong[width] = np.flatnonzero(taken != wanted)
    print(f"{width} to {smaller}: {len(wrong[width])} of {smaller} columns are others than floor(i * {width} / {smaller})")
    for i in wrong[width][:2]:
        print(f"  column {i}: source {taken[i]} instead of {wanted[i]}")
    assert (np.abs(taken - wanted) <= 1).all()
assert len(wrong[1920]) == 109 and not len(wrong[1280])
PYTHON
venv/bin/python finding.py
