"""The weights that `advmtl probe` proposes against hand-set ones and against ones: same steps, several seeds.

    python benchmarks/probe_weights.py demo --data cityscapes:data/demo --seeds 3 --out runs/probe_weights

For every seed the probe is run on the configuration (its seconds are counted), then three trainings of the configuration
as it is: with the weights it comes with ("hand-set"), with every task's weight 1 and the discriminators' own weights
("ones"), and with the proposed ones ("probe"). `--share` may be repeated: one row for each share of the adversary's.
Each training is a run folder; what is finished is not repeated. Writes OUT/probe_weights.json and OUT/table.md: mean ±
standard deviation over the seeds of each task's main metrics, the gradient magnitude similarity, and the weights.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console

from advmtl.cli.train import sources_of
from advmtl.config import Config, load_config
from advmtl.training import fit
from advmtl.tune import probe
from preprocessing.ground import atomic_write, progress, read_json, write_json

CPU = torch.device("cpu")


def weights_of(config: Config, share: float, steps: int, file: Path) -> dict[str, Any]:
    """What the probe proposes for a configuration with its seed, and the seconds it took; kept in a file."""
    if not file.is_file():
        start = time.perf_counter()
        found = probe(config, CPU, steps=steps, share=share).to_dict()
        write_json(file, {**found, "seconds": round(time.perf_counter() - start, 1)})
    known: dict[str, Any] = read_json(file)
    return known


def train(config: Config, folder: Path) -> dict[str, Any]:
    """The metrics of a training, from its folder where it is finished."""
    evaluation = folder / "evaluation.json"
    if not evaluation.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "output.txt").open("a") as output:
            fit(config, folder, CPU, Console(file=output, width=160, soft_wrap=True))
    metrics: dict[str, Any] = json.loads(evaluation.read_text())
    return metrics


def figures(metrics: dict[str, Any], config: Config) -> dict[str, float]:
    """The main metrics by path."""
    return {
        f"{task}.{one.name}": metrics[task][one.name]
        for task in config.tasks
        for one in config.task_table[task].learning.figures
        if one.main and metrics.get(task, {}).get(one.name) is not None
    }


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def main() -> None:
    """Probe, train, tabulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--val", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="of the probe")
    parser.add_argument("--share", type=float, action="append", help="of the adversaries' gradient; default 0.1")
    parser.add_argument("--out", type=Path, default=Path("runs/probe_weights"))
    args = parser.parse_args()
    given = [*sources_of(args.data, args.val), *args.overrides]
    first, shares = load_config(args.config, given), args.share or [0.1]
    ones = [f"tasks.{task}.weight=1" for task in first.tasks]
    rows: dict[str, list[dict[str, Any]]] = {}
    with progress("probing", args.seeds * (2 + len(shares)), "runs") as bar:
        for seed in range(first.seed, first.seed + args.seeds):
            variants: dict[str, tuple[list[str], dict[str, Any]]] = {"hand-set": ([], {}), "ones": (ones, {})}
            for share in shares:
                config = load_config(args.config, [*given, f"seed={seed}"])
                found = weights_of(config, share, args.steps, args.out / f"probe_{share:g}_s{seed}.json")
                variants[f"probe {share:g}"] = (found["overrides"], found)
            for name, (overrides, found) in variants.items():
                config = load_config(
                    args.config, [*given, *overrides, f"seed={seed}", f"name={name.replace(' ', '_')}"]
                )
                metrics = train(config, args.out / f"{config.name}_s{seed}")
                rows.setdefault(name, []).append(
                    {
                        "seed": seed,
                        "weights": {task: one.weight for task, one in config.tasks.items()}
                        | {name: one.weight for name, one in config.discriminators.items()},
                        "similarity_before": found.get("gradient_magnitude_similarity"),
                        "probe_seconds": found.get("seconds"),
                        "metrics": figures(metrics, config),
                    }
                )
                bar.advance(1, f"{name} s{seed}")
    keys = list(rows["ones"][0]["metrics"])
    lines = [f"| weights | {' | '.join(keys)} | probe [s] |", "|---|" + "---:|" * (len(keys) + 1)]
    for name, found in rows.items():
        cells = [spread([one["metrics"][key] for one in found]) for key in keys]
        seconds = [one["probe_seconds"] for one in found if one["probe_seconds"] is not None]
        lines.append(f"| {name} | {' | '.join(cells)} | {spread(seconds) if seconds else '–'} |")
    write_json(args.out / "probe_weights.json", {"configuration": first.name, "steps": args.steps, "rows": rows})
    with atomic_write(args.out / "table.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
