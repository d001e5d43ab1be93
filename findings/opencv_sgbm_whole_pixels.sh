#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93 (4.12.0.88 gives the same figures).
# Expected: StereoSGBM gives sixteenths of a pixel; on a noiseless pair of dense, smooth texture with one disparity
#   everywhere, they are right to about a sixteenth, whatever the prices P1 and P2 for changes that do not occur.
# Behaviour: Answers are pulled to whole pixels, by 0.19 px with the prices of OpenCV's own samples (P1 = 8, P2 = 32
#   times the block's area): the fraction is taken from path sums, which hold the price of a step. With P1 and P2 next
#   to nothing the answers are right.
# Output seen:
#   OpenCV 5.0.0
#   P1=200, P2=800: median error at 8, 8 1/8, ... 9 px: +0.000 -0.062 -0.062 -0.125 +0.062 +0.188 +0.188 +0.125
#     +0.000
#   P1=1, P2=2: median error at 8, 8 1/8, ... 9 px: +0.000 +0.000 +0.000 +0.000 +0.062 +0.062 +0.062 +0.062
#     +0.000
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
fine = cv2.GaussianBlur(rng.standard_normal((120, 6400)).astype(np.float32), (0, 0), sigmaX=24, sigmaY=1.5)
fine = cv2.blur((fine - fine.mean()) / fine.std() * 50 + 128, (16, 1))  # 16 samples a pixel


def view(sixteenths):
    return np.clip(np.rint(fine[:, 512 + sixteenths :: 16][:, :300]), 0, 255).astype(np.uint8)


worst = {}
for step, jump in ((8 * 25, 32 * 25), (1, 2)):
    errors = []
    for sixteenths in range(0, 17, 2):
        matcher = cv2.StereoSGBM.create(
            minDisparity=0, numDisparities=32, blockSize=5, P1=step, P2=jump, preFilterCap=63, disp12MaxDiff=1_000_000
        )
        found = matcher.compute(view(0), view(128 + sixteenths))[10:-10, 60:-20] / 16
        errors.append(float(np.median(found)) - (8 + sixteenths / 16))
    print(f"P1={step}, P2={jump}: median error at 8, 8 1/8, ... 9 px:", *(f"{one:+.3f}" for one in errors))
    worst[step] = max(map(abs, errors))
    if step > 1:  # below the middle too near to 8, above it too near to 9
        assert all(one < 0 for one in errors[2:4]) and all(one > 0 for one in errors[5:7])
assert worst[200] > 0.15 and worst[1] < 0.08
PYTHON
venv/bin/python finding.py
