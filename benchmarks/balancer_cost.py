"""What each balancer costs: step time relative to the plain sum, and peak memory, on one configuration.

    python benchmarks/balancer_cost.py --config baseline --size 256x128 --batch 8 --rounds 5 \
        --perceptual ../shared/weights/squeezenet1_1_imagenet.pth --out runs/balancer_cost.json

Time: one process holds a run per method, all on one generated batch, and takes one step of each in turn, `--rounds` times
after one that does not count; the ratio is the median over the rounds of this round's step over this round's plain sum. The
same of CPU seconds stands beside it: other work on the machine does not disturb it.
Memory: a process of its own per method, largest resident set after three steps, less that of a process that only builds the
run. `--perceptual` gives weights of the perceptual network (SqueezeNet at half size, as in the other benchmarks); without it the
perceptual losses are off. Methods whose solver is not installed are listed as such.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from advmtl.config import METHODS, SCALARIZATIONS, Config, load_config
from advmtl.data import Batch
from advmtl.training import State, build, train_step
from preprocessing.ground import InputError, label_set, write_json

# Options that have no default; the first task is named where one must be.
REQUIRED: dict[str, Callable[[str], dict[str, Any]]] = {
    "constant": lambda task: {"weights": {task: 0.5}},
    "focused_geometric_mean": lambda task: {"focus": [task]},
    "stch": lambda task: {"mu": 0.1},
    "cosmos": lambda task: {"strength": 1.0, "weights": {task: 1.0}},
    "pbi": lambda task: {"theta": 1.0, "weights": {task: 1.0}},
    "fairgrad": lambda task: {"alpha": 2.0},
    "trimmed_mean": lambda task: {"trim_number": 0},
}
AT_PARAMETERS = ("min_norm", "pcgrad", "imtl_g")  # beside the others: the price is the gradients', not the method's


def cases(names: list[str]) -> list[tuple[str, str]]:
    """Method and place of everything that is timed; the plain sum first."""
    places = [(name, "parameters" if name == "excess_mtl" else "representation") for name in names if name != "sum"]
    return [("sum", "representation"), *places, *((name, "parameters") for name in AT_PARAMETERS if name in names)]


def config_of(args: argparse.Namespace, method: str, at: str) -> Config:
    """The configuration with one balancer."""
    base = load_config(args.config)
    options = REQUIRED.get(method, lambda task: {})(next(iter(base.tasks)))
    perceptual = (
        ["perceptual.network=squeezenet", f"perceptual.weights={args.perceptual}", "perceptual.scale=0.5"]
        if args.perceptual
        else [f"tasks.{task}.losses.perceptual=0" for task in base.tasks if "perceptual" in base.tasks[task].losses]
    )
    balance = [f"balance.method={method}", f"balance.at={at}", f"balance.options={json.dumps(options)}"]
    return load_config(args.config, ["encoder.weights=null", f"data.size={args.size}", *perceptual, *balance])


def make_batch(config: Config, frames: int) -> Batch:
    """Noise with labels in patches of 16 px, so that losses and gradients are of usual size."""
    noise = torch.Generator().manual_seed(0)
    width, height = config.data.size
    classes = len(label_set(config.data.classes).names)
    coarse = (frames, 1, height // 16, width // 16)
    labels = torch.randint(0, classes, coarse, generator=noise).float()
    metres = 2 + 60 * torch.rand(coarse, generator=noise)
    large = [torch.nn.functional.interpolate(x, size=(height, width), mode="nearest") for x in (labels, metres)]
    targets = {"segmentation": large[0][:, 0].long(), "depth": large[1]}
    if "instance" in config.tasks:
        offsets = 20 * torch.randn(frames, 2, height, width, generator=noise)
        targets["instance"] = torch.cat([offsets, torch.ones(frames, 1, height, width)], dim=1)
    image = torch.randn(frames, 3, height, width, generator=noise).contiguous(memory_format=torch.channels_last)
    present = {task: [True] * frames for task in config.tasks}
    return Batch(image, {task: targets[task] for task in config.tasks}, present, [f"noise{i}" for i in range(frames)])


def time_all(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds per step and ratio to the plain sum, for every case."""
    states: dict[tuple[str, str], State] = {}
    result: dict[str, Any] = {}
    for case in cases(args.methods):
        try:
            states[case] = build(config_of(args, *case), torch.device("cpu"))
        except InputError as error:
            result[f"{case[0]} at {case[1]}"] = {"skipped": str(error)}
    batch = make_batch(next(iter(states.values())).config, args.batch)
    seconds: dict[tuple[str, str], list[float]] = {case: [] for case in states}
    cpu: dict[tuple[str, str], list[float]] = {case: [] for case in states}
    for number in range(args.rounds + 1):
        for case, state in states.items():
            started, used = time.perf_counter(), time.process_time()
            train_step(state, batch)
            if number:
                seconds[case].append(time.perf_counter() - started)
                cpu[case].append(time.process_time() - used)
    for case, values in seconds.items():
        ratios = relative(values, seconds["sum", "representation"])
        result[f"{case[0]} at {case[1]}"] = {
            "kind": "loss" if case[0] in SCALARIZATIONS else "gradient",
            "step_s": statistics.median(values),
            "relative": statistics.median(ratios),
            "relative_range": [min(ratios), max(ratios)],
            "relative_cpu": statistics.median(relative(cpu[case], cpu["sum", "representation"])),
        }
    return result


def relative(values: list[float], plain: list[float]) -> list[float]:
    """Round by round."""
    return [value / base for value, base in zip(values, plain, strict=True)]


def memory_of(args: argparse.Namespace, method: str, at: str) -> float:
    """Peak resident memory of three steps above that of building the run [MiB], in this process."""
    state = build(config_of(args, method, at), torch.device("cpu"))
    batch = make_batch(state.config, args.batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        train_step(state, batch)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def memory_all(arguments: list[str], names: list[str]) -> dict[str, float]:
    """The same for every case, each in a process of its own."""
    found = {}
    for method, at in cases(names):
        command = [sys.executable, __file__, *arguments, "--one", method, at]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
        if done.returncode == 0:
            found[f"{method} at {at}"] = float(done.stdout)
    return found


def main() -> None:
    """Time, measure memory, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="baseline")
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--perceptual", default="")
    parser.add_argument("--methods", nargs="+", default=[name for name in METHODS if name != "sum"])
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(memory_of(args, *args.one))
        return
    report = time_all(args)
    for case, peak in ({} if args.no_memory else memory_all(sys.argv[1:], args.methods)).items():
        report[case]["peak_mib"] = round(peak, 1)
    for case, values in report.items():
        memory = f"  {values['peak_mib']:7.1f} MiB" if "peak_mib" in values else ""
        print(
            f"{case:45s}",
            values.get("skipped")
            or f"{values['step_s']:.3f} s  {values['relative']:.3f} ({values['relative_cpu']:.3f} CPU){memory}",
        )
    if args.out:
        settings = {"config": args.config, "size": args.size, "batch": args.batch, "perceptual": bool(args.perceptual)}
        write_json(
            args.out, {**settings, "threads": torch.get_num_threads(), "torch": torch.__version__, "methods": report}
        )


if __name__ == "__main__":
    main()
