#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93 (4.12.0.88 does the same).
# Expected: StereoSGBM's left-right check is off where disp12MaxDiff is not positive, as its documentation says. So
#   with -1 or 0, and uniquenessRatio=0, every pixel gets an answer.
# Behaviour: -1 and 0 mean 1, the strictest left-right check there is. Only a bound that no disparity reaches switches
#   it off.
# Output seen:
#   OpenCV 5.0.0
#   disp12MaxDiff=-1: 98.69% answered
#   disp12MaxDiff=0: 98.69% answered
#   disp12MaxDiff=1: 98.69% answered
#   disp12MaxDiff=2: 98.69% answered
#   disp12MaxDiff=1000000: 100.00% answered
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
rng = np.random.default_rng(0)
wall, box = rng.integers(0, 256, (80, 240), np.uint8), rng.integers(0, 256, (36, 50), np.uint8)
left, right = wall[:, :200].copy(), wall[:, 4:204].copy()  # a wall at 4 px
left[20:56, 90:140], right[20:56, 80:130] = box, box  # before it a box at 10 px
answered = {}
for bound in (-1, 0, 1, 2, 1_000_000):
    matcher = cv2.StereoSGBM.create(
        minDisparity=0, numDisparities=32, blockSize=5, P1=400, P2=1200, uniquenessRatio=0, disp12MaxDiff=bound
    )
    answered[bound] = matcher.compute(left, right)[:, 36:] >= 0  # the first 32 columns are never answered
    print(f"disp12MaxDiff={bound}: {answered[bound].mean():.2%} answered")
assert (answered[-1] == answered[1]).all() and (answered[0] == answered[1]).all()
assert answered[1].mean() < 0.99 and answered[1_000_000].all()
PYTHON
venv/bin/python finding.py
