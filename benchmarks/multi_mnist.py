"""Multi-MNIST: classify the upper-left digit, reconstruct the lower-right one; Table 5 of Nakamura 2023.

    python benchmarks/multi_mnist.py --digits ../shared/data/mnist/mnist.npz --out runs/multi_mnist
    python benchmarks/multi_mnist.py --digits torchvision:data --full --out runs/multi_mnist_full

The first has a budget for one CPU core, the second the paper's: 50 000 training pictures, five learning rates, ten
seeds, early stopping. Every figure of the budget is an option. A run that is done is not repeated, so the script can be
stopped and called again. Writes OUT/runs.jsonl, OUT/results.json and OUT/results.md. What the text leaves open, and what
was taken, is in docs/gradient_balancing.md.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import torch
from multi_mnist_digits import Pictures, split
from torch import Tensor, nn
from torch.nn import functional as F

from advmtl.balancing import (
    GramBalancer,
    backward_through_encoder,
    build_balancer,
    gradients_at_parameters,
    gradients_at_representation,
    gramian_at_representation,
    gramian_of,
    write_heads,
    write_shared,
)

TASKS = ("classification", "reconstruction")
FULL_RATES = (1e-3, 5e-3, 1e-2, 5e-2, 1e-1)

# Name: tasks, method of advmtl.balancing (none: equal weights), its options.
METHODS: dict[str, tuple[tuple[str, ...], str | None, dict[str, Any]]] = {
    "single classification": (TASKS[:1], None, {}),
    "single reconstruction": (TASKS[1:], None, {}),
    "uniform": (TASKS, None, {}),
    "min-norm": (TASKS, "min_norm", {}),
    "central direction": (TASKS, "central_direction", {}),
    "min-norm + tensioner": (TASKS, "tensioner", {"base": "min_norm", "period": 10, "alpha": 0.3}),
    "central + tensioner": (TASKS, "tensioner", {"base": "central_direction", "period": 10, "alpha": 0.3}),
}

# Table 5: accuracy and reconstruction error (MSE), mean and deviation.
PAPER: dict[str, tuple[tuple[float, float] | None, tuple[float, float] | None]] = {
    "single classification": ((0.9639, 0.0024), None),
    "single reconstruction": (None, (0.0181, 0.0017)),
    "uniform": ((0.9714, 0.0018), (0.0418, 0.0021)),
    "min-norm": ((0.7393, 0.0213), (0.0552, 0.0042)),
    "central direction": ((0.8473, 0.0107), (0.0350, 0.0010)),
    "min-norm + tensioner": ((0.9627, 0.0015), (0.0181, 0.0005)),
    "central + tensioner": ((0.9649, 0.0015), (0.0185, 0.0003)),
}


@dataclass(frozen=True)
class Budget:
    """What a run may cost, and where its gradients are taken ("parameters" or "representation", the 50 numbers)."""

    train: int = 12000
    validation: int = 1000
    test: int = 10000
    epochs: int = 10
    patience: int = 10
    batch: int = 32
    at: str = "parameters"


class MultiLeNet(nn.Module):
    """LeNet as Sener & Koltun changed it: a shared encoder to 50 numbers, one head per task."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(320, 50), nn.ReLU()),
        )
        classify = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 10), nn.LogSoftmax(1))
        reconstruct = nn.Sequential(nn.Linear(50, 300), nn.ReLU(), nn.Linear(300, 784))
        self.heads = nn.ModuleDict({"classification": classify, "reconstruction": reconstruct})


def losses_of(
    network: MultiLeNet, z: Tensor, pictures: Pictures, chosen: Tensor, tasks: tuple[str, ...]
) -> dict[str, Tensor]:
    """Negative log-likelihood and mean squared error per pixel (0..1), of the tasks asked for."""
    losses = {}
    if "classification" in tasks:
        losses["classification"] = F.nll_loss(network.heads["classification"](z), pictures.labels[chosen])
    if "reconstruction" in tasks:
        target = pictures.digits[chosen].flatten(1).float() / 255
        losses["reconstruction"] = F.mse_loss(network.heads["reconstruction"](z), target)
    return losses


