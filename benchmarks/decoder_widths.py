"""Decoders of several widths, trained on the very same batches: what a cheaper one costs in accuracy, and saves in time.

    python benchmarks/decoder_widths.py --data cityscapes:data/demo --channels 64 32,64,64,64 --steps 900 --seeds 0 1 2

One process: every network, a width and a seed, takes the step of a batch before the next batch is read, so all see the
same augmented frames in the same order, and what else the machine does meets all alike. Seeds differ in the weights
alone, and there is no discriminator. Measured by our meters on the validation frames. `CPU s a step` is the median of
each width's steps. Prints Markdown, writes JSON.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from against_others import FIGURES, config_of, mean_and_deviation, measured

from advmtl.config import Config
from advmtl.data import Batch, train_loader
from advmtl.training import build, settle_classes, train_step
from advmtl.training.loop import set_learning_rate
from advmtl.training.state import State
from preprocessing.ground import write_json

CPU = torch.device("cpu")


@dataclass
class Learner:
    """One network under training; `seconds` of CPU of each step."""

    channels: str
    seed: int
    state: State
    seconds: list[float] = field(default_factory=list)

    def learn(self, batch: Batch, epoch_steps: int, total: int) -> None:
        """Take one step."""
        started = time.process_time()
        set_learning_rate(self.state, epoch_steps, total)
        train_step(self.state, batch)
        self.state.step += 1
        self.seconds.append(time.process_time() - started)

    def row(self) -> dict[str, Any]:
        """What it is and how well it does."""
        return {
            "channels": self.channels,
            "seed": self.seed,
            "steps": self.state.step,
            "step_s": statistics.median(self.seconds),
            "figures": measured(self.state.ema, self.state.config),
        }


def learner(config: Config, channels: str, seed: int, steps: int) -> Learner:
    """A fresh network; `channels`: as `generator.channels` has them, with commas."""
    widths = [int(one) for one in channels.split(",")]
    given = widths[0] if len(widths) == 1 else widths
    changed = config.model_copy(
        update={
            "seed": seed,
            "generator": config.generator.model_copy(update={"channels": given}),
            "train": config.train.model_copy(update={"max_steps": steps}),
        }
    )
    return Learner(channels, seed, build(changed, CPU))


def batches(config: Config, steps: int) -> Iterator[tuple[Batch, int]]:
    """So many batches and the steps of an epoch; at half the size where the training begins so."""
    loader, done, epoch = train_loader(config), 0, 0
    while True:
        loader.batch_sampler.set_position(epoch, 0)
        for batch in loader:
            small = config.train.halves_at(done, steps)
            yield (batch.halved(config.task_table, config.spec) if small else batch), loader.batch_sampler.batches
            done += 1
            if done == steps:
                return
        epoch += 1


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds as Markdown."""
    lines = ["| channels | steps | CPU s a step | " + " | ".join(FIGURES) + " |", "|---" * (len(FIGURES) + 3) + "|"]
    for channels in dict.fromkeys(row["channels"] for row in rows):
        own = [row for row in rows if row["channels"] == channels]
        cells = [str(own[0]["steps"]), f"{statistics.mean(row['step_s'] for row in own):.3f}"]
        cells += [mean_and_deviation(own, where) for where in FIGURES.values()]
        lines.append(f"| {channels} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """See the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="format:root with the splits train and val")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for all")
    parser.add_argument("--channels", nargs="+", default=["64", "32,64,64,64"])
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--measures", type=int, default=3, help="how often, at equal distances, the last step among them"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/decoder_widths.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = config_of(args).model_copy(update={"discriminators": {}})
    learners = [learner(config, channels, seed, args.steps) for seed in args.seeds for channels in args.channels]
    for one in learners:
        settle_classes(one.state, train_loader(one.state.config))
    found = []
    measured_at = {round(args.steps * (part + 1) / args.measures) for part in range(args.measures)}
    for done, (batch, epoch_steps) in enumerate(batches(config, args.steps), 1):
        for one in learners:
            one.learn(batch, epoch_steps, args.steps)
        if done % 50 == 0:
            print(f"{done} of {args.steps} steps, {time.process_time():.0f} s of CPU", file=sys.stderr)
        if done in measured_at:
            rows = [one.row() for one in learners]
            found += rows
            print(table(rows), flush=True)
            write_json(args.out, {"steps": args.steps, "rows": found})


if __name__ == "__main__":
    main()
