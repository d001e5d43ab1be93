"""From an afternoon's script to our recipe, part by part: what each part costs in CPU seconds and what it gains in the same seconds.

    python benchmarks/recipe_parts.py --data cityscapes:data/demo --seconds 100 --seeds 0 1 2 --out runs/recipe_parts.json

Rows: the script of `against_others.py`, our trainer with the losses that the demo had before, and then one change after the other, each on top of those above
it, up to `demo`. Every run has a process and a thread of its own and the same CPU seconds of training; rows take turns within a seed. Prints a table with the
CPU seconds of a step and, of each figure, mean and deviation over the seeds; writes JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from against_others import FIGURES, by_us, config_of, ignoring_lenses, mean_and_deviation, measured
from other_trainers import CPU, Plain, taught

from preprocessing.ground import write_json

BEFORE = {
    "discriminators": "{}",
    "tasks.segmentation.loss_stride": "1",
    "tasks.depth.losses": "{scale_invariant: 1.0, berhu: 0.5}",
    "tasks.depth.options": "{berhu: {space: log}}",
    "train.small_share": "0",
    "depth.lens": "ignored",
}
PARTS: dict[str, list[str]] = {  # which of these keys are left to the demo from this row on
    "trainer": [],
    "+ class losses on a lattice": ["tasks.segmentation.loss_stride"],
    "+ L1 of log depth for berHu": ["tasks.depth.losses", "tasks.depth.options"],
    "+ small pictures first": ["train.small_share"],
    "+ their depth as behind a shorter lens": ["depth.lens"],
    "+ critic in the last fifth": ["discriminators"],
}


def changes(row: str) -> list[str]:
    """The overrides of the demo that make this row."""
    left = dict(BEFORE)
    for name, keys in PARTS.items():
        for key in keys:
            del left[key]
        if name == row:
            return [f"{key}={value}" for key, value in left.items()]
    raise KeyError(row)


def one(row: str, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train and measure one row, in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    if row == "plain":
        args.set = []
        config = ignoring_lenses(config_of(args))
        network, steps = taught(Plain(len(config.spec.labels.names)), config, args.seconds, seed, 5e-3)
    else:
        args.set = changes(row)
        config = config_of(args)
        network, steps = by_us(config.model_copy(update={"seed": seed}), args.seconds)
    return {"row": row, "seed": seed, "steps": steps, "figures": measured(network, config)}


def table(rows: list[dict[str, Any]], seconds: float) -> str:
    """Markdown; seconds of a step are the budget over the steps."""
    lines = ["| | steps | CPU s a step | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * (len(FIGURES) + 2)]
    for name in dict.fromkeys(row["row"] for row in rows):
        own = [row for row in rows if row["row"] == name]
        steps = sum(row["steps"] for row in own) / len(own)
        cells = [mean_and_deviation(own, where) for where in FIGURES.values()]
        lines.append(f"| {name} | {steps:.0f} | {seconds / steps:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """See the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="format:root with the splits train and val")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", default=["plain", *PARTS], choices=["plain", *PARTS])
    parser.add_argument("--out", type=Path, default=Path("runs/recipe_parts.json"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one[0], args, int(args.one[1]))))
        return
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for row in args.rows:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", row, str(seed)]
            done = subprocess.run(
                command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
            )
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
            write_json(args.out, {"arguments": sys.argv[1:], "device": str(CPU), "rows": rows})
            print(table(rows, args.seconds), flush=True)


if __name__ == "__main__":
    main()