def backward(
    network: MultiLeNet, z: Tensor, rows: Mapping[str, Tensor], balancer: GramBalancer | None, at: str
) -> None:
    """Gradients of one update: the encoder's combined, each head's its own task's (Algorithm 1)."""
    shared, heads = list(network.encoder.parameters()), list(network.heads.parameters())
    gradients = gradients_at_representation(rows, [z], heads)
    if balancer is None:
        backward_through_encoder(gradients, torch.full((len(rows),), 1 / len(rows)) @ gradients.matrix)
    else:
        matrix = gradients_at_parameters(gradients, shared) if at == "parameters" else None
        gramian = gramian_at_representation(gradients) if matrix is None else gramian_of(matrix)
        weights = balancer(gramian, torch.stack([row.detach() for row in rows.values()]).double())
        if matrix is None:
            backward_through_encoder(gradients, weights.to(gradients.matrix) @ gradients.matrix)
        else:
            write_shared(shared, weights.to(matrix) @ matrix)
    write_heads(gradients, None)


@torch.no_grad()
def measure(network: MultiLeNet, pictures: Pictures, tasks: tuple[str, ...]) -> dict[str, float]:
    """Accuracy (0..1) and MSE per pixel over all pictures, of the tasks asked for."""
    figures = dict.fromkeys(tasks, 0.0)
    for part in torch.arange(len(pictures.labels)).split(1000):
        z = network.encoder(pictures.images[part].float() / 255)
        if "classification" in tasks:
            right = network.heads["classification"](z).argmax(1) == pictures.labels[part]
            figures["classification"] += int(right.sum()) / len(pictures.labels)
        if "reconstruction" in tasks:
            error = losses_of(network, z, pictures, part, ("reconstruction",))["reconstruction"]
            figures["reconstruction"] += float(error) * len(part) / len(pictures.labels)
    return figures


def score(figures: Mapping[str, float]) -> float:
    """Mean of accuracy and 1 − MSE/0.067, the MSE of always answering the mean digit: picks epoch and learning rate."""
    parts = [value if task == "classification" else 1 - value / 0.067 for task, value in figures.items()]
    return sum(parts) / len(parts) if all(value == value for value in parts) else float("-inf")


