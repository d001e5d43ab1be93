"""Rare classes and thin things: each means by itself against the plain losses, same data, steps and seeds.

    advmtl synth data/demo --scenes 192 --size 512x256 --seed 1
    advmtl preprocess data/demo
    python benchmarks/rare_classes.py --data cityscapes:data/demo --steps 600 --seeds 3 --out runs/rare

Every run is `demo` without its discriminator and with the overrides of its row. Runs that are done are not repeated, so
the script can be stopped and called again. Writes OUT/results.md and OUT/results.json: means and deviations over the
seeds, the gain over the plain losses seed by seed, and the CPU seconds of a run.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RARE = ("person", "rider", "bicycle", "pole", "traffic sign")
SEGMENTATION, DEPTH = "tasks.segmentation", "tasks.depth"
WEIGHTS = f"{SEGMENTATION}.class_weights=inverse_square_root"
BOUNDARY = f"{SEGMENTATION}.options.cross_entropy={{boundary_weight: 2, boundary_px: 1}}"
EDGES = f"{DEPTH}.losses.gradient_matching=0.5"
METHODS: dict[str, list[str]] = {
    "plain": [],
    "no dice": [f"{SEGMENTATION}.losses.dice=0"],
    "weights": [WEIGHTS],
    "weights, ENet": [f"{SEGMENTATION}.class_weights=enet"],
    "weights, no dice": [WEIGHTS, f"{SEGMENTATION}.losses.dice=0"],
    "weights, dice too": [
        f"{SEGMENTATION}.class_weights={{from_counts: inverse_square_root, losses: [cross_entropy, dice]}}"
    ],
    "focal": [f"{SEGMENTATION}.losses={{focal: 1, dice: 0.5}}"],
    "ohem": [f"{SEGMENTATION}.losses={{ohem: 1, dice: 0.5}}"],
    "lovasz": [f"{SEGMENTATION}.losses={{cross_entropy: 1, lovasz: 0.5}}"],
    "smoothing": [f"{SEGMENTATION}.options.cross_entropy.label_smoothing=0.1"],
    "boundary": [BOUNDARY],
    "sampling": ["data.rare_frames={}"],
    "class mix": ["data.class_mix={}"],
    "class mix, half": ["data.class_mix={classes: half}"],
    "edges": [EDGES],
    "together": [WEIGHTS, BOUNDARY, EDGES, "data.class_mix={}"],
}
COMMON = ("discriminators={}", "data.workers=0", "train.panels=0", "train.log_every=50")
Figure = tuple[str, Callable[[dict[str, Any]], float], int, int]  # heading with unit, of an evaluation, digits, sign


def iou(run: dict[str, Any], name: str) -> float:
    """A class's IoU [%]; 0 where it occurs in neither truth nor prediction."""
    return 100 * (run["segmentation"]["iou_per_class"][name] or 0.0)


FIGURES: list[Figure] = [
    ("mIoU 19 [%]", lambda run: 100 * run["segmentation"]["miou"], 1, 1),
    ("mIoU 7 [%]", lambda run: 100 * run["segmentation"]["miou_categories"], 1, 1),
    ("mean of the five [%]", lambda run: mean(iou(run, name) for name in RARE), 1, 1),
    *[(f"{name} [%]", lambda run, name=name: iou(run, name), 1, 1) for name in RARE],  # type: ignore[misc]
    ("boundary IoU [%]", lambda run: 100 * run["segmentation"]["boundary_iou"], 1, 1),
    ("AbsRel [1]", lambda run: run["depth"]["abs_rel"], 3, -1),
    ("δ1 [%]", lambda run: 100 * run["depth"]["delta1"], 1, 1),
    ("depth-edge F1 [%]", lambda run: 100 * run["depth"]["edge_f1"], 1, 1),
]
GAINS = ("mIoU 19 [%]", "mean of the five [%]", "AbsRel [1]", "depth-edge F1 [%]")


def folder_of(args: argparse.Namespace, method: str, seed: int) -> Path:
    """Where a run lies."""
    return args.out / f"{method.replace(', ', '_').replace(' ', '_')}_s{seed}"


