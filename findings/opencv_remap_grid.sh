#!/usr/bin/env bash
# Version: opencv-python-headless 4.12.0.88 and 5.0.0.93.
# Expected: Bilinear cv2.remap of a float picture interpolates at the places it is given, to the digits of float32;
#   and two releases of one function agree.
# Behaviour: 4.12 rounds places to a grid of 1/32 px: a shift by 0.01 px changes nothing. 5.0 interpolates exactly. So
#   a seeded augmentation gives other pictures with another release.
# Output seen:
#   OpenCV 4.12.0: farthest from the interpolated value 2.4800, from the unmoved one 0.0000
#   OpenCV 5.0.0: farthest from the interpolated value 0.0004, from the unmoved one 2.4801
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv old
old/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.2.6 opencv-python-headless==4.12.0.88
"${PYTHON:-python3}" -m venv new
new/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 opencv-python-headless==5.0.0.93
cat > finding.py <<'PYTHON'
import sys

import cv2
import numpy as np

picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float32)
x, y = np.meshgrid(np.arange(60, dtype=np.float32) + np.float32(0.01), np.arange(60, dtype=np.float32))
moved = cv2.remap(picture, x, y, cv2.INTER_LINEAR)
wanted = 0.99 * picture[:60, :60] + 0.01 * picture[:60, 1:61]
off, unmoved = float(np.abs(moved - wanted).max()), float(np.abs(moved - picture[:60, :60]).max())
print(f"OpenCV {cv2.__version__}: farthest from the interpolated value {off:.4f}, from the unmoved one {unmoved:.4f}")
assert (off > 2 and unmoved == 0) if sys.argv[1] == "grid" else (off < 0.01 and unmoved > 2)
PYTHON
old/bin/python finding.py grid
new/bin/python finding.py exact
