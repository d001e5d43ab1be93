"""From generated streets to a real one: what weather, restyled copies, and unlabelled pictures of the real street are worth.

    advmtl synth data/demo --scenes 192 --size 512x256 --seed 1 && advmtl preprocess data/demo
    advmtl restyle cityscapes:data/demo:train --like camvid:../shared/data/camvid:train --run runs/look --method colour
    advmtl synth data/winter --scenes 320 --size 512x256 --seed 11 --season winter=2,usual && advmtl preprocess data/winter
    python benchmarks/unlabelled.py --looks runs/look/restyle.pt --more data/winter --steps 750 --seeds 0 1

No row but the last learns from a label of a real picture. All rows have `configs/unlabelled.yaml`, less what they are without, and ImageNet
weights of the encoder. The first has `--steps`; the others as many as take the same processor time with one thread: their steps and those of
the first row are timed in turn just before, so that other work on the machine slows both alike.

| row | learns from |
|---|---|
| streets | generated streets as they are |
| + weather | the same under weather (`data.augment.weather`) |
| + look | the same in the look of the real pictures, drawn anew for each picture (`data.augment.restyle`; `--looks`, a row each) |
| + copies | the same and copies in that look (`--restyled`, a row each) |
| + weather, look | both; of several looks the first |
| + more streets | the first row and other generated streets (`--more`) |
| + more streets, look | both |
| + adversary, teacher | generated streets with labels, CamVid's and the drive's training pictures without |
| all | all of it but copies and the other looks |
| real labels | CamVid's labels and the drive's lidar: what labels would have brought in the same time |

Each row has a second line, "adapted": the same network after `advmtl adapt` to CamVid's training pictures.

Measured on CamVid's val (11 classes, 7 categories) and the drive's held-back frames (lidar; metres, and by Garg's crop with median scaling: scale
apart). `--labelled 20` adds so many of CamVid's labelled frames, evenly over the training frames, to every row but the last.
Prints a table with the share of the gap between the first and the last row, writes JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advmtl.adapt import Asked, adapt
from advmtl.config import Config, load_config
from advmtl.data import val_loaders
from advmtl.evaluation import Manner, evaluate
from advmtl.training import fit, load_trained
from advmtl.tune import measure
from preprocessing.ground import InputError, write_json

CPU = torch.device("cpu")
SCALE_APART = "garg_median"
FIGURES = {  # the name in the table: where it stands in an evaluation
    "mIoU, 11": "segmentation.miou",
    "mIoU, 7": "segmentation.miou_categories",
    "AbsRel": "depth.abs_rel",
    "AbsRel, scale apart": f"depth.protocols.{SCALE_APART}.abs_rel",
    "RMSE [m]": "depth.rmse_m",
    "δ1": "depth.delta1",
}
PLAIN = ["data.augment.weather=null", "partial.adversary=null", "partial.mean_teacher=null"]
FIRST, LAST = "streets", "real labels"


def rows_of(args: argparse.Namespace) -> dict[str, tuple[list[str], list[str]]]:
    """By name: the training sources and the overrides of a row."""
    streets = [_source("cityscapes", args.streets, split="train", size="480x240")]
    looks = {_named("+ look", args.looks, Path(path).parent.name): _look(path) for path in args.looks}
    copies = {
        _named("+ copies", args.restyled, Path(root).name): _source("cityscapes", root, split="train", size="480x240")
        for root in args.restyled
    }
    look = next(iter(looks.values()), [])
    more = [_source("cityscapes", root, split="train", size="480x240") for root in args.more]
    # Weights by which some six of ten frames have labels: more pictures without than with would drown these.
    rows = {
        FIRST: (streets, PLAIN),
        "+ weather": (streets, PLAIN[1:]),
        **{name: (streets, PLAIN + one) for name, one in looks.items()},
        **{name: ([*streets, source], PLAIN) for name, source in copies.items()},
        "+ weather, look": (streets, PLAIN[1:] + look),
        **(
            {"+ more streets": (streets + more, PLAIN), "+ more streets, look": (streets + more, PLAIN + look)}
            if more
            else {}
        ),
        "+ adversary, teacher": (streets + _unlabelled(args, 1), PLAIN[:1]),
        "all": (streets + more + _unlabelled(args, 2.6 if more else 1), look),
        LAST: ([_camvid(args), _drive(args, (0, 27), weight=4)], PLAIN),
    }
    few = [_camvid(args, list=args.list)] if args.labelled else []
    return {name: (sources + (few if name != LAST else []), changes) for name, (sources, changes) in rows.items()}


def _unlabelled(args: argparse.Namespace, factor: float) -> list[str]:
    """CamVid's and the drive's training pictures, `factor` times as often as beside the first streets alone."""
    return [_camvid(args, labels="none", weight=0.25 * factor), _drive(args, (0, 27), depth="none", weight=factor)]


def _named(row: str, several: list[str], name: str) -> str:
    return f"{row}, {name}" if len(several) > 1 else row


def _look(path: str) -> list[str]:
    return [f"data.augment.restyle={{file: {path}, chance: 0.7}}"]


def _source(kind: str, root: str, **told: Any) -> str:
    given = {"format": kind, "root": root, **told}
    return "{" + ", ".join(f"{key}: {value}" for key, value in given.items()) + "}"


def _camvid(args: argparse.Namespace, **told: Any) -> str:
    return _source("camvid", args.camvid, **{"split": "train", "size": "320x240", **told})


def _drive(args: argparse.Namespace, frames: tuple[int, int], **told: Any) -> str:
    return _source(
        "folder", args.drive, frames=list(frames), size="640x192", camera=f"{args.drive}/camera.json", **told
    )


def config_of(args: argparse.Namespace, row: str, seed: int, *, timed: bool = False) -> Config:
    """The configuration of a row; `timed`: with next to nothing to measure on."""
    sources, changes = rows_of(args)[row]
    val = [_drive(args, (30, 31))] if timed else [_camvid(args, split="val"), _drive(args, (30, 39))]
    return load_config(
        "unlabelled",
        [
            f"seed={seed}",
            "data.classes=camvid11",
            f"data.train=[{', '.join(sources)}]",
            f"data.val=[{', '.join(val)}]",
            f"encoder={{weights: {args.weights}, width: 0.75}}",
            "train.evaluate_every_epochs=1000000",
            "train.panels=0",
            *changes,
            *args.set,
        ],
    )


def one(args: argparse.Namespace, row: str, seed: int) -> list[dict[str, Any]]:
    """Train and measure one row, as it is and with batch norms for CamVid's pictures, in a process of its own."""
    torch.set_num_threads(1)
    config = config_of(args, row, seed)
    with tempfile.TemporaryDirectory() as folder:
        steps = steps_of(args, row, seed, Path(folder))
        train = config.train.model_copy(update={"max_steps": steps})
        run, start = Path(args.keep or folder) / f"{row}_{seed}".replace(" ", "_"), time.process_time()
        fit(config.model_copy(update={"train": train}), run, CPU)
        found = {"row": row, "seed": seed, "steps": steps, "cpu_s": time.process_time() - start}
        return [{**found, "figures": measured(run)}, {**adapted(args, run), **found, "row": f"{row}, adapted"}]


