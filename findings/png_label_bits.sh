#!/usr/bin/env bash
# Version: pillow 13.0.0 and opencv-python-headless 5.0.0.93.
# Expected: A class map stored as a grey PNG of 2 or 4 bits, which labelling tools write to save space, is read as its ids,
#   as the same file with a palette is: at least where nothing is to be converted (`IMREAD_UNCHANGED`, no `convert`).
# Behaviour: Both stretch the ids to 0..255, Pillow without another mode: 2 bits times 85, 4 bits times 17. Ids 0, 1, 7, 11
#   become 0, 17, 119, 187, and nothing in the array tells. With a palette Pillow gives ids.
# Output seen:
#   Pillow 13.0.0 OpenCV 5.0.0
#   2 bits, ids [0 1 2 3]: Pillow L [  0  85 170 255], OpenCV [  0  85 170 255]; with a palette: Pillow P [0 1 2 3]
#   4 bits, ids [ 0  1  7 11]: Pillow L [  0  17 119 187], OpenCV [  0  17 119 187]; with a palette: Pillow P [ 0  1  7 11]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.3.5 opencv-python-headless==5.0.0.93 pillow==13.0.0
cat > finding.py <<'PYTHON'
import struct
import zlib

import cv2
import numpy as np
import PIL
from PIL import Image


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(ids: np.ndarray, bits: int, palette: bool) -> bytes:
    places = np.arange(bits - 1, -1, -1)
    row = b"\0" + np.packbits((ids[:, None] >> places & 1).astype(np.uint8).ravel()).tobytes()
    head = struct.pack(">IIBBBBB", len(ids), 1, bits, 3 if palette else 0, 0, 0, 0)
    colours = chunk(b"PLTE", bytes(range(3 * 2**bits))) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + colours + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


print("Pillow", PIL.__version__, "OpenCV", cv2.__version__)
for bits, ids in ((2, np.array([0, 1, 2, 3])), (4, np.array([0, 1, 7, 11]))):
    for name, palette in (("grey.png", False), ("palette.png", True)):
        with open(name, "wb") as file:
            file.write(png(ids, bits, palette))
    grey, indexed = Image.open("grey.png"), Image.open("palette.png")
    opencv = cv2.imread("grey.png", cv2.IMREAD_UNCHANGED)[0]
    print(
        f"{bits} bits, ids {ids}: Pillow {grey.mode} {np.asarray(grey)[0]}, OpenCV {opencv}; "
        f"with a palette: Pillow {indexed.mode} {np.asarray(indexed)[0]}"
    )
    assert grey.mode == "L" and np.array_equal(np.asarray(indexed)[0], ids)
    assert np.array_equal(np.asarray(grey)[0], ids * (255 // (2**bits - 1)))
    assert np.array_equal(opencv, ids * (255 // (2**bits - 1)))
PYTHON
venv/bin/python finding.py
