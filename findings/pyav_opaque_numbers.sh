#!/usr/bin/env bash
# Version: av 18.1.0 (FFmpeg 8.1).
# Expected: what is set as a packet's `opaque` comes back with the frame of that packet (`copy_opaque`).
# Behaviour: PyAV keeps such objects by identity, and small numbers are one object: a number that is also set on a packet of
#   another container is forgotten for both when one of the two is freed. The frame then says None. An object of its own for
#   each packet, [number] say, comes back.
# Output seen:
#   av 18.1.0
#   numbers: 4 of 4 frames say None
#   lists: 0 of 4 frames say None
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 av==18.1.0
cat > finding.py <<'PYTHON'
import av
import numpy as np

print("av", av.__version__)
with av.open("film.mkv", "w") as out:
    stream = out.add_stream("ffv1", rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
    for number in range(4):
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((16, 32, 3), 9 * number, np.uint8))))
    out.mux(stream.encode(None))


def packets(wrap):
    container = av.open("film.mkv")
    context = container.streams.video[0].codec_context
    context.copy_opaque, context.thread_count = True, 1
    found = [packet for packet in container.demux(video=0) if packet.size]
    for number, packet in enumerate(found):
        packet.opaque = wrap(number)
    return container, found


missing = {}
for name, wrap in (("numbers", lambda number: number), ("lists", lambda number: [number])):
    container, found = packets(wrap)
    other, theirs = packets(wrap)
    theirs.clear()  # the other container's packets are freed
    said = [frame.opaque for packet in found for frame in packet.decode()]
    missing[name] = said.count(None)
    print(f"{name}: {missing[name]} of {len(said)} frames say None")
assert missing["numbers"] and not missing["lists"]
PYTHON
venv/bin/python finding.py
