"""AND and XOR on two shared hidden neurons: Tables 1-4 of Nakamura 2023, printed beside the thesis' values.

    python benchmarks/logic_operators.py --out runs/logic_operators
    python benchmarks/logic_operators.py --out runs/logic_each --tables 3 4 --start each

A 2-2-2 network (sigmoid hidden neurons, one linear output per task) learns both operators at once; XOR's annotations
are multiplied by c. Every (method, learning rate, seed) is one row of a batched tensor program, so that nothing loops
over runs. Writes OUT/results.json and OUT/results.md. What the text leaves open, and what was taken, is in
docs/gradient_balancing.md; the defaults of `Choices` are that.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from logic_balance import Balance
from logic_tables import METHODS, PAPER, Method, claims, describe, markdown
from torch import Tensor

INPUTS = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=torch.float64)  # a 1 for the bias
AND, XOR = (0.0, 0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 0.0)
START_SEED = 136  # of the initial weights, the one in the authors' code


@dataclass(frozen=True)
class Choices:
    """What the text leaves open. Defaults: what reproduces the tables.

    Attributes:
        epochs: limit of a run.
        seeds: runs per method and learning rate; a seed orders the samples.
        momentum: SGD's.
        start: "one" gives all runs the same initial weights, as the authors' code does; "each" one set per seed.
        floor: smallest min-norm weight; Sener & Koltun's code keeps both in [0.001, 0.999].
        uniform: weight k of each task under uniform weighting.
        loss_share: factor on the loss in the tensioner's penalty log10 L_m (Eq. 4.10).
        strict: converged is an epoch's MSE below 1e-3, instead of the authors' accumulated error (see `limits`).
    """

    epochs: int = 3000
    seeds: int = 50
    momentum: float = 0.9
    start: Literal["one", "each"] = "one"
    floor: float = 1e-3
    uniform: float = 0.5
    loss_share: float = 0.5
    strict: bool = False


@dataclass
class Runs:
    """R networks in training and all that moves with them; first axis R, biases in the last column of weights."""

    index: Tensor  # [R] place in the result
    order: Tensor  # [R] whose order of samples
    rate: Tensor  # [R,1,1] learning rate
    tasks: Tensor  # [R,2] bool: which it learns
    reached: Tensor  # [R,2] epoch, from 1, at which a task's error was first small enough; 0 not yet
    shared: Tensor  # [R,2,3]
    heads: Tensor  # [R,2,3], a row per task
    shared_speed: Tensor
    head_speed: Tensor
    balance: Balance

    def select(self, keep: Tensor) -> "Runs":
        """The runs of a mask [R]."""
        balance = Balance(**{f.name: getattr(self.balance, f.name)[keep] for f in fields(Balance)})
        return Runs(
            **{f.name: getattr(self, f.name)[keep] for f in fields(self) if f.name != "balance"}, balance=balance
        )

    def done(self) -> Tensor:
        """[R] epochs the run needed: the later of its tasks' first times; 0 where it has not converged."""
        epochs = self.reached.amax(1)
        return torch.where(((self.reached > 0) | ~self.tasks).all(1), epochs, 0)


def initial_weights(seed: int) -> tuple[Tensor, Tensor]:
    """Shared [2,3] and task [2,3] weights, from PyTorch's default layers drawn in the order shared, AND, XOR."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)]
    shared, *heads = (torch.cat([x.weight, x.bias[:, None]], 1).detach().double() for x in layers)
    return shared, torch.cat(heads)


def begin(methods: Sequence[Method], rates: Sequence[float], choices: Choices) -> Runs:
    """All runs of methods × rates × seeds, in that order."""
    seeds = [START_SEED] * choices.seeds if choices.start == "one" else range(choices.seeds)
    drawn = [initial_weights(seed) for seed in seeds]
    groups, copies = len(methods) * len(rates), len(rates) * choices.seeds
    shared, heads = (torch.stack(part).repeat(groups, 1, 1) for part in zip(*drawn, strict=True))
    balance = Balance.of(methods, copies, choices.uniform)
    tasks = balance.fixed > 0
    # A single-task network draws one head only, so XOR's is then the first one drawn.
    heads = torch.where(tasks.all(1)[:, None, None], heads, heads[:, :1])
    return Runs(
        torch.arange(groups * choices.seeds),
        torch.arange(choices.seeds).repeat(groups),
        torch.tensor(rates, dtype=torch.float64).repeat_interleave(choices.seeds).repeat(len(methods))[:, None, None],
        tasks,
        torch.zeros_like(tasks, dtype=torch.int64),
        *(shared, heads, torch.zeros_like(shared), torch.zeros_like(heads)),
        balance,
    )


def gradients(shared: Tensor, heads: Tensor, x: Tensor, y: Tensor, tasks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Losses [R,2] and gradients of heads [R,2,3] and, per task, of the shared weights [R,2,6].

    Args:
        shared, heads: [R,2,3]; x: [R,B,3] with the bias' 1; y: [R,B,2]; tasks: [R,2], a task not learnt gives 0.
    """
    hidden = torch.sigmoid(x @ shared.mT)
    with_bias = torch.cat([hidden, torch.ones_like(hidden[..., :1])], 2)
    error = torch.where(tasks[:, None], with_bias @ heads.mT - y, 0)
    slope = (2 / x.shape[1]) * error.mT  # [R,2,B]
    at_hidden = slope[..., None] * heads[:, :, None, :2] * (hidden * (1 - hidden))[:, None]  # [R,2,B,2]
    return error.square().mean(1), slope @ with_bias, (at_hidden.mT @ x[:, None]).flatten(2)


