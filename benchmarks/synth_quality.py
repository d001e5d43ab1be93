"""Measure generated scenes: plain SGBM against exact disparity, class presence, seconds per pair.

    python benchmarks/synth_quality.py --pairs 50 --json synth_quality.json

Scenes are rendered in this process, one after the other, without being written to disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import label_set, lookup_table, track
from preprocessing.scenes import Pair, render_pair

BAD_PX = 3.0


def plain_sgbm(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Disparity float32 [H,W] px by OpenCV's SGBM with its textbook settings; negative = no answer."""
    block = 5
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=64,
        blockSize=block,
        P1=8 * block**2,
        P2=32 * block**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
    return matcher.compute(*grey).astype(np.float32) / 16


def errors_px(pair: Pair) -> NDArray[np.float32]:
    """Absolute disparity errors [px] where SGBM answers and the exact disparity is valid."""
    found = plain_sgbm(pair.left, pair.right)
    both = (found >= 0) & pair.valid
    return np.abs(found - pair.disparity)[both]


def measure(pairs: int, size: tuple[int, int], seed: int, first: int) -> dict[str, object]:
    """Render pairs first, first+1, ... and gather the figures; names carry units."""
    table, names = lookup_table("cityscapes", "cityscapes19"), label_set("cityscapes19").names
    total = bad = answered = valid = 0.0
    worst: list[tuple[float, float, int]] = []
    seen, seconds = np.zeros(len(names), int), []
    for index in track(range(first, first + pairs), "Pairs", pairs, "pairs"):
        started = time.process_time()
        pair = render_pair(seed, index, size)
        seconds.append(time.process_time() - started)
        error = errors_px(pair)
        total, bad = total + float(error.sum()), bad + float((error > BAD_PX).sum())
        answered, valid = answered + error.size, valid + float(pair.valid.sum())
        worst.append((float((error > BAD_PX).mean()), float(error.mean()), index))
        ids = np.unique(table[pair.labels])
        seen[ids[ids < len(names)]] += 1
    return {
        "pairs": pairs,
        "size_px": list(size),
        "seed": seed,
        "sgbm_mean_error_px": total / answered,
        "sgbm_worse_than_3px": bad / answered,
        "sgbm_answered": answered / valid,
        "worst_pairs": [
            {"index": i, "worse_than_3px": b, "mean_error_px": e} for b, e, i in sorted(worst, reverse=True)[:5]
        ],
        "cpu_seconds_per_pair": float(np.median(seconds)),
        "class_frames": dict(zip(names, seen.tolist(), strict=True)),
    }


def main() -> int:
    """Print the figures and, where asked, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="index of the first scene")
    parser.add_argument("--size", default="512x256")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    width, height = (int(side) for side in arguments.size.split("x"))
    cv2.setNumThreads(1)
    result = measure(arguments.pairs, (width, height), arguments.seed, arguments.first)
    print(f"SGBM against exact disparity, {arguments.pairs} pairs at {arguments.size}, where both are valid:")
    print(f"  mean error         {result['sgbm_mean_error_px']:.3f} px")
    print(f"  worse than 3 px    {100 * float(str(result['sgbm_worse_than_3px'])):.2f} %")
    print(f"  answered           {100 * float(str(result['sgbm_answered'])):.1f} % of the valid pixels")
    print(f"Rendering            {result['cpu_seconds_per_pair']:.2f} s of one core per pair (median, without writing)")
    print("Frames with the class:")
    for name, count in result["class_frames"].items():  # type: ignore[attr-defined]
        print(f"  {name:<14}{count:>4} of {arguments.pairs}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
