"""What weather in training is worth under corruptions, and what it costs on clear frames, with equal steps.

    python benchmarks/weather_gain.py SET [--val SET] [--config demo] [--steps 600] [--size 256x128] [--seeds 0,1]
        [--kinds fog,rain,snow,night,noise] [--chance 0.2] [--until 80%] [--out FOLDER]

Trains the configuration without and with `data.augment.weather` on one thread, then measures both on the validation frames as they
are and under every kind at five strengths. Kinds of the training and of the evaluation may differ: --train-kinds fog,night tells what
carries over. A run that is there is continued, not repeated.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from advmtl.config import Config, load_config
from advmtl.data import val_loaders
from advmtl.evaluation import CORRUPTIONS, corruption_figures, evaluate
from advmtl.training import fit, load_trained
from preprocessing.ground import write_json

CPU = torch.device("cpu")
SHOWN = {"segmentation": "miou", "depth": "abs_rel"}


def config_of(given: argparse.Namespace, seed: int, weather: bool) -> Config:
    """The configuration of one run."""
    overrides = [
        f"seed={seed}",
        f"data.train=[{{format: cityscapes, root: {given.source}, split: train}}]",
        f"data.val=[{{format: cityscapes, root: {given.val or given.source}, split: val}}]",
        f"data.size={given.size}",
        "data.workers=0",
        f"data.batch_size={given.batch}",
        f"train.max_steps={given.steps}",
        "train.panels=0",
        *given.override,
    ]
    if weather:
        kinds = f", kinds: [{given.train_kinds}]" if given.train_kinds else ""
        until = f", until: {given.until}" if given.until else ""
        overrides.append(f"data.augment.weather={{chance: {given.chance}{kinds}{until}}}")
    return load_config(given.config, overrides)


def measured(config: Config, folder: Path, kinds: list[str]) -> dict:
    """Train, and the figures of the best state."""
    fit(config, folder, CPU, Console(stderr=True))
    trained = load_trained(folder)
    loaders = val_loaders(trained.config)
    clean = evaluate(trained.generator, loaders, trained.config)
    return corruption_figures(trained.generator, loaders, trained.config, clean, kinds=kinds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SET", type=Path)
    parser.add_argument("--val", type=Path)
    parser.add_argument("--config", default="demo")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--chance", type=float, default=0.5)
    parser.add_argument("--until", default="", help="data.augment.weather.until, such as 80%%")
    parser.add_argument("--kinds", default=",".join(CORRUPTIONS))
    parser.add_argument("--set", dest="override", action="append", default=[], help="KEY=VALUE of both")
    parser.add_argument("--train-kinds", default="")
    parser.add_argument("--out", type=Path, default=Path("runs/weather_gain"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict]] = {"without": [], "with": []}
    for seed in map(int, given.seeds.split(",")):
        for name, figures in found.items():
            config = config_of(given, seed, name == "with")
            figures.append(measured(config, given.out / f"{name}_{seed}", given.kinds.split(",")))
    write_json(given.out / "weather_gain.json", json.loads(json.dumps(found)))
    for task, figure in SHOWN.items():
        rows = {"as they are": lambda one: one["clean"], "mean": lambda one: one["mean"]}
        rows |= {kind: lambda one, kind=kind: one["kinds"][kind]["mean"] for kind in found["with"][0]["kinds"]}
        table = Table(title=f"{task}: {figure}, mean of seeds {given.seeds}, {given.steps} steps")
        for column in ("frames", "without", "with"):
            table.add_column(column, justify="left" if column == "frames" else "right")
        for words, of in rows.items():
            values = []
            for one in found.values():
                own = [of(figures).get(task, {}).get(figure) for figures in one]
                values.append("–" if None in own else f"{sum(own) / len(own):.4f}")
            table.add_row(words, *values)
        Console().print(table)


if __name__ == "__main__":
    main()