def update(runs: Runs, x: Tensor, y: Tensor, step: int, choices: Choices) -> Tensor:
    """One iteration of every run (Algorithm 1); returns the losses [R,2] before it."""
    losses, at_heads, rows = gradients(runs.shared, runs.heads, x, y, runs.tasks)
    weights = runs.balance.weigh(rows @ rows.mT, choices.loss_share * losses, step, choices.floor)
    direction = (weights[:, None] @ rows).view_as(runs.shared)
    runs.shared_speed = choices.momentum * runs.shared_speed + direction
    runs.head_speed = choices.momentum * runs.head_speed + at_heads
    runs.shared = runs.shared - runs.rate * runs.shared_speed
    runs.heads = runs.heads - runs.rate * runs.head_speed
    return losses


def limits(tasks: Tensor, strict: bool) -> Tensor:
    """MSE [R,1] below which a task has converged.

    The authors' code sums the two batch means of an epoch and divides by the number of (sample, task) pairs, 4 per task
    learnt: its limit of 1e-3 is an MSE of 2e-3 for a single task and of 4e-3 for two.
    """
    return torch.full((len(tasks), 1), 1e-3) if strict else 2e-3 * tasks.sum(1, keepdim=True)


def train(methods: Sequence[Method], rates: Sequence[float], scale: float, choices: Choices) -> Tensor:
    """Epochs until convergence [methods, rates, seeds], 0 where a run did not converge; `scale` is c."""
    runs = begin(methods, rates, choices)
    result = torch.zeros(len(runs.index), dtype=torch.int64)
    targets = torch.tensor([AND, XOR], dtype=torch.float64).T * torch.tensor([1.0, scale], dtype=torch.float64)
    generators = [torch.Generator().manual_seed(seed) for seed in range(choices.seeds)]
    orders = torch.stack([torch.rand(choices.epochs, 4, generator=g).argsort(1) for g in generators])
    for epoch in range(choices.epochs):
        if epoch % 25 == 0:  # converged and diverged runs stop computing
            done = runs.done()
            result[runs.index] = done
            runs = runs.select((done == 0) & runs.shared.isfinite().all(2).all(1))
            if not len(runs.index):
                break
        error = torch.zeros_like(runs.tasks, dtype=torch.float64)
        for half in (0, 1):  # two batches of two samples
            chosen = orders[runs.order, epoch, 2 * half : 2 * half + 2]
            error += update(runs, INPUTS[chosen], targets[chosen], 2 * epoch + half, choices) / 2
        small = runs.tasks & (error < limits(runs.tasks, choices.strict)) & (runs.reached == 0)
        runs.reached[small] = epoch + 1
    result[runs.index] = runs.done()
    return result.view(len(methods), len(rates), choices.seeds)


def main() -> None:
    """Run the tables asked for, print them beside the paper's, and save both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/logic_operators"))
    parser.add_argument("--tables", nargs="+", choices=list(PAPER), default=list(PAPER))
    parser.add_argument("--rates", nargs="+", type=float, help="learning rates, the best counts; default: the paper's")
    for field in fields(Choices):
        kind: dict[str, Any] = {"action": "store_true"} if field.type is bool else {"type": type(field.default)}
        parser.add_argument(f"--{field.name.replace('_', '-')}", default=field.default, **kind)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the tensors are small
    choices = Choices(**{field.name: getattr(args, field.name) for field in fields(Choices)})
    results: dict[str, Any] = {"choices": asdict(choices), "tables": {}, "seconds": {}}
    for name in args.tables:
        started, rates = time.perf_counter(), args.rates or PAPER[name].rates
        epochs = train(METHODS[name], rates, PAPER[name].scale, choices)
        results["tables"][name] = describe(name, rates, epochs)
        results["seconds"][name] = round(time.perf_counter() - started, 1)
        print(f"table {name}: {results['seconds'][name]} s", flush=True)
    results["claims"] = claims(results["tables"])
    text = markdown(results)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.md").write_text(text + "\n")
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
