"""Whether a long run grows: resident memory over many steps' worth of logging, and over a real loop of tiny steps.

    python benchmarks/memory_growth.py --logged 100000 --steps 3000 --out runs/memory_growth.json

Logging: what the loop writes in `--logged` steps, through the progress bar at each and through `Log` (metrics.jsonl and TensorBoard)
at every tenth, as by default, without the steps.
Loop: `advmtl.training.fitting.fit` on generated noise frames with tiny networks, three discriminators, statistics of every step, checkpoints,
a measurement and panels every epoch.
Resident memory is read every per cent of the way. Growth is the mean of the last tenth over the mean of the tenth after the warm-up (the first
fifth), in per cent. Ends with exit code 1 where either is 2 % or more.
"""

import argparse
import gc
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from rich.console import Console

import advmtl.training.fitting
import advmtl.training.loop
from advmtl.config import Config, validate
from advmtl.training import Log, Run, build
from preprocessing.ground import progress, write_depth, write_json, write_png

CPU = torch.device("cpu")
WARM_UP, TENTH = 0.2, 0.1


def resident_mib() -> float:
    """This process's resident set [MiB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(curve: list[float]) -> float:
    """Per cent by which the last tenth lies above the tenth after the warm-up."""
    part = max(1, round(len(curve) * TENTH))
    start = round(len(curve) * WARM_UP)
    return 100 * (statistics.mean(curve[-part:]) / statistics.mean(curve[start : start + part]) - 1)


def tiny(folder: Path, epochs: int) -> Config:
    """Three discriminators on frames of 64x32 px that lie in `folder`."""
    critic = {"channels": 4, "layers": 2}
    source = [{"format": "folder", "root": str(folder)}]
    values = {
        "tasks": {"segmentation": {"losses": {"cross_entropy": 1}}, "depth": {"losses": {"berhu": 1}}},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "discriminators": {
            "segmentation": {"sees": ["segmentation"], "objective": "hinge", **critic},
            "depth": {"sees": ["depth"], "objective": "lsgan", **critic},
            "both": {"sees": ["segmentation", "depth"], "objective": "wgan_gp", **critic},
        },
        "data": {"train": source, "val": source, "size": "64x32", "batch_size": 1, "workers": 0, "cache_mb": 8},
        "train": {"epochs": epochs, "log_every": 1, "checkpoint_every_steps": 50, "panels": 2},
    }
    return validate(Config, values, "benchmark")


def write_frames(folder: Path, count: int) -> None:
    """Noise pictures with labels and depth."""
    rng = np.random.default_rng(0)
    for number in range(count):
        write_png(folder / "images" / f"{number}.png", rng.integers(0, 256, (32, 64, 3), dtype=np.uint8))
        write_png(folder / "labels" / f"{number}.png", rng.integers(0, 19, (32, 64), dtype=np.uint8))
        write_depth(folder / "depth" / f"{number}.png", rng.uniform(2, 60, (32, 64)).astype(np.float32))


def sampled(total: int) -> tuple[list[float], Callable[[int], None]]:
    """A curve, and what to call after each of `total` steps: it reads the memory at every per cent."""
    curve: list[float] = []
    every = max(1, total // 100)

    def after(step: int) -> None:
        if step % every == 0:
            curve.append(resident_mib())

    return curve, after


def logging(steps: int, folder: Path) -> list[float]:
    """Memory while `steps` steps' worth is logged."""
    frames = folder / "frames"
    write_frames(frames, 4)
    state = build(tiny(frames, 1), CPU, pretrained=False)
    (folder / "logged").mkdir()
    log = Log(Run(folder / "logged"), state)
    names = [f"group{number % 7}/figure{number}" for number in range(45)]  # as many as model3 logs
    curve, after = sampled(steps)
    with progress("logging", steps, "steps") as bar:
        for step in range(1, steps + 1):
            note = ""
            if step % 10 == 0:
                values = {name: math.sin(step * 0.01 + place) for place, name in enumerate(names)}
                log.write("train", step, step // 400, values)
                note = f"loss {values[names[0]]:.3f}"
            bar.advance(1, note)
            after(step)
    log.close()
    return curve


def loop(steps: int, folder: Path) -> list[float]:
    """Memory while a run of `steps` tiny steps is trained."""
    frames = folder / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    per_epoch = max(1, min(200, steps // 10))
    write_frames(frames, per_epoch)
    curve, after = sampled(steps)
    real, taken = advmtl.training.loop.train_step, 0

    def counted(*inputs: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        after(taken)
        return real(*inputs, **options)

    with mock.patch.object(advmtl.training.loop, "train_step", counted):
        advmtl.training.fitting.fit(tiny(frames, steps // per_epoch), folder / "run", CPU, Console(quiet=True))
    return curve


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logged", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {"logged": args.logged, "steps": args.steps}
    folder = Path(tempfile.mkdtemp())
    try:
        for name, curve in (("logging", logging(args.logged, folder)), ("loop", loop(args.steps, folder))):
            report[name] = {"growth_percent": growth(curve), "last_mib": curve[-1], "resident_mib": curve}
            tenths = " ".join(f"{value:.1f}" for value in curve[9::10])
            print(f"{name:8s} {report[name]['growth_percent']:+.2f} % after the warm-up; MiB at every tenth: {tenths}")
            gc.collect()
    finally:
        shutil.rmtree(folder)
    if args.out:
        write_json(args.out, report)
    sys.exit(any(report[name]["growth_percent"] >= 2 for name in ("logging", "loop")))


if __name__ == "__main__":
    main()
