#!/usr/bin/env bash
# Version: rosbags 0.11.9.
# Expected: The types that a store named after ROS 1 Noetic brings are those of a desktop installation of it, as the stores
#   of ROS 2 are: with tf2_msgs/TFMessage, in which every /tf and /tf_static of a recorded vehicle is published.
# Behaviour: Of all stores but the empty one only Noetic's lacks it, in its own name and in the older tf/tfMessage, so that
#   a message of /tf_static cannot be decoded, or written, until the type is registered by hand.
# Output seen:
#   rosbags 0.11.9
#   without a TFMessage: ROS1_NOETIC
#   asked for it: KeyError 'tf2_msgs/msg/TFMessage'
#   registered by hand: tf2_msgs/msg/TFMessage
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'rosbags==0.11.9'
cat > finding.py <<'PYTHON'
import importlib.metadata

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

print("rosbags", importlib.metadata.version("rosbags"))
without = [
    store.name
    for store in Stores
    if store is not Stores.EMPTY and not any("tfmessage" in name.lower() for name in get_typestore(store).fielddefs)
]
print("without a TFMessage:", *without)
assert without == ["ROS1_NOETIC"]
noetic = get_typestore(Stores.ROS1_NOETIC)
try:
    noetic.get_msgdef("tf2_msgs/msg/TFMessage")
    raise SystemExit("it is there")
except KeyError as error:
    print("asked for it: KeyError", error)
noetic.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
print("registered by hand:", noetic.get_msgdef("tf2_msgs/msg/TFMessage").name)
PYTHON
venv/bin/python finding.py
