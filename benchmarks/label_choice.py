"""Chosen frames against random ones on a set whose labels are known: coverage, classes, rare pixels; is disagreement error?

    python benchmarks/label_choice.py RUN SOURCE [--student RUN] [--count 20] [--draws 2000] [--features]

The choice sees no label. Coverage: distance to the nearest chosen frame, largest and mean over the set. A class counts as
contained from 0.05 % of the pixels of the chosen frames on; rare classes have less than 1 % of the set's pixels. Random: median of
the draws, and the share of the draws that are as good as the choice or better. With --student also how the disagreement per frame
goes with the error of both networks' depth (Spearman), for the student and for the run's raw weights against their average.
With --features instead: how the distance of two frames goes with that of their true class maps (Spearman over all pairs; L1 of the
classes' shares in the whole picture and in each of 2 x 4 cells), for several maps and grids.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from advmtl.config import Config, Source
from advmtl.data import frame_loader, index_source, load_frame, val_loaders
from advmtl.evaluation import evaluating
from advmtl.networks import Generator
from advmtl.select import (
    Frames,
    Measured,
    Rule,
    choose,
    depth_disagreement,
    depth_m,
    find_frames,
    load_student,
    measure_frames,
)
from advmtl.training import checkpoint_path, load_checkpoint, load_generator
from preprocessing.ground import label_set

Grid = tuple[int, int]
PRESENT, RARE = 0.0005, 0.01
CPU = torch.device("cpu")
FIGURES = (
    ("largest distance", False),
    ("mean distance", False),
    ("classes", True),
    ("rare pixels [%]", True),
    ("least rare class [frames]", True),
)


@dataclass(frozen=True)
class Truth:
    """Pixels per frame and class `[N, K]`."""

    counts: NDArray[np.int64]

    @property
    def rare(self) -> NDArray[np.bool_]:
        """Classes with some but few pixels in the whole set."""
        share = self.counts.sum(0) / self.counts.sum()
        return (share > 0) & (share < RARE)


def read_truth(measured: Measured, config: Config) -> Truth:
    """The labels of the frames, at network size."""
    frames, classes = measured.frames, len(label_set(config.data.classes).names)
    records = {r.image: r for source in frames.sources for r in index_source(source, config.data.classes, "train")}
    rows = []
    for bare in frames.records:
        labels = load_frame(records[bare.image], frames.sizes[bare.source]).labels["segmentation"]
        rows.append(np.bincount(labels.ravel(), minlength=256)[:classes])
    return Truth(np.array(rows))


def figures(places: list[int], distances: NDArray[np.float32], truth: Truth) -> list[float]:
    """`FIGURES` of a set of frames; distances `[N, N]`, which only a benchmark on a small set can afford."""
    nearest = distances[:, places].min(1)
    counts = truth.counts[places]
    share = counts.sum(0) / counts.sum()
    rare = truth.rare
    return [
        nearest.max(),
        nearest.mean(),
        (share >= PRESENT).sum(),
        100 * share[rare].sum(),
        (counts[:, rare] > 0).sum(0).min(),
    ]


def compare_choice(measured: Measured, config: Config, count: int, draws: int, console: Console) -> None:
    """Table of the rules against random choice."""
    truth = read_truth(measured, config)
    distances = torch.cdist(measured.features, measured.features).numpy()
    random = np.random.default_rng(0)
    total = len(truth.counts)
    drawn = np.array(
        [figures(random.choice(total, count, replace=False).tolist(), distances, truth) for _ in range(draws)]
    )
    names = label_set(config.data.classes).names
    console.print(
        f"{total} frames, {count} chosen; rare: {', '.join(n for n, one in zip(names, truth.rare, strict=True) if one)}"
    )
    table = Table("choice", *(name for name, _ in FIGURES))
    table.add_row("random, median", *(f"{value:.2f}" for value in np.median(drawn, 0)))
    table.add_row(
        "random, best of all",
        *(f"{(drawn[:, n].max() if more else drawn[:, n].min()):.2f}" for n, (_, more) in enumerate(FIGURES)),
    )
    rules = [Rule("diversity", seed=seed) for seed in range(10)]
    if measured.disagreement is not None:
        rules += [Rule("both", pool=2), Rule("both"), Rule("disagreement")]
    rows: dict[str, list[list[float]]] = {}
    for rule in rules:
        places = [pick.place for pick in choose(measured.features, count, rule, (), measured.disagreement)]
        name = (
            f"both, pool {rule.pool:g}"
            if rule.by == "both"
            else "diversity, median of 10 first frames"
            if rule.by == "diversity"
            else rule.by
        )
        rows.setdefault(name, []).append(figures(places, distances, truth))
    for name, values in rows.items():
        middle = np.median(values, 0)
        better = [
            np.mean(drawn[:, n] >= middle[n] if more else drawn[:, n] <= middle[n])
            for n, (_, more) in enumerate(FIGURES)
        ]
        table.add_row(
            name, *(f"{value:.2f} ({100 * share:.0f} %)" for value, share in zip(middle, better, strict=True))
        )
    console.print(table)


def compare_disagreement(run: Path, student: Path, source: Source, console: Console) -> None:
    """Rank correlation over frames of the disagreement with the log-depth error of teacher and student."""
    teacher, config = load_generator(run)
    raw, _ = load_generator(run)
    raw.load_state_dict(load_checkpoint(checkpoint_path(run))[0]["generator"])
    others: dict[str, Generator] = {"student": load_student(student, run, config), "raw weights": raw.eval()}
    errors: dict[str, list[float]] = {name: [] for name in ("teacher", *others)}
    gaps: dict[str, list[float]] = {name: [] for name in others}
    ((_, loader),) = val_loaders(config, [source])
    with evaluating(teacher, *others.values()):
        for batch in loader:
            target = batch.targets["depth"]
            target = torch.where(target < config.depth.max_m, target, 0)
            depths = {name: one(batch.image)["depth"] for name, one in (("teacher", teacher), *others.items())}
            for name, depth in depths.items():
                errors[name] += depth_disagreement(depth, target).tolist()
                if name in gaps:
                    gaps[name] += depth_disagreement(depths["teacher"], depth).tolist()
    for name, values in gaps.items():
        ranks = ", ".join(
            f"{who}'s error {spearmanr(values, errors[who]).statistic:+.2f}" for who in dict.fromkeys(("teacher", name))
        )
        console.print(f"teacher against {name}: disagreement {np.median(values):.4f} (median), Spearman with {ranks}")


def feature_maps(generator: Generator, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """The maps that are compared, each [N,C,h,w], of images [N,3,H,W]; the depth where z is, of a grown network too."""
    z, taps = generator.encode(image)
    log_depth = depth_m(generator, (z, taps), (z.shape[-2], z.shape[-1])).log()
    return {"z": z, "deepest map": generator.encoder(image)[-1], "log depth": log_depth}


def compare_features(frames: Frames, generator: Generator, config: Config, console: Console) -> None:
    """Table: which features know how different two frames are."""
    classes = len(label_set(config.data.classes).names)
    records = {r.image: r for source in frames.sources for r in index_source(source, config.data.classes, "train")}
    features: dict[tuple[str, Grid], list[torch.Tensor]] = {}
    shares: dict[Grid, list[torch.Tensor]] = {(1, 1): [], (2, 4): []}
    for bare in frames.records:
        labels = (
            torch.from_numpy(load_frame(records[bare.image], frames.sizes[bare.source]).labels["segmentation"])
            .long()
            .clamp(max=classes)
        )
        one_hot = F.one_hot(labels, classes + 1)[..., :classes].permute(2, 0, 1).float()
        for grid, rows in shares.items():
            rows.append(F.adaptive_avg_pool2d(one_hot, grid).flatten())
    with torch.inference_mode():
        for batch in frame_loader(frames.records, frames.sizes, config.data):
            for name, one in feature_maps(generator, batch.image).items():
                for grid in ((1, 1), (1, 2), (2, 4), (4, 8)):
                    features.setdefault((name, grid), []).append(F.adaptive_avg_pool2d(one, grid).flatten(1))
    whole = {key: torch.cat(rows) for key, rows in features.items()}
    scaled = {key: (rows - rows.mean(0)) / rows.std(0).clamp(min=1e-6) for key, rows in whole.items()}
    for grid in ((1, 1), (2, 4)):
        parts = [
            whole[name, grid] / (whole[name, grid] - whole[name, grid].mean(0)).norm() for name in ("z", "deepest map")
        ]
        whole["z and deepest map", grid] = torch.cat(parts, 1)
        whole["z, channels scaled", grid] = scaled["z", grid]
    pairs = np.triu_indices(len(frames.records), 1)
    true = [torch.cdist(torch.stack(rows), torch.stack(rows), p=1).numpy()[pairs] for rows in shares.values()]
    table = Table("features", "grid", "class shares, whole picture", "class shares, 2 x 4 cells")
    for (name, grid), rows in whole.items():
        distances = torch.cdist(rows, rows).numpy()[pairs]
        table.add_row(name, f"{grid[0]} x {grid[1]}", *(f"{spearmanr(distances, one).statistic:.2f}" for one in true))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source", type=Source.parse)
    parser.add_argument("--student", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--features", action="store_true")
    arguments = parser.parse_args()
    console = Console(width=170)
    teacher, config = load_generator(arguments.run)
    student = load_student(arguments.student, arguments.run, config) if arguments.student else None
    frames = find_frames([arguments.source], [], config, ignore_labels=True)
    if arguments.features:
        compare_features(frames, teacher, config, console)
        return
    compare_choice(
        measure_frames(frames, teacher, config, CPU, student), config, arguments.count, arguments.draws, console
    )
    if arguments.student:
        compare_disagreement(arguments.run, arguments.student, arguments.source, console)


if __name__ == "__main__":
    main()
