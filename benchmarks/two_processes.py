"""Two gloo processes at batch B against one process at batch 2B, after the same steps on the same frames.

    python benchmarks/two_processes.py --perceptual ../shared/weights/squeezenet1_1_imagenet.pth --out runs/two_processes.json

Frames are generated, and many lack a label; on some steps all frames of one process do. For each case the table has the largest
difference of any weight, running statistic or average of generator and critics (absolute; relative for those above 1), the size of the difference of the
generator's weights relative to how far the steps moved them, and the largest difference of a logged value. float64 shows
whether the same thing is computed: every difference is the order of additions. In float32 Adam blows that up where a gradient
is itself rounding noise (g / √g² is ±1 whatever g is), in one process too: there the relative size says more.
`apart` counts tensors that are not the same bits in both processes. `speed` is the time of one process for the 2B frames over
that of two processes for B each, one thread per process: 2 would be ideal on two free cores.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from rich.console import Console
from rich.table import Table

from advmtl.config import Config, load_config
from advmtl.data import Batch
from advmtl.distributed import Processes
from advmtl.training import State, build, train_step
from preprocessing.ground import label_set, write_json

CASES: dict[str, tuple[str, list[str]]] = {
    "baseline": ("baseline", []),
    "model3": ("model3", []),
    "model3, tensioner at z": ("model3", ["balance.method=tensioner"]),
    "model3, nash_mtl at z": ("model3", ["balance.method=nash_mtl"]),
    "model3, min_norm at parameters": ("model3", ["balance.method=min_norm", "balance.at=parameters"]),
    "model3, pcgrad at parameters": ("model3", ["balance.method=pcgrad", "balance.at=parameters"]),
}
MORE = (
    "rotograd",
    "gradnorm",
    "cagrad",
    "imtl_g",
    "aligned_mtl",
    "uncertainty",
    "dwa",
    "famo",
    "imtl_l",
    "random",
    "trimmed_mean",
)
OPTIONS = {"trimmed_mean": ["balance.options.trim_number=0"]}


def config_of(case: str, norm: str, args: argparse.Namespace) -> Config:
    """The configuration of a case; without perceptual weights its losses are off."""
    name, changes = CASES[case]
    base = load_config(name, [])
    seen = (
        [f"perceptual.network=squeezenet perceptual.scale=0.5 perceptual.weights={args.perceptual}"]
        if args.perceptual
        else []
    )
    off = [] if args.perceptual else [f"tasks.{task}.losses.perceptual=0" for task in base.tasks]
    return load_config(
        name,
        [
            *changes, *off, *" ".join(seen).split(), f"data.size={args.size}", "encoder.weights=null", f"train.batch_norm={norm}",
            *args.set,
        ],
    )  # fmt: skip


def global_batch(config: Config, step: int, frames: int, dtype: torch.dtype) -> Batch:
    """The frames of all processes at a step; frame i lacks a label by step and place, the last half its depth every fifth step."""
    noise = torch.Generator().manual_seed(1000 + step)
    (width, height), classes = config.data.size, len(label_set(config.data.classes).names)
    labels = torch.randint(0, classes, (frames, height // 8, width // 8), generator=noise)
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    metres = 2 + 40 * torch.rand(frames, 1, height, width, generator=noise, dtype=torch.float32)
    metres[torch.rand(metres.shape, generator=noise, dtype=torch.float32) < 0.3] = 0
    present = {
        "segmentation": [(step + i) % 3 != 0 for i in range(frames)],
        "depth": [(step + 2 * i) % 4 != 1 and not (step % 5 == 4 and i >= frames // 2) for i in range(frames)],
    }
    labels[[i for i in range(frames) if not present["segmentation"][i]]] = 255
    metres[[i for i in range(frames) if not present["depth"][i]]] = 0
    image = torch.randn(frames, 3, height, width, generator=noise, dtype=torch.float32).to(dtype)
    names = [f"step{step}_frame{i}" for i in range(frames)]
    targets = {"segmentation": labels, "depth": metres.to(dtype)}
    return Batch(image.contiguous(memory_format=torch.channels_last), targets, present, names)


def part(batch: Batch, rank: int, count: int) -> Batch:
    """One process's frames of a global batch."""
    own = slice(rank * len(batch) // count, (rank + 1) * len(batch) // count)
    targets = {name: target[own] for name, target in batch.targets.items()}
    present = {name: values[own] for name, values in batch.present.items()}
    return Batch(batch.image[own], targets, present, batch.names[own])


def tensors(state: State) -> dict[str, torch.Tensor]:
    """Everything that must agree."""
    parts = {"generator": state.generator, "ema": state.ema, "terms": state.terms}
    return {
        f"{name}.{key}": value.clone()
        for name, one in parts.items()
        for key, value in one.state_dict().items()
        if isinstance(value, torch.Tensor)
    }


def train(config: Config, rank: int, count: int, frames: int, steps: int, dtype: torch.dtype) -> dict[str, Any]:
    """`steps` steps of process `rank`; its tensors at start and end, logs of every step, seconds of all but the first."""
    torch.set_default_dtype(dtype)
    state = build(config, torch.device("cpu"), processes=Processes(rank, count))
    before, logs, start = tensors(state), [], 0.0
    for step in range(steps):
        if step == 1:
            start = time.perf_counter()
        batch = part(global_batch(config, step, frames, dtype), rank, count)
        values = train_step(state, batch, statistics=step % 4 == 0)
        logs.append({name: float(value) for name, value in values.items()})
        state.step += 1
    return {"before": before, "after": tensors(state), "logs": logs, "seconds": time.perf_counter() - start}


def _process(rank: int, folder: str, args: argparse.Namespace, jobs: list[tuple[str, str, str]]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for number, job in enumerate(jobs):
        found = _run(job, args, rank, 2)
        torch.save(found, f"{folder}/{number}_{rank}.pt")
    dist.destroy_process_group()


def _run(job: tuple[str, str, str], args: argparse.Namespace, rank: int = 0, count: int = 1) -> dict[str, Any]:
    case, norm, dtype = job
    return train(config_of(case, norm, args), rank, count, 2 * args.batch, args.steps, getattr(torch, dtype))


def compare(one: dict[str, Any], two: list[dict[str, Any]]) -> dict[str, float]:
    """Differences of two processes from one."""
    floats = [name for name, value in one["after"].items() if value.is_floating_point()]
    # Absolute up to 1; some variances are a thousand and more.
    pairs = [(one["after"][name], two[0]["after"][name]) for name in floats]
    largest = max(float(((a - b).abs() / a.abs().clamp_min(1)).max()) for a, b in pairs)
    # The critics' logged accuracy is a mean over the processes of what each ranks on its own: not the same figure.
    figures = [(a, b) for a, b in zip(one["logs"], two[0]["logs"], strict=True)]
    logged = max(
        abs(a[name] - b[name]) / max(1.0, abs(a[name]))
        for a, b in figures
        for name in a
        if not name.endswith("/accuracy")
    )
    weights = [name for name in floats if name.startswith("generator.") and "running" not in name]
    moved = torch.cat([(one["after"][name] - one["before"][name]).flatten().double() for name in weights])
    apart = torch.cat([(one["after"][name] - two[0]["after"][name]).flatten().double() for name in weights])
    return {
        "largest": largest,
        "moved": float(moved.norm()),
        "relative": float(apart.norm() / moved.norm()),
        "logged": logged,
        "apart": sum(not torch.equal(two[0]["after"][name], two[1]["after"][name]) for name in one["after"]),
        "speed": one["seconds"] / max(found["seconds"] for found in two),
    }


def parse() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="96x64", help="WIDTHxHEIGHT")
    parser.add_argument("--batch", type=int, default=2, help="B, frames per process")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--perceptual", type=Path, help="SqueezeNet weights; without them no perceptual losses")
    parser.add_argument(
        "--set", nargs="+", default=[], help="KEY=VALUE, e.g. encoder.weights=FILE; random weights without"
    )
    parser.add_argument("--norms", nargs="+", default=["synchronised", "frozen"])
    parser.add_argument("--types", nargs="+", default=["float64", "float32"])
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--more", action="store_true", help="further methods, float64")
    parser.add_argument("--out", type=Path, help="JSON file")
    return parser.parse_args()


def main() -> None:
    """Run, print the table, write the JSON."""
    args, console = parse(), Console(width=120)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    jobs = [(case, norm, dtype) for case in args.cases for norm in args.norms for dtype in args.types]
    for method in MORE if args.more else ():
        CASES[method] = ("model3", [f"balance.method={method}", *OPTIONS.get(method, [])])
        jobs.append((method, args.norms[0], "float64"))
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_process_with, (folder, args, jobs, dict(CASES)), nprocs=2)
        rows = []
        for number, job in enumerate(jobs):
            two = [torch.load(f"{folder}/{number}_{rank}.pt", weights_only=True) for rank in range(2)]
            rows.append({"case": job[0], "batch_norm": job[1], "type": job[2], **compare(_run(job, args), two)})
    table = Table(
        title=f"two processes × {args.batch} frames against one × {2 * args.batch}, {args.steps} steps at {args.size}"
    )
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("case", "batch_norm", "type") else "right")
    for row in rows:
        table.add_row(*(f"{value:.2g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
    speed = statistics.median(row["speed"] for row in rows if row["type"] == args.types[-1])
    console.print(f"throughput of two processes over one, median ({args.types[-1]}): {speed:.2f}")
    if args.out:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        write_json(args.out, {"settings": settings, "cpus": len(os.sched_getaffinity(0)), "rows": rows, "speed": speed})
    else:
        print(json.dumps(rows))


def _process_with(
    rank: int, folder: str, args: argparse.Namespace, jobs: list[tuple[str, str, str]], cases: dict[str, Any]
) -> None:
    CASES.update(cases)
    _process(rank, folder, args, jobs)


if __name__ == "__main__":
    main()
