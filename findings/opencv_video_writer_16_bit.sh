#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93.
# Expected: cv2.VideoWriter refuses a picture that is not of 8 bits (a uint16 depth or infrared frame), or scales it.
# Behaviour: It takes the picture and draws its bytes one by one: the left half fills the whole width, low and high
#   bytes in turn; the right half is lost.
# Output seen:
#   OpenCV 5.0.0
#   written: left half 201, right half 0 of 255
#   read:    left half 199, right half 199 of 255
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
picture = np.zeros((32, 64, 3), np.uint16)
picture[:, :32] = 200 * 256 + 200  # bright on the left, black on the right; both bytes equal
writer = cv2.VideoWriter("video.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 32))
assert writer.isOpened()
writer.write(picture)
writer.release()
good, frame = cv2.VideoCapture("video.avi").read()
assert good
print(f"written: left half {picture[:, :32].mean() / 256:.0f}, right half {picture[:, 32:].mean() / 256:.0f} of 255")
print(f"read:    left half {frame[:, :32].mean():.0f}, right half {frame[:, 32:].mean():.0f} of 255")
assert frame[:, 32:].mean() > 150
PYTHON
venv/bin/python finding.py
