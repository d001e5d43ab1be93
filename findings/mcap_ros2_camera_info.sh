#!/usr/bin/env bash
# Version: mcap-ros2-support 0.6.0.
# Expected: Writing a ROS 2 CameraInfo whose matrices are given under ROS 1's names, K and P, is refused: the ROS 2
#   definition has k and p, and no K or P.
# Behaviour: It is written without a message, with k and p all zeros.
# Output seen:
#   written: {'height': 360, 'width': 640, 'K': [700.0, 0, 320, 0, 700, 180, 0, 0, 1], 'P': [700.0, 0, 320, 0,
#     0, 700, 180, 0, 0, 0, 1, 0]}
#   read: {'height': 360, 'width': 640, 'k': [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 'p': [0.0, 0.0, 0.0,
#     0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check mcap-ros2-support==0.6.0
cat > finding.py <<'PYTHON'
from mcap_ros2.decoder import DecoderFactory
from mcap_ros2.writer import Writer
from mcap.reader import make_reader

DEFINITION = """uint32 height
uint32 width
float64[9] k
float64[12] p
"""
camera = [700.0, 0, 320, 0, 700, 180, 0, 0, 1]
with open("camera.mcap", "wb") as file:
    writer = Writer(file)
    schema = writer.register_msgdef("sensor_msgs/msg/CameraInfo", DEFINITION)
    values = {"height": 360, "width": 640, "K": camera, "P": [*camera[:3], 0, *camera[3:6], 0, *camera[6:], 0]}
    writer.write_message(topic="/camera_info", schema=schema, message=values, log_time=1, publish_time=1, sequence=0)
    writer.finish()
with open("camera.mcap", "rb") as file:
    reader = make_reader(file, decoder_factories=[DecoderFactory()])
    ((_, _, _, read),) = list(reader.iter_decoded_messages())
print("written:", values)
print("read:", {name: getattr(read, name) for name in ("height", "width", "k", "p")})
assert (read.height, read.width) == (360, 640)
assert not any(read.k) and not any(read.p)
PYTHON
venv/bin/python finding.py
