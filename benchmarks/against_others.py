"""Our network and trainer against what one would take instead: the same frames, the same CPU seconds of training, one thread each.

    python benchmarks/against_others.py --data cityscapes:data/demo --seconds 200 --seeds 0 1 2 --out runs/against_others.json

| kind | what it is | needs |
|---|---|---|
| ours | `advmtl train CONFIG`, its epochs chosen by the measured time of a step; or at a half or a quarter of the seconds | |
| plain | an afternoon's script: MobileNetV3-Small, a feature pyramid, cross entropy + L1 of log depth, AdamW, warm-up, cosine | |
| smp | segmentation-models-pytorch's FPN with a MobileNetV3-Small encoder of timm, classes alone | segmentation-models-pytorch==0.6.0 |
| libmtl | LibMTL's trainer, hard parameter sharing and equal weights, its dilated ResNet-50 and heads in DeepLab's manner | a checkout of LibMTL (4336804) on PYTHONPATH, torch_geometric, cvxpy |
| refinenet | a load equal to multi-task-refinenet (`light_refinenet.py`), the plain losses | |

A kind whose package is missing is left out, aloud. Every run has a process of its own; kinds take turns within a seed. Seconds are those of the training
process's CPU, reading frames included and measuring not, so that other work on the machine disturbs them little. Everybody learns from the frames as our
loader reads them, and is measured by our meters on exact depth at the network's size; the others flip, zoom by 1 to 1.6 and change brightness. Prints a
table with ratios to `plain`, writes JSON.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from light_refinenet import build_light_refinenet
from other_trainers import CPU, Plain, by_libmtl, smp_network, taught

from advmtl.config import Config, Source, load_config
from advmtl.data import train_loader, val_loaders
from advmtl.evaluation import maps_of
from advmtl.tasks import TASKS
from advmtl.training import build, fit, settle_classes, train_step
from preprocessing.ground import write_json

SHARES = {"ours": 1.0, "ours half": 0.5, "ours quarter": 0.25}
NEEDS = {"smp": "segmentation_models_pytorch", "libmtl": "LibMTL"}
KINDS = (*SHARES, "plain", "smp", "refinenet", "libmtl")
FIGURES = {
    "mIoU": ("segmentation", "miou"),
    "mIoU 7": ("segmentation", "miou_categories"),
    "AbsRel": ("depth", "abs_rel"),
    "RMSE [m]": ("depth", "rmse_m"),
    "δ1": ("depth", "delta1"),
    "edge F1": ("depth", "edge_f1"),
}


def by_us(config: Config, seconds: float) -> tuple[nn.Module, int]:
    """Our trainer; as many epochs as the seconds allow, by the time of a few steps."""
    timed = config.train.model_copy(update={"max_steps": 1000})  # shares of the training become steps of so many
    state = build(config.model_copy(update={"train": timed}), CPU)
    loader = train_loader(config)
    settle_classes(state, loader)
    batch = next(iter(loader))
    small = config.train.small_share

    def cost(shown: Any) -> float:
        taken = []
        for _ in range(6):
            start = time.process_time()
            train_step(state, shown)
            taken.append(time.process_time() - start)
        return sorted(taken)[2]

    step = (1 - small) * cost(batch) + (small * cost(batch.halved(config.task_table, config.spec)) if small else 0)
    loading = 0.008  # a batch from the cache, augmented
    epochs = max(1, round(seconds / (step + loading) / loader.batch_sampler.batches))
    train = config.train.model_copy(update={"epochs": epochs, "evaluate_every_epochs": 10**6, "panels": 0})
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(config.model_copy(update={"train": train}), Path(folder) / "run", CPU)
    return fitted.model.network, epochs * loader.batch_sampler.batches


@torch.no_grad()
def measured(network: nn.Module, config: Config) -> dict[str, Any]:
    """Our meters on the validation frames."""
    meters = {name: TASKS[name].learning.meter(config.spec) for name in config.tasks}
    told: set[str] = set()
    for _, loader in val_loaders(config):
        for batch in loader:
            maps = maps_of(network, batch, tasks=config.task_table, spec=config.spec)
            told |= maps.keys()
            for name, meter in meters.items():
                if name in maps:
                    meter.update(maps, batch.targets, len(batch))
    return {name: meter.compute() for name, meter in meters.items() if name in told}


def one(kind: str, config: Config, seconds: float, seed: int) -> dict[str, Any]:
    """Train and measure one; in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    classes, start = len(config.spec.labels.names), time.process_time()
    if kind not in SHARES:
        config = ignoring_lenses(config)
    if kind in SHARES:
        network, steps = by_us(config.model_copy(update={"seed": seed}), seconds * SHARES[kind])
    elif kind == "libmtl":
        network, steps = by_libmtl(config, seconds, seed, classes)
    else:
        makers: dict[str, Callable[[], nn.Module]] = {
            "plain": lambda: Plain(classes),
            "refinenet": lambda: build_light_refinenet(classes).train(),
            "smp": lambda: smp_network(classes),
        }
        network, steps = taught(makers[kind](), config, seconds, seed, 2e-3 if kind == "refinenet" else 5e-3)
    spent = time.process_time() - start
    return {"kind": kind, "seed": seed, "steps": steps, "cpu_s": spent, "figures": measured(network, config)}


def config_of(args: argparse.Namespace) -> Config:
    """Ours on the benchmark's data."""
    config = load_config(args.config, ["data.workers=0", *args.set])
    if args.data is None:
        return config
    sources = {role: [Source.parse(f"{args.data}:{role}")] for role in ("train", "val")}
    return config.model_copy(update={"data": config.data.model_copy(update=sources)})


def ignoring_lenses(config: Config) -> Config:
    """The same with metres as they are, which is what the others learn."""
    return config.model_copy(update={"depth": config.depth.model_copy(update={"lens": "ignored"})})


def mean_and_deviation(rows: list[dict[str, Any]], where: tuple[str, str]) -> str:
    """Of one figure over the rows that have it."""
    values = [row["figures"].get(where[0], {}).get(where[1]) for row in rows]
    known = [value for value in values if value is not None]
    spread = f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}" if known else "–"


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds as Markdown."""
    lines = ["| | steps | CPU s | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * (len(FIGURES) + 2)]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        cells = [f"{np.mean([row['steps'] for row in own]):.0f}", f"{np.mean([row['cpu_s'] for row in own]):.0f}"]
        cells += [mean_and_deviation(own, where) for where in FIGURES.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """See the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", help="format:root with the splits train and val; without, the sources that --config names"
    )
    parser.add_argument("--config", default="demo")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for ours")
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("runs/against_others.json"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one[0], config_of(args), args.seconds, int(args.one[1]))))
        return
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for kind in args.kinds:
            if kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None:
                print(f"left out: {kind} ({NEEDS[kind]} is not installed)")
                continue
            command = [sys.executable, __file__, *sys.argv[1:], "--one", kind, str(seed)]
            done = subprocess.run(
                command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=False
            )
            if done.returncode:
                print(f"failed: {kind}, seed {seed}")
                continue
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
            write_json(args.out, {"arguments": sys.argv[1:], "rows": rows})
            print(table(rows), flush=True)


if __name__ == "__main__":
    main()
