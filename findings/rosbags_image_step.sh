#!/usr/bin/env bash
# Version: rosbags-image 0.10.4 with opencv-python-headless 5.0.0.93.
# Expected: A sensor_msgs/Image whose rows are padded, step > width * bytes a pixel, as drivers with aligned buffers
#   send them, is read by its step, or refused.
# Behaviour: The step is not looked at: the padding is taken for pixels, and each row is shifted against the one
#   before.
# Output seen:
#   sent: [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
#   read: [[1, 2, 3, 4], [0, 0, 5, 6], [7, 8, 0, 0]]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 opencv-python-headless==5.0.0.93 'rosbags-image==0.10.4' 'rosbags==0.11.9'
cat > finding.py <<'PYTHON'
import numpy as np
from rosbags.image import message_to_cvimage
from rosbags.typesys import Stores, get_typestore

types = get_typestore(Stores.ROS2_HUMBLE).types
header = types["std_msgs/msg/Header"](stamp=types["builtin_interfaces/msg/Time"](0, 0), frame_id="camera")
picture = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
rows = np.zeros((3, 6), np.uint8)  # two bytes of padding at the end of each row
rows[:, :4] = picture
message = types["sensor_msgs/msg/Image"](
    header=header, height=3, width=4, encoding="mono8", is_bigendian=0, step=6, data=rows.ravel()
)
read = message_to_cvimage(message)
print("sent:", picture.tolist())
print("read:", read.tolist())
assert read.shape == (3, 4)
assert np.array_equal(read.ravel(), rows.ravel()[:12])
PYTHON
venv/bin/python finding.py
