#!/usr/bin/env bash
# Version: av 18.1.0 (FFmpeg 8.1), Python 3.11.
# Expected: a decoded frame is freed when its last name is gone, whatever of it was looked at.
# Behaviour: `frame.side_data` keeps an object that keeps the frame. From then on the frame is in a cycle, and stays in
#   memory with all its pixels until the garbage collector comes, which counts objects, not megabytes. `frame.rotation`
#   reads the display matrix without it.
# Output seen:
#   av 18.1.0
#   rotation: 0 of 40 frames wait for the garbage collector
#   side_data: 40 of 40 frames wait for the garbage collector
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 av==18.1.0
cat > finding.py <<'PYTHON'
import gc

import av
import numpy as np

print("av", av.__version__)
with av.open("film.mkv", "w") as out:
    stream = out.add_stream("ffv1", rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
    for number in range(40):
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((16, 32, 3), 6 * number, np.uint8))))
    out.mux(stream.encode(None))

waiting = {}
gc.disable()
for name, look in (("rotation", lambda frame: frame.rotation), ("side_data", lambda frame: frame.side_data)):
    gc.collect()
    with av.open("film.mkv") as film:
        count = 0
        for frame in film.decode(video=0):
            look(frame)
            count += 1
    del frame
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    waiting[name] = sum(isinstance(one, av.VideoFrame) for one in gc.garbage)
    gc.garbage.clear()
    print(f"{name}: {waiting[name]} of {count} frames wait for the garbage collector")
assert waiting == {"rotation": 0, "side_data": 40}
PYTHON
venv/bin/python finding.py
