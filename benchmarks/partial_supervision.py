"""Few labels: each way of learning from the rest against training on the labels alone, on a generated set.

    advmtl synth data/synth --scenes 470 --seed 1 --val-fraction 0.15
    advmtl preprocess data/synth
    python benchmarks/partial_supervision.py --data data/synth --out runs/partial

All truth is known and most of it is hidden (`data.label_budget`). Runs that are done are not repeated, so the script can
be stopped and called again. Writes OUT/results.md and OUT/results.json: means and deviations over the seeds, and what
each method gains over the labels alone; bold where that is more than all deviations over the seeds.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

FIGURES = {  # path in evaluation.json: (heading with unit, digits, scale, which way is better)
    ("segmentation", "miou_categories"): ("mIoU 7 cat. [%]", 2, 100, 1),
    ("segmentation", "miou"): ("mIoU 19 [%]", 2, 100, 1),
    ("segmentation", "pixel_accuracy"): ("pixel acc. [%]", 2, 100, 1),
    ("depth", "abs_rel"): ("AbsRel [1]", 4, 1, -1),
    ("depth", "rmse_m"): ("RMSE [m]", 3, 1, -1),
    ("depth", "delta1"): ("δ1 [%]", 2, 100, 1),
}
HEADLINE = (("segmentation", "miou"), ("depth", "abs_rel"))
REGIMES = {"one": "one", "1to9": "1:9", "9to1": "9:1"}
# A quarter of the budget for the teacher to learn something, another one until it has full weight.
_TEACHER = "partial.mean_teacher={start_step: 75, ramp_steps: 75}"
METHODS: dict[str, list[str]] = {
    "labels alone": [],
    "adversary": ["partial.adversary={}"],
    "consistency": ["partial.consistency={}"],
    "mean teacher": [_TEACHER],
    "teacher + adversary": [_TEACHER, "partial.adversary={}"],
}
COMMON = (
    *("encoder.width=0.75", "data.size=192x96", "train.learning_rate=3e-3", "train.ema_decay=0.99"),
    *("train.evaluate_every_epochs=3", "data.workers=0", "train.panels=2"),
    *("tasks.segmentation.losses.perceptual=0", "tasks.depth.losses.perceptual=0"),
)


def folder_of(args: argparse.Namespace, regime: str, method: str, seed: int) -> Path:
    """Where a run lies."""
    return args.out / regime / f"{method.replace(' + ', '_and_').replace(' ', '_')}_s{seed}"


def train(args: argparse.Namespace, regime: str, method: str, seed: int) -> Path:
    """Run one training, unless its evaluation is there already."""
    folder = folder_of(args, regime, method, seed)
    if not (folder / "evaluation.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "advmtl", "train", "baseline", "--seed", str(seed), "--out", str(folder)),
            *("--data", f"cityscapes:{args.data}", f"data.label_budget={REGIMES[regime]}", *COMMON),
            *(f"encoder.weights={args.encoder}", f"train.epochs={args.epochs}", f"name={folder.name}"),
            *(*METHODS[method], *args.override),
        ]
        with (folder / "output.txt").open("w") as output:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(command, check=True, stdout=output, stderr=output, env=environment)
        print(f"done: {folder}", flush=True)
    return folder


def done(args: argparse.Namespace, regime: str, method: str) -> list[dict[str, Any]]:
    """Figures of the finished runs, of the first seeds."""
    files = [folder_of(args, regime, method, seed) / "evaluation.json" for seed in range(args.seeds)]
    return [json.loads(file.read_text()) for file in itertools.takewhile(Path.is_file, files)]


def value(run: dict[str, Any], path: tuple[str, str]) -> float:
    """A figure of a run, in the unit of its heading."""
    return float(run[path[0]][path[1]]) * FIGURES[path][2]


def gains(runs: list[dict[str, Any]], alone: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a method gains over the labels alone on each task's first figure; + is better.

    A seed gives both the same initial weights and frames, so gains are taken seed by seed. "clear": their mean exceeds
    their deviation over the seeds; "clear_apart": it exceeds the deviation of either method's figures, too.
    """
    found = {}
    for path in HEADLINE:
        ours, theirs = [value(run, path) for run in runs], [value(run, path) for run in alone]
        each = [FIGURES[path][3] * (a - b) for a, b in zip(ours, theirs, strict=False)]
        several = len(each) > 1
        deviation, apart = (stdev(each), max(stdev(ours), stdev(theirs))) if several else (None, None)
        found["/".join(path)] = {
            **{"gain": mean(each), "deviation": deviation, "deviation_apart": apart, "seeds": len(each)},
            "clear": deviation is not None and mean(each) > deviation,
            "clear_apart": apart is not None and mean(each) > max(apart, deviation or 0),
        }
    return found


def table(regime: str, results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: one row a method, mean ± deviation over its seeds, and its gains seed by seed."""
    headings = " | ".join(heading for heading, *_ in FIGURES.values())
    lines = [f"| labels {REGIMES[regime]} | seeds | {headings} | gain in mIoU 19 | gain in AbsRel |"]
    lines.append("|---" * (len(FIGURES) + 4) + "|")
    for method, runs in results.items():
        cells = []
        for path, (_, digits, _, _) in FIGURES.items():
            values = [value(run, path) for run in runs]
            spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.{digits}f}{spread}")
        if method == "labels alone" or "labels alone" not in results:
            cells += ["", ""]
        else:
            for path, one in zip(HEADLINE, gains(runs, results["labels alone"]).values(), strict=True):
                digits = FIGURES[path][1]
                spread = "" if one["deviation"] is None else f" ± {one['deviation']:.{digits}f}"
                mark = "**" if one["clear_apart"] else ""
                cells.append(f"{mark}{one['gain']:+.{digits}f}{spread}{mark}")
        lines.append(f"| {method} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/partial"))
    parser.add_argument("--encoder", default="../shared/weights/mnv3s075_features_torchvision.pth", help="weights")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--regimes", nargs="*", default=list(REGIMES), choices=list(REGIMES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("override", nargs="*", help="key=value for every run")
    parser.add_argument("--table", action="store_true", help="train nothing; write the tables of what is done")
    args = parser.parse_args()
    # Seed 0 of all first, so that a table stands as early as possible.
    wanted = [(r, m, s) for s in range(args.seeds) for m in args.methods for r in args.regimes]
    if not args.table:
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda item: train(args, *item), wanted))
    texts, figures = [], {}
    for regime in args.regimes:
        results = {method: done(args, regime, method) for method in args.methods}
        results = {method: runs for method, runs in results.items() if runs}
        texts.append(table(regime, results))
        if "labels alone" in results:
            figures[regime] = {method: gains(runs, results["labels alone"]) for method, runs in results.items()}
    (args.out / "results.md").write_text("\n\n".join(texts) + "\n")
    (args.out / "results.json").write_text(json.dumps(figures, indent=1))
    print("\n\n".join(texts))


if __name__ == "__main__":
    main()
