"""What measuring affinity costs: CPU time of a plain step and of a measured one, in turn, and the share of a training that comes of it.

    python benchmarks/affinity_cost.py --config baseline three_tasks model3 --size 256x128 --batch 8 --rounds 5

Perceptual losses are off unless `--perceptual` gives their weights. CPU seconds, so that other work on the machine does not disturb it.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from balancer_cost import make_batch

from advmtl.config import Config, load_config
from advmtl.data import Batch
from advmtl.training import State, build, train_step
from preprocessing.ground import write_json


def config_of(args: argparse.Namespace, name: str) -> Config:
    """The configuration, measured at the default share."""
    base = load_config(name)
    perceptual = (
        ["perceptual.network=squeezenet", f"perceptual.weights={args.perceptual}", "perceptual.scale=0.5"]
        if args.perceptual
        else [f"tasks.{task}.losses.perceptual=0" for task in base.tasks if "perceptual" in base.tasks[task].losses]
    )
    return load_config(name, ["encoder.weights=null", f"data.size={args.size}", *perceptual, "affinity={share: 0.05}"])


def seconds(state: State, batch: Batch, every: int) -> float:
    """CPU time of one step, measured where `every` is 1."""
    assert state.affinity is not None
    state.affinity.every = every
    started = time.process_time()
    train_step(state, batch)
    state.affinity.take()
    spent = time.process_time() - started
    state.step += 1
    return spent


def measure(args: argparse.Namespace, name: str) -> dict[str, float]:
    """Medians over the rounds, after one that does not count."""
    config = config_of(args, name)
    state, batch = build(config, torch.device("cpu")), make_batch(config, args.batch)
    assert state.affinity is not None
    every, never = state.affinity.every, 10**9
    pairs = [(seconds(state, batch, never), seconds(state, batch, 1)) for _ in range(args.rounds + 1)][1:]
    plain, measured = (statistics.median(one) for one in zip(*pairs, strict=True))
    extra = statistics.median(m / p - 1 for p, m in pairs)
    return {"step_s": plain, "measured_s": measured, "extra_steps": extra, "every": every, "share": extra / every}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", nargs="+", default=["baseline", "three_tasks", "model3"])
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--perceptual", default="")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = {}
    for name in args.config:
        one = found[name] = measure(args, name)
        print(
            f"{name:20s} step {one['step_s']:.3f} s, measured {one['measured_s']:.3f} s: {one['extra_steps']:.2f} steps more, every {one['every']}: {one['share']:.1%}",
            flush=True,
        )
    if args.out:
        write_json(args.out, found)


if __name__ == "__main__":
    main()