def steps_of(args: argparse.Namespace, row: str, seed: int, folder: Path) -> int:
    """How many steps a row has: as many as take the time of the first row's."""
    if row == FIRST:
        return args.steps
    first, own = config_of(args, FIRST, seed, timed=True), config_of(args, row, seed, timed=True)
    before, here, after = (measure(config, CPU, folder) for config in (first, own, first))
    return here.steps_in((before.seconds(args.steps) + after.seconds(args.steps)) / 2)


def measured(run: Path) -> dict[str, Any]:
    """The figures of a run or checkpoint on both validation sources."""
    trained = load_trained(run)
    manner = Manner(protocols=(SCALE_APART,))
    return evaluate(trained.generator, val_loaders(trained.config), trained.config, CPU, manner=manner)


def adapted(args: argparse.Namespace, run: Path) -> dict[str, Any]:
    """The same after `advmtl adapt` to CamVid's training pictures."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "adapted.pt"
        done = adapt(Asked(run, [f"camvid:{args.camvid}:train"], new))
        return {"figures": measured(new), "changes": done.figures}


def values_of(rows: list[dict[str, Any]], row: str, where: str) -> list[float]:
    """One figure of a row, over its seeds."""
    found = []
    for figures in (one["figures"] for one in rows if one["row"] == row):
        for key in where.split("."):
            figures = figures.get(key, {})
        found += [figures] if figures else []
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: means and deviations over seeds, and the share of the gap that a row closes."""
    lines = ["| | steps | " + " | ".join(FIGURES) + " | gap closed |", "|---|" + "---|" * (len(FIGURES) + 2)]
    for name in dict.fromkeys(row["row"] for row in rows):
        cells = []
        for where in FIGURES.values():
            values = values_of(rows, name, where)
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}" if values else "–")
        steps = np.mean([row["steps"] for row in rows if row["row"] == name])
        lines.append(f"| {name} | {steps:.0f} | " + " | ".join(cells) + f" | {_closed(rows, name)} |")
    return "\n".join(lines)


