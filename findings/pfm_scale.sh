#!/usr/bin/env bash
# Version: opencv-python-headless 5.0.0.93 and pillow 12.3.0.
# Expected: A PFM file, the format of Middlebury's and SceneFlow's disparities, has the same values in every reader.
#   Middlebury's files have the scale -0.003922 (1/255) in their header, where only the sign is known to matter.
# Behaviour: OpenCV divides the values by the scale, so that disparities are 255 times too large; Pillow gives them as
#   they are stored.
# Output seen:
#   OpenCV 5.0.0 Pillow 12.3.0
#   scale -1: stored [ 1.5  2.5 10. ], OpenCV [ 1.5  2.5 10. ], Pillow [ 1.5  2.5 10. ]
#   scale -0.003922: stored [ 1.5  2.5 10. ], OpenCV [ 382.45795  637.4299  2549.7195 ], Pillow [ 1.5  2.5 10. ]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 opencv-python-headless==5.0.0.93 pillow==12.3.0
cat > finding.py <<'PYTHON'
import cv2
import numpy as np
import PIL
from PIL import Image

print("OpenCV", cv2.__version__, "Pillow", PIL.__version__)
disparity = np.array([[1.5, 2.5, 10], [20, 30, 40]], np.float32)
for scale in ("-1", "-0.003922"):
    with open("disparity.pfm", "wb") as file:  # rows from the bottom up
        file.write(f"Pf\n3 2\n{scale}\n".encode() + disparity[::-1].astype("<f4").tobytes())
    opencv = cv2.imread("disparity.pfm", cv2.IMREAD_UNCHANGED)
    pillow = np.asarray(Image.open("disparity.pfm"))
    print(f"scale {scale}: stored {disparity[0]}, OpenCV {opencv[0]}, Pillow {pillow[0]}")
    assert np.array_equal(pillow, disparity)
    assert np.allclose(opencv, disparity / abs(float(scale)))
PYTHON
venv/bin/python finding.py
