"""How often a balancer's direction conflicts with an objective: random gradients of very different lengths, ours beside TorchJD's.

    python benchmarks/balancer_conflicts.py --lengths 1 10 100 1000 --size 8 --cases 200

A conflict is a cosine below -1e-6 between the direction and an objective's gradient; a lost step is a direction of 0. Time is CPU time of one call.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchjd import aggregation

from advmtl.balancing import GramBalancer, build_balancer

# By method: our options, and TorchJD's solver of the same problem.
METHODS: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "mgda": ({}, aggregation.MGDAWeighting),
    "upgrad": ({}, aggregation.UPGradWeighting),
    "dualproj": ({}, aggregation.DualProjWeighting),
    "cagrad, c = 0.4": ({"c": 0.4}, lambda: aggregation.CAGradWeighting(0.4)),
    "cagrad, c = 1": ({"c": 1.0}, lambda: aggregation.CAGradWeighting(1.0)),
    "fairgrad, α = 2": ({"alpha": 2.0}, lambda: aggregation.FairGradWeighting(2.0)),
    "nash_mtl": ({}, lambda: aggregation.FairGradWeighting(1.0)),
    "imtl_g": ({}, aggregation.IMTLGWeighting),
    "aligned_mtl": ({}, aggregation.AlignedMTLWeighting),
    "pcgrad": ({}, aggregation.PCGradWeighting),
}


def gradients(lengths: list[float], size: int, seed: int) -> Tensor:
    """Random directions of the given lengths, float64 [m, size]."""
    matrix = torch.randn(len(lengths), size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return matrix / matrix.norm(dim=1, keepdim=True) * torch.tensor(lengths, dtype=torch.float64)[:, None]


def measure(weigh: Callable[[Tensor], Tensor], cases: list[Tensor]) -> dict[str, float]:
    """Shares of conflicts and of lost steps, and milliseconds of a call."""
    conflicts = lost = 0
    spent = 0.0
    for matrix in cases:
        gramian = matrix @ matrix.T
        started = time.process_time()
        weights = weigh(gramian)
        spent += time.process_time() - started
        vector = weights @ matrix
        if vector.norm() == 0:
            lost += 1
        else:
            conflicts += bool((matrix @ vector / matrix.norm(dim=1) / vector.norm()).min() < -1e-6)
    return {"conflicts": conflicts / len(cases), "lost": lost / len(cases), "ms": 1e3 * spent / len(cases)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=float, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--size", type=int, default=8, help="numbers of a gradient")
    parser.add_argument("--cases", type=int, default=200)
    args = parser.parse_args()
    cases = [gradients(args.lengths, args.size, seed) for seed in range(args.cases)]
    names = [f"row{number}" for number in range(len(args.lengths))]
    one = torch.ones(len(names), dtype=torch.float64)
    print(
        f"| method, {len(names)} rows of lengths {':'.join(f'{x:g}' for x in args.lengths)}, {args.size} numbers | conflicts | lost steps | time [ms] | TorchJD: conflicts | lost steps | time [ms] |"
    )
    print("|---|---|---|---|---|---|---|")
    for title, (options, theirs) in METHODS.items():
        balancer = build_balancer(title.partition(",")[0], options, names, names)
        assert isinstance(balancer, GramBalancer)
        found = [measure(lambda gramian, own=balancer: own(gramian, one), cases)]
        try:
            reference = theirs()
            # As all of them are called here: divided by the mean square, since thresholds are absolute.
            found.append(measure(lambda gramian, own=reference: own(gramian / gramian.diagonal().mean()), cases))
        except ImportError:
            pass
        cells = [f"{x['conflicts']:.0%} | {x['lost']:.0%} | {x['ms']:.2f}" for x in found]
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