def _closed(rows: list[dict[str, Any]], name: str) -> str:
    """The shares of the gaps of mIoU and of AbsRel."""
    shares = []
    for where in (FIGURES["mIoU, 11"], FIGURES["AbsRel, scale apart"]):
        low, here, high = (values_of(rows, row, where) for row in (FIRST, name, LAST))
        if not (low and here and high):
            return "–"
        gap = np.mean(high) - np.mean(low)
        shares.append(f"{100 * (np.mean(here) - np.mean(low)) / gap:.0f} %" if gap else "–")
    return ", ".join(shares)


def main() -> None:
    """See the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streets", default="data/demo")
    parser.add_argument("--looks", nargs="*", default=[], help="restyle.pt of looks; the first is that of `all`")
    parser.add_argument("--more", nargs="*", default=[], help="roots of more generated streets")
    parser.add_argument("--restyled", nargs="*", default=[], help="roots of copies")
    parser.add_argument("--camvid", default="../shared/data/camvid")
    parser.add_argument("--drive", default="../shared/data/kitti_drive")
    parser.add_argument("--weights", default="../shared/weights/mnv3s075_features_torchvision.pth")
    parser.add_argument("--labelled", type=int, default=0, help="frames of CamVid whose labels are given")
    parser.add_argument("--steps", type=int, default=750, help="of the first row")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument("--set", nargs="*", default=[], help="key=value of every row")
    parser.add_argument("--keep", help="a folder for the run folders")
    parser.add_argument("--out", type=Path, default=Path("runs/unlabelled.json"))
    parser.add_argument("--list", help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args, args.one[0], int(args.one[1]))))
        return
    listed: list[str] = []
    if args.labelled:
        names = sorted(path.name for path in Path(args.camvid, "images/train").iterdir())
        chosen = [names[index] for index in np.linspace(0, len(names) - 1, args.labelled).round().astype(int)]
        path = args.out.with_suffix(".txt").absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"images/train/{name}\n" for name in chosen))
        listed = ["--list", str(path)]
    wanted = args.rows or list(rows_of(args))
    if unknown := set(wanted) - set(rows_of(args)):
        raise InputError(f"--rows {sorted(unknown)[0]}: of {', '.join(rows_of(args))}")
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for row in wanted:
            command = [sys.executable, __file__, *sys.argv[1:], *listed, "--one", row, str(seed)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                print(f"failed: {row}, seed {seed}")
                continue
            rows += json.loads(done.stdout.strip().splitlines()[-1])
            write_json(args.out, {"arguments": sys.argv[1:], "rows": rows})
            print(table(rows), flush=True)


if __name__ == "__main__":
    main()
