#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93 (4.12.0.88 does as expected; in C++, Debian's 4.6.0 does as 5.0.0).
# Expected: a NaN is not equal to itself, so compare(a, a, CMP_NE), in C++ `a != a`, marks every NaN of a float map.
# Behaviour: in maps of a row of pixels or more none is marked: what is compared many at a time is "not unequal". The few
#   values that are compared one by one are marked, and so are doubles. A test on a small map shows nothing.
# Output seen:
#   OpenCV 5.0.0
#   float32, 3 values: 3 marked
#   float32, 640 values: 0 marked
#   float64, 640 values: 640 marked
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 opencv-python-headless==5.0.0.93
cat > finding.py <<'PYTHON'
import cv2
import numpy as np

print("OpenCV", cv2.__version__)
marked = {}
for kind, count in ((np.float32, 3), (np.float32, 640), (np.float64, 640)):
    depth = np.full((1, count), np.nan, kind)
    marked[kind, count] = cv2.countNonZero(cv2.compare(depth, depth, cv2.CMP_NE))
    print(f"{np.dtype(kind)}, {count} values: {marked[kind, count]} marked")
assert marked[np.float32, 3] == 3 and marked[np.float64, 640] == 640
assert marked[np.float32, 640] == 0
PYTHON
venv/bin/python finding.py