def train(name: str, rate: float, seed: int, sets: Mapping[str, Pictures], budget: Budget) -> dict[str, Any]:
    """One run; test figures of the epoch with the best validation score. `seed` draws weights and order."""
    tasks, method, options = METHODS[name]
    torch.manual_seed(seed)
    network = MultiLeNet()
    balancer = build_balancer(method, options, tasks, tasks) if method else None
    assert balancer is None or isinstance(balancer, GramBalancer)
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9)
    record: dict[str, Any] = {"epoch": -1, "validation": {}, "test": {}}
    best = dict.fromkeys(tasks, float("inf"))  # lower is better, for both
    improved = epoch = 0
    for epoch in range(budget.epochs):
        for chosen in torch.randperm(budget.train).split(budget.batch):
            z = network.encoder(sets["train"].images[chosen].float() / 255)
            rows = losses_of(network, z, sets["train"], chosen, tasks)
            if not all(bool(row.isfinite()) for row in rows.values()):
                return record | {"epochs": epoch, "diverged": True}
            optimizer.zero_grad(set_to_none=True)
            backward(network, z, rows, balancer, budget.at)
            optimizer.step()
        figures = measure(network, sets["validation"], tasks)
        if not record["validation"] or score(figures) > score(record["validation"]):
            record = {"epoch": epoch, "validation": figures, "test": measure(network, sets["test"], tasks)}
        for task, value in figures.items():
            cost = -value if task == "classification" else value
            if cost < best[task]:
                best[task], improved = cost, epoch
        if epoch - improved >= budget.patience:
            break
    return record | {"epochs": epoch + 1, "diverged": False}


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record a method: test figures over the seeds at the learning rate with the best mean validation score."""
    rows = []
    for name in dict.fromkeys(run["method"] for run in runs):
        by_rate: dict[float, list[dict[str, Any]]] = {}
        for run in runs:
            if run["method"] == name:
                by_rate.setdefault(run["rate"], []).append(run)
        whole = {rate: found for rate, found in by_rate.items() if not any(run["diverged"] for run in found)}
        if not whole:
            rows.append({"method": name, "rate": None, "seeds": 0, "test": {}})
            continue
        rate = max(whole, key=lambda r: mean(score(run["validation"]) for run in whole[r]))
        test = {task: [run["test"][task] for run in whole[rate]] for task in METHODS[name][0]}
        figures = {task: (mean(values), pstdev(values)) for task, values in test.items()}
        rows.append({"method": name, "rate": rate, "seeds": len(whole[rate]), "test": figures})
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """Table 5, ours beside the paper's."""

    def cell(figure: tuple[float, float] | None, seeds: int = 2) -> str:
        if figure is None:
            return ""
        return f"{figure[0]:.4f}" + (f" ± {figure[1]:.4f}" if seeds > 1 else "")

    lines = ["| method | rate | seeds | accuracy | paper | MSE | paper |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        published = PAPER[row["method"]]
        ours = [cell(row["test"].get(task), row["seeds"]) for task in TASKS]
        rate = "diverged" if row["rate"] is None else f"{row['rate']:g}"
        lines.append(
            f"| {row['method']} | {rate} | {row['seeds']} | {ours[0]} | {cell(published[0])} | {ours[1]} | {cell(published[1])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", required=True, help="MNIST as .npz, or torchvision:FOLDER")
    parser.add_argument("--out", type=Path, default=Path("runs/multi_mnist"))
    parser.add_argument("--full", action="store_true", help="the paper's budget; hours on a CPU")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument(
        "--rates", nargs="+", type=float, help="learning rates (default 0.05; the paper's five with --full)"
    )
    parser.add_argument("--seeds", type=int, help="runs per method and rate (default 1; 10 with --full)")
    for name, value in asdict(Budget()).items():
        parser.add_argument(f"--{name}", type=type(value))
    args = parser.parse_args()
    budget = Budget(train=50000, validation=10000, epochs=1000) if args.full else Budget()
    budget = replace(
        budget, **{name: getattr(args, name) for name in asdict(budget) if getattr(args, name) is not None}
    )
    rates = args.rates or (FULL_RATES if args.full else [5e-2])
    seeds = args.seeds or (10 if args.full else 1)
    sets = split(args.digits, budget.train, budget.validation, budget.test)
    args.out.mkdir(parents=True, exist_ok=True)
    log = args.out / "runs.jsonl"
    done = [json.loads(line) for line in log.open()] if log.is_file() else []
    runs = []
    for name, rate, seed in ((n, r, s) for s in range(seeds) for n in args.methods for r in rates):
        key = {"method": name, "rate": rate, "seed": seed, "budget": asdict(budget)}
        run = next((run for run in done if key.items() <= run.items()), None)
        if run is None:
            started = time.perf_counter()
            run = key | train(name, rate, seed, sets, budget) | {"seconds": round(time.perf_counter() - started, 1)}
            with log.open("a") as stream:
                stream.write(json.dumps(run) + "\n")
            print(f"{name}, rate {rate:g}, seed {seed}: {run['test']} in {run['seconds']} s", flush=True)
        runs.append(run)
    rows = summarise(runs)
    (args.out / "results.json").write_text(json.dumps({"budget": asdict(budget), "rows": rows}, indent=1) + "\n")
    (args.out / "results.md").write_text(markdown(rows) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
