#!/usr/bin/env bash
# Version: av 18.1.0 (FFmpeg 8.1, libavcodec 62.28).
# Expected: a frame of H.264 whose reference never reached the decoder is marked as corrupt (AVFrame.decode_error_flags or
#   AV_FRAME_FLAG_CORRUPT), as it is for H.265.
# Behaviour: FFmpeg puts a copy of an older frame in its place and marks none of the frames that refer to it; frame_num in
#   their headers leaves one out, which only the log says.
# Output seen:
#   av 18.1.0
#   5 frames behind the missing one, 5 with other pixels, 0 marked
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
random = np.random.default_rng(3)
wide = np.kron(random.integers(0, 255, (12, 60, 3)), np.ones((8, 8, 1))).astype(np.uint8)
with av.open("film.mp4", "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
    stream.options = {"g": "8", "bf": "0"}
    for number in range(8):
        picture = wide[:, 7 * number : 7 * number + 160]
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))))
    out.mux(stream.encode(None))


def decoded(without):
    found = {}
    with av.open("film.mp4") as container:
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        context.flags |= av.codec.context.Flags.output_corrupt
        for number, packet in enumerate(container.demux(video=0)):
            if number != without:
                for frame in packet.decode():
                    found[frame.pts] = (frame.to_ndarray(format="gray"), frame.is_corrupt)
    return [found[time] for time in sorted(found)]


whole, hurt = decoded(None)[3:], decoded(2)[2:]
other = sum(not np.array_equal(a[0], b[0]) for a, b in zip(whole, hurt, strict=True))
marked = sum(corrupt for _, corrupt in hurt)
print(f"{len(hurt)} frames behind the missing one, {other} with other pixels, {marked} marked")
assert other and not marked
PYTHON
venv/bin/python finding.py
