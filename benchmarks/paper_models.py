"""Train `baseline` and the paper's four models on one generated set with one budget; write the table and the curves.

    python benchmarks/paper_models.py --data data/synth400 --out runs/paper --jobs 2 \
        --perceptual ../shared/weights/squeezenet1_1_imagenet.pth

Runs that are done are not repeated, so the script can be stopped and called again. Validation is against the set's exact
depth. Writes OUT/results.md, OUT/results.json and OUT/discriminators.png.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

FIGURES = {  # path in evaluation.json: (heading with unit, digits, scale)
    ("segmentation", "miou_categories"): ("mIoU 7 cat. [%]", 2, 100),
    ("segmentation", "miou"): ("mIoU 19 [%]", 2, 100),
    ("segmentation", "pixel_accuracy"): ("pixel acc. [%]", 2, 100),
    ("segmentation", "boundary_iou"): ("boundary IoU [%]", 2, 100),
    ("depth", "abs_rel"): ("AbsRel [1]", 4, 1),
    ("depth", "rmse_m"): ("RMSE [m]", 3, 1),
    ("depth", "delta1"): ("δ1 [%]", 2, 100),
    ("depth", "edge_f1"): ("depth-edge F1 [%]", 2, 100),
}


def command(args: argparse.Namespace, name: str, seed: int) -> list[str]:
    """The command line of one run."""
    perceptual = [
        "perceptual.network=squeezenet",
        f"perceptual.weights={args.perceptual}",
        "perceptual.scale=0.5",
    ]
    without = ["tasks.segmentation.losses.perceptual=0", "tasks.depth.losses.perceptual=0"]
    return [
        *(sys.executable, "-m", "advmtl", "train", name),
        *("--data", f"cityscapes:{args.data}", "--out", str(args.out / f"{name}_s{seed}"), "--seed", str(seed)),
        *("encoder.weights=null", "data.size=256x128", f"train.epochs={args.epochs}"),
        *("train.learning_rate=5e-3", "train.ema_decay=0.99", "train.evaluate_every_epochs=5", "data.workers=0"),
        *(perceptual if args.perceptual else without),
        *args.override,
    ]


def train(args: argparse.Namespace, name: str, seed: int) -> Path:
    """Run one training, unless its evaluation is there already."""
    folder = args.out / f"{name}_s{seed}"
    if not (folder / "evaluation.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        with (folder / "output.txt").open("w") as output:
            subprocess.run(command(args, name, seed), check=True, stdout=output, stderr=output, env=environment)
        print(f"done: {folder}", flush=True)
    return folder


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: one row a configuration, mean ± deviation over its seeds."""
    lines = [
        "| configuration | seeds | " + " | ".join(heading for heading, _, _ in FIGURES.values()) + " |",
        "|---" * (len(FIGURES) + 2) + "|",
    ]
    for name, runs in results.items():
        cells = []
        for (task, key), (_, digits, scale) in FIGURES.items():
            values = [run[task][key] * scale for run in runs]
            spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.{digits}f}{spread}")
        lines.append(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(folders: list[Path], path: Path) -> None:
    """Every discriminator's scores and accuracy, and the combined loss, over the steps of the first seed's runs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = {folder.name: [json.loads(line) for line in (folder / "metrics.jsonl").open()] for folder in folders}
    figure, axes = plt.subplots(3, len(runs), figsize=(4 * len(runs), 8), sharex=True, squeeze=False)
    for column, (name, rows) in enumerate(runs.items()):
        rows = [row for row in rows if row["kind"] == "train"]
        steps = [row["step"] for row in rows]
        critics = sorted({key.split("/")[1] for row in rows for key in row if key.startswith("discriminator/")})
        for critic, colour in zip(critics, ("C0", "C1", "C2"), strict=False):
            for kind, style in (("real", "-"), ("fake", "--")):
                values = [row.get(f"discriminator/{critic}/score_{kind}") for row in rows]
                axes[0][column].plot(steps, values, colour + style, label=f"{critic}, {kind}", lw=0.8)
            accuracy = [row.get(f"discriminator/{critic}/accuracy") for row in rows]
            axes[1][column].plot(steps, accuracy, colour, label=critic, lw=0.8)
        for key in ("segmentation/cross_entropy", "segmentation/dice", "depth/scale_invariant", "depth/berhu"):
            axes[2][column].plot(steps, [row.get(key) for row in rows], label=key, lw=0.8)
        axes[0][column].set_title(name)
        axes[1][column].set_ylim(0.4, 1.02)
        axes[2][column].set_yscale("log")
        axes[2][column].set_xlabel("step")
        for row_of_axes in axes:
            row_of_axes[column].legend(fontsize=6)
    for axis, label in zip(axes[:, 0], ("mean score", "accuracy (0.5 = chance)", "supervised loss"), strict=True):
        axis.set_ylabel(label)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/paper"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--perceptual", type=Path, help="SqueezeNet 1.1 weights; none: no perceptual losses")
    parser.add_argument("--seeded", nargs="*", default=["baseline", "model3"], help="trained with three seeds")
    parser.add_argument("--models", nargs="*", default=["baseline", "model1", "model2", "model3", "model4"])
    parser.add_argument("override", nargs="*", help="key=value for every run")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    # Seed 0 of all first, so that a table stands as early as possible.
    wanted = [(name, seed) for seed in range(3) for name in args.models if seed == 0 or name in args.seeded]
    with ThreadPoolExecutor(args.jobs) as pool:
        folders = dict(zip(wanted, pool.map(lambda item: train(args, *item), wanted), strict=True))
    results = {
        name: [json.loads((folders[name, s] / "evaluation.json").read_text()) for n, s in wanted if n == name]
        for name in args.models
    }
    text = table(results)
    (args.out / "results.md").write_text(text + "\n")
    (args.out / "results.json").write_text(json.dumps(results, indent=1))
    critics = [folders[name, 0] for name in args.models if name != "baseline"]
    curves(critics, args.out / "discriminators.png")
    print(text)


if __name__ == "__main__":
    main()
