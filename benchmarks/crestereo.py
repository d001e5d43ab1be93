"""Measure CREStereo on the CPU: seconds and peak memory for one pair, whole, tiled and in half precision.

    python benchmarks/crestereo.py --json crestereo.json
    python benchmarks/crestereo.py --iterations 4 --variants whole tiled

Weights and pair are made up: what they are changes neither time nor memory. Each variant runs in a process of its
own, as the peak of a process never falls; its figures are those of one direction, without the left-right check.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.stereo import CREStereoSettings
from preprocessing.stereo.crestereo.matcher import crestereo, load

TILE = 512
VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "tiled": {"tile": TILE},
    "bf16": {"precision": "bf16"},
    "bf16, tiled": {"precision": "bf16", "tile": TILE},
}


def write_weights(path: Path) -> None:
    """Save the network as PyTorch initialises it."""
    import torch

    from preprocessing.stereo.crestereo.network import CREStereo

    torch.manual_seed(0)
    torch.save(CREStereo().state_dict(), path)


def peak_mib() -> float:
    """Return the most memory that this process has had resident [MiB]; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(settings: CREStereoSettings, size: tuple[int, int], threads: int) -> dict[str, float]:
    """Match one pair in this process; the figures' names carry units."""
    import torch

    torch.set_num_threads(threads)
    left = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    right = np.roll(left, -16, axis=1)
    load(settings)
    before = peak_mib()
    started, started_cpu = time.perf_counter(), time.process_time()
    match = crestereo(left, right, settings)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    assert match.disparity.shape == left.shape[:2]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,  # of all threads; well below seconds x threads on a busy machine
        "peak_mib": peak_mib(),
        "peak_before_matching_mib": before,
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="2048x1024")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of PyTorch")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["whole", "tiled"])
    parser.add_argument("--weights", type=Path, help="a file of weights, in place of made-up ones")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    figures: dict[str, dict[str, float]] = {}
    width, height = (int(side) for side in options.size.split("x"))
    print(f"{width}x{height}, {options.iterations} iterations, {options.threads} threads, one direction")
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights or Path(folder) / "made_up.pth"
        if options.weights is None:
            write_weights(weights)
        for name in options.variants:
            settings = CREStereoSettings(
                weights=weights, iterations=options.iterations, device="cpu", check=False, **VARIANTS[name]
            )
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures[name] = pool.apply(measure, (settings, (width, height), options.threads))
            wall, cpu, peak = (figures[name][key] for key in ("seconds", "cpu_seconds", "peak_mib"))
            print(f"{name:12} {wall:8.1f} s {cpu:8.1f} s of CPU {peak / 1024:7.2f} GiB", flush=True)
    if options.json is not None:
        stated = {
            "size_px": [width, height],
            "iterations": options.iterations,
            "threads": options.threads,
            "tile_px": TILE,
            "variants": figures,
        }
        options.json.write_text(json.dumps(stated, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
