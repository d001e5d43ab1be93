#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93 and 4.12.0.88.
# Expected: `cv2.fisheye.stereoRectify` of two equal fisheyes, one a little turned, gives both the same focal length and a
#   principal point in the picture or near it, whatever the angle of view: the rays that a plane cannot show are left out.
# Behaviour: So it is up to half views of 90 degrees at the middle of the picture's sides. Where the sides lie beyond, the
#   principal point of both new cameras lies ten thousand pixels off the picture of 1024, without an error. (A guess: they
#   are fitted to points of the sides, whose tangent has turned its sign there.)
# Output seen (the same of 4.12.0):
#   OpenCV 5.0.0
#   sides at 74 degrees: focal length 349 px, principal point 574 px
#   sides at 85 degrees: focal length 297 px, principal point 835 px
#   sides at 99 degrees: focal length 216 px, principal point -10964 px
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > finding.py <<'PYTHON'
import cv2
import numpy as np

print("OpenCV", cv2.__version__)
distortion = np.array([0.02, -0.01, 0.004, -0.001])
turned = cv2.Rodrigues(np.array([0.01, -0.02, 0.008]))[0]
found = []
for focal in (400.0, 350.0, 300.0):
    camera = np.array([[focal, 0, 520], [0, focal, 250], [0, 0, 1]])
    right = np.array([[-0.2], [0.0], [0.0]])
    flag = 1024  # CALIB_ZERO_DISPARITY
    _, _, projection, *_ = cv2.fisheye.stereoRectify(camera, distortion, camera, distortion, (1024, 512), turned, right, flag)
    found.append(projection[0, 2])
    side = np.degrees(520 / focal)
    print(f"sides at {side:.0f} degrees: focal length {projection[0, 0]:.0f} px, principal point {found[-1]:.0f} px")
assert 0 < found[0] < 1024 and 0 < found[1] < 1024
assert found[2] < -1024
PYTHON
for version in 4.12.0.88 5.0.0.93; do
    "${PYTHON:-python3}" -m venv "venv-$version"
    "venv-$version/bin/python" -m pip install --quiet --disable-pip-version-check "numpy<2.3" "opencv-python-headless==$version"
    "venv-$version/bin/python" finding.py
done
