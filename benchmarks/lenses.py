"""Metres behind lenses that training never showed, with the canonical lens and without, on the same generated streets.

    python benchmarks/lenses.py --work runs/lenses --seeds 1 2 3 --steps 2400

Renders, where they are not there yet, a training set behind 48 to 56 degrees and sets of the same other streets behind each of the test lenses, and one of
a higher, tilted camera; trains every row of `ROWS` for the same number of steps; measures median predicted/true and AbsRel over all pixels with a true depth
of 1 to 80 m. A run that is there is not trained again. Prints a table, writes JSON.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from advmtl.config import Source, load_config
from advmtl.data import val_loaders
from advmtl.evaluation import maps_of
from advmtl.training import fit, load_trained
from preprocessing.ground import write_json

TRAINED_DEG = "48:56"
TESTS: dict[str, list[str]] = {
    **{f"{degrees} deg": ["--hfov-deg", str(degrees)] for degrees in (30, 40, 52, 70, 90)},
    "52 deg, 2.2 m high, 4 deg down": ["--hfov-deg", "52", "--camera-height", "2.2", "--pitch-deg", "4"],
}
ROWS: dict[str, list[str]] = {
    "ignored": ["depth.lens=ignored"],
    "canonical": [],
    "canonical, zoom to 1.7": ["data.augment.zoom=[1.0,1.7]"],
    "canonical, every 4th step small": ["train.small_every=4"],
    "both": ["data.augment.zoom=[1.0,1.7]", "train.small_every=4"],
    "canonical, zooms from 0.6 to 1.7": ["data.augment.zoom=[0.6,1.7]"],
    "canonical, zooms from 0.6 to 2.2": ["data.augment.zoom=[0.6,2.2]"],
    "canonical, trained at other heights and pitches": [],
}
TRAINING_SETS: dict[str, list[str]] = {
    "train": [],
    "train_mounts": ["--camera-height", "1.2:2.5", "--pitch-deg", "-2:6"],
}


def training_set(row: str) -> str:
    """The set that a row learns from."""
    return "train_mounts" if row.endswith("heights and pitches") else "train"


def render(work: Path, scenes: int, rows: list[str]) -> None:
    """The sets that are missing."""
    for name in sorted({training_set(row) for row in rows}):
        if not (work / name / "depth").is_dir():
            options = ["--scenes", str(scenes), "--seed", "1", "--hfov-deg", TRAINED_DEG, *TRAINING_SETS[name]]
            _advmtl("synth", work / name, *options)
            _advmtl("preprocess", work / name)
    for name, options in TESTS.items():
        if not (work / _folder(name) / "leftImg8bit" / "val").is_dir():
            _advmtl(
                "synth", work / _folder(name), *["--scenes", "24", "--val-fraction", "0.9", "--seed", "77"], *options
            )


def _advmtl(command: str, folder: Path, *options: str) -> None:
    program = [sys.executable, "-c", "from advmtl.cli.app import main; main()"]
    subprocess.run([*program, command, str(folder), *options], check=True)


def _folder(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")


def trained(row: str, seed: int, work: Path, config: str, steps: int) -> Path:
    """The run of a row."""
    folder = work / "runs" / f"{_folder(row)}-{seed}"
    if not (folder / "evaluation.json").is_file():
        root = work / training_set(row)
        sources = [f"data.{split}=[{{format: cityscapes, root: {root}, split: {split}}}]" for split in ("train", "val")]
        print(f"{row}, seed {seed}: {steps} steps on cityscapes:{root}:train", flush=True)
        fit(
            load_config(config, [*sources, f"seed={seed}", f"train.max_steps={steps}", "train.panels=0", *ROWS[row]]),
            folder,
        )
    return folder


def measure(run: Path, root: Path) -> tuple[float, float]:
    """Median predicted/true and AbsRel over all pixels of a set's validation frames."""
    network = load_trained(run)
    config, ratios = network.config, []
    ((_, loader),) = val_loaders(config, [Source.parse(f"cityscapes:{root}:val")])
    with torch.inference_mode():
        for batch in loader:
            depth = maps_of(network.generator, batch, tasks=config.task_table, spec=config.spec)["depth"]
            true = batch.targets["depth"]
            valid = (true > 1) & (true < config.depth.max_m)
            ratios.append(depth[valid] / true[valid])
    ratio = torch.cat(ratios)
    return float(ratio.median()), float((ratio - 1).abs().mean())


def main() -> None:
    """Render, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/lenses"), help="folder of sets and runs")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--scenes", type=int, default=192)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--out", type=Path, default=Path("runs/lenses.json"))
    given = parser.parse_args()
    render(given.work, given.scenes, given.rows)
    results: list[dict[str, Any]] = []
    for seed in given.seeds:
        for row in given.rows:
            run = trained(row, seed, given.work, given.config, given.steps)
            for test in TESTS:
                ratio, abs_rel = measure(run, given.work / _folder(test))
                results.append({"row": row, "seed": seed, "test": test, "median_ratio": ratio, "abs_rel": abs_rel})
            write_json(given.out, {"steps": given.steps, "results": results})
    print(f"median predicted/true, AbsRel; means over seeds {given.seeds}")
    print("| | " + " | ".join(TESTS) + " |\n|---|" + "---|" * len(TESTS))
    for row in given.rows:
        cells = []
        for test in TESTS:
            own = [one for one in results if (one["row"], one["test"]) == (row, test)]
            cells.append(f"{mean(one['median_ratio'] for one in own):.3f}, {mean(one['abs_rel'] for one in own):.3f}")
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