def train(args: argparse.Namespace, method: str, seed: int) -> None:
    """Run one training, unless its evaluation is there already."""
    folder = folder_of(args, method, seed)
    if (folder / "cost.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(
            sys.executable,
            "-m",
            "advmtl",
            "train",
            "demo",
            "--data",
            args.data,
            "--seed",
            str(seed),
            "--out",
            str(folder),
        ),
        *(*COMMON, f"train.max_steps={args.steps}", f"train.evaluate_every_epochs={args.steps}", f"name={folder.name}"),
        *(*METHODS[method], *args.override),
    ]
    start = time.time()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{folder}: failed; see {folder / 'output.txt'}")
    cost = {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": time.time() - start}
    (folder / "cost.json").write_text(json.dumps(cost))
    print(f"done: {folder}, {cost['cpu_s']:.0f} s of CPU time", flush=True)


def done(args: argparse.Namespace, method: str) -> dict[int, dict[str, Any]]:
    """Figures of the finished runs by seed, with their cost."""
    found = {}
    for seed in range(args.seeds):
        folder = folder_of(args, method, seed)
        if (folder / "cost.json").is_file():
            run = json.loads((folder / "evaluation.json").read_text())
            found[seed] = {**run, "cost": json.loads((folder / "cost.json").read_text())}
    return found


def summary(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, and deviation over several."""
    return {"mean": mean(values), "deviation": stdev(values) if len(values) > 1 else None}


def text(values: dict[str, float | None], digits: int, sign: str = "") -> str:
    """Mean ± deviation."""
    spread = "" if values["deviation"] is None else f" ± {values['deviation']:.{digits}f}"
    return f"{values['mean']:{sign}.{digits}f}{spread}"


def rows(args: argparse.Namespace) -> dict[str, Any]:
    """By method: its figures, gains over the plain losses on the same seeds (+ is better), CPU seconds, seeds."""
    plain, found = done(args, "plain"), {}
    for method in args.methods:
        runs = done(args, method)
        if not runs:
            continue
        both = sorted(runs.keys() & plain.keys())
        gains = {
            heading: summary([sign * (of(runs[seed]) - of(plain[seed])) for seed in both])
            for heading, of, _, sign in FIGURES
            if heading in GAINS and both and method != "plain"
        }
        found[method] = {
            "overrides": METHODS[method],
            "seeds": sorted(runs),
            "figures": {heading: summary([of(run) for run in runs.values()]) for heading, of, _, _ in FIGURES},
            "gains": gains,
            "cpu_s": summary([run["cost"]["cpu_s"] for run in runs.values()]),
        }
    return found


def table(found: dict[str, Any]) -> str:
    """Markdown: a row a method, then the gains."""
    heads = [heading for heading, *_ in FIGURES]
    lines = ["| | seeds | " + " | ".join(heads) + " | CPU [s] |", "|---" * (len(heads) + 3) + "|"]
    for method, row in found.items():
        cells = [text(row["figures"][heading], digits) for heading, _, digits, _ in FIGURES]
        lines.append(f"| {method} | {len(row['seeds'])} | " + " | ".join(cells) + f" | {text(row['cpu_s'], 0)} |")
    lines += ["", "Gain over `plain`, seed by seed; + is better:", "", "| | " + " | ".join(GAINS) + " |"]
    lines.append("|---" * (len(GAINS) + 1) + "|")
    digits = {heading: number for heading, _, number, _ in FIGURES}
    for method, row in found.items():
        if row["gains"]:
            lines.append(f"| {method} | " + " | ".join(text(row["gains"][h], digits[h], "+") for h in GAINS) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="format:root, with splits train and val")
    parser.add_argument("--out", type=Path, default=Path("runs/rare"))
    parser.add_argument("--steps", type=int, default=600, help="of each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("override", nargs="*", help="key=value for every run")
    parser.add_argument("--table", action="store_true", help="train nothing; write the table of what is done")
    args = parser.parse_intermixed_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.table:
        # Seed 0 of all first, so that a table stands as early as possible.
        with ThreadPoolExecutor(args.jobs) as pool:
            wanted = [(method, seed) for seed in range(args.seeds) for method in args.methods]
            list(pool.map(lambda one: train(args, *one), wanted))
    found = rows(args)
    (args.out / "results.json").write_text(json.dumps({"steps": args.steps, "methods": found}, indent=1))
    (args.out / "results.md").write_text(table(found) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
