"""A training step of this checkout against that of another one, and the memory each needs, in one run.

    git worktree add ../before REVISION
    python benchmarks/step_against.py ../before --data cityscapes:data/synth --rounds 12 \
        --perceptual ../shared/weights/squeezenet1_1_imagenet.pth --out runs/step_against.json

Per case each checkout has a process of its own, one thread each; they alternate, a block of steps at a time, on the same
training batch. Times are medians over all steps, of wall seconds and of CPU seconds (which other work on the machine
disturbs less); the ratio is this checkout's over the other's. Memory is the largest resident size of the process.
`--perceptual` adds the cases with perceptual losses, by SqueezeNet at full size; without it they are off.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
Block = dict[str, list[float]]


def worker(case: str, args: argparse.Namespace) -> None:
    """One checkout's side: for every number on standard input so many steps, answered by a line of JSON."""
    import torch  # the parent does without

    torch.set_num_threads(1)
    # The inner modules: a checkout from before there were doors has no others.
    found = {name: import_module(f"advmtl.{name}") for name in ("config", "config.files", "data.loading")}
    state_of, step_of = (import_module(f"advmtl.training.{name}") for name in ("state", "step"))
    name, _, perceptual = case.partition(" ")
    load = found["config.files"].load_config
    pictures = (
        ["perceptual.network=squeezenet", f"perceptual.weights={args.perceptual}"]
        if perceptual
        else [f"tasks.{task}.losses.perceptual=0" for task in load(name).tasks]
    )
    values = ["encoder.weights=null", f"data.size={args.size}", f"data.batch_size={args.batch}", "data.workers=0"]
    config = load(name, [*values, *pictures])
    source = [found["config"].Source.parse(f"{args.data}:train")]
    config = config.model_copy(update={"data": config.data.model_copy(update={"train": source})})
    state = state_of.build(config, torch.device("cpu"))
    batch = next(iter(found["data.loading"].train_loader(config)))
    print(json.dumps({"ready": str(Path(step_of.__file__).resolve())}), flush=True)
    for line in sys.stdin:
        block: Block = {"wall": [], "cpu": []}
        for _ in range(int(line)):
            wall, cpu = time.perf_counter(), time.process_time()
            step_of.train_step(state, batch)
            block["wall"].append(time.perf_counter() - wall)
            block["cpu"].append(time.process_time() - cpu)
            state.step += 1
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(block | {"memory_mib": [memory]}), flush=True)


class Worker:
    """A process that steps in a checkout."""

    def __init__(self, checkout: Path, case: str, options: Sequence[str]) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(checkout), "--worker", case, *options],
            cwd=checkout,
            env={**os.environ, **one, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.taken: Block = {"wall": [], "cpu": []}
        self.memory = 0.0
        ready = self._answer()["ready"]
        if not ready.startswith(f"{checkout}/"):
            raise SystemExit(f"{checkout}: its process imported {ready}")

    def steps(self, count: int, *, counted: bool = True) -> None:
        """Take so many steps; `counted=False` warms up."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        block = self._answer()
        (self.memory,) = block["memory_mib"]
        for clock, seconds in self.taken.items():
            seconds += block[clock] if counted else []

    def end(self) -> None:
        """Let it leave."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"a worker ended with {self.process.wait()}")


def against(other: Path, case: str, args: argparse.Namespace, options: Sequence[str]) -> dict[str, float]:
    """Medians of both checkouts, and this one's over the other's."""
    workers = {"before": Worker(other, case, options), "here": Worker(HERE, case, options)}
    try:
        for one in workers.values():
            one.steps(2, counted=False)
        for number in range(args.rounds):
            # Whoever goes first in a round finds the caches as the other one left them.
            for name in ("before", "here") if number % 2 else ("here", "before"):
                workers[name].steps(args.block)
    finally:
        for one in workers.values():
            one.end()
    row: dict[str, float] = {}
    for clock in ("wall", "cpu"):
        before, here = (statistics.median(workers[name].taken[clock]) for name in ("before", "here"))
        row |= {f"before_{clock}_s": before, f"here_{clock}_s": here, f"{clock}_ratio": here / before}
    before, here = workers["before"].memory, workers["here"].memory
    return row | {"before_mib": before, "here_mib": here, "memory_ratio": here / before}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--data", default="cityscapes:data/synth")
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--block", type=int, default=2, help="steps of one checkout before the other's turn")
    parser.add_argument("--configs", nargs="+", default=["baseline", "model3"])
    parser.add_argument("--perceptual", default="", help="weights of SqueezeNet 1.1")
    parser.add_argument("--only-perceptual", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args)
        return
    kind, _, folder = args.data.partition(":")
    options = [f"--data={kind}:{Path(folder).resolve()}", f"--size={args.size}", f"--batch={args.batch}"]
    if args.perceptual:
        options.append(f"--perceptual={Path(args.perceptual).resolve()}")
    kinds = ([] if args.only_perceptual else [""]) + ([" perceptual"] if args.perceptual else [])
    report = {}
    for case in (f"{name}{kind}" for kind in kinds for name in args.configs):
        report[case] = row = against(args.other.resolve(), case, args, options)
        print(
            f"{case:22s} wall {row['before_wall_s']:.3f} -> {row['here_wall_s']:.3f} s, x{row['wall_ratio']:.3f}   "
            f"CPU {row['before_cpu_s']:.3f} -> {row['here_cpu_s']:.3f} s, x{row['cpu_ratio']:.3f}   "
            f"memory {row['before_mib']:.0f} -> {row['here_mib']:.0f} MiB, x{row['memory_ratio']:.3f}",
            flush=True,
        )
    if args.out:
        import_module("preprocessing.ground").write_json(args.out, report)


if __name__ == "__main__":
    main()
