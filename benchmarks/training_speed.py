"""Where a training step's time goes: loader against step, model3 against baseline, precisions, shares of the whole loop.

    python benchmarks/training_speed.py --data cityscapes:data/synth --size 256x128 --batch 8 \
        --perceptual ../shared/weights/squeezenet1_1_imagenet.pth --out runs/training_speed.json

Steps: one process holds a run per case, all on one training batch, and takes one step of each in turn; ratios are medians over
the rounds, of wall seconds and of CPU seconds (which other work on the machine disturbs less).
Loader: frames per second of the training loader alone, per number of workers, three times: from files with the cache off, from files while the
cache fills (the first epoch), from the cache (any later one); against what `baseline` and `model3` consume.
Loop: a short run by `advmtl.training.fitting.fit`, its wall time split into waiting for data, steps, reading values, logging, checkpoints, measuring.
`--perceptual` gives weights of the perceptual network (SqueezeNet at half size); without it the perceptual losses are off, and
the discriminators weigh more.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from rich.console import Console

import advmtl.training.fitting
import advmtl.training.loop
from advmtl.config import Config, Source, load_config
from advmtl.data import Batch, train_loader
from advmtl.training import Log, build, train_step
from preprocessing.ground import write_json

CPU = torch.device("cpu")
Pair = tuple[float, float]  # wall and CPU seconds


def config_of(args: argparse.Namespace, name: str, *changes: str) -> Config:
    """A named configuration at the benchmark's size."""
    base = load_config(name)
    perceptual = (
        ["perceptual.network=squeezenet", f"perceptual.weights={args.perceptual}", "perceptual.scale=0.5"]
        if args.perceptual
        else [f"tasks.{task}.losses.perceptual=0" for task in base.tasks]
    )
    values = ["encoder.weights=null", f"data.size={args.size}", f"data.batch_size={args.batch}", *perceptual, *changes]
    config = load_config(name, values)
    sources = {role: [Source.parse(f"{args.data}:{role}")] for role in ("train", "val")}
    return config.model_copy(update={"data": config.data.model_copy(update=sources)})


def steps(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of one step per case, and its ratio to `baseline` or to its own float32."""
    cases: dict[str, tuple[str, list[str]]] = {"baseline": ("baseline", []), "model3": ("model3", [])}
    for name in ("baseline", "model3"):
        cases |= {f"{name} {kind}": (name, [f"train.precision={kind}"]) for kind in args.precisions}
        if args.unfused:
            cases[f"{name} unfused"] = (name, [])
    states = {case: build(config_of(args, name, *changes), CPU) for case, (name, changes) in cases.items()}
    for case, state in states.items():
        if case.endswith("unfused"):
            for optimizer in (state.optimizer, *state.term_optimizers.values()):
                for group in optimizer.param_groups:
                    group["fused"] = False
    batch = next(iter(train_loader(config_of(args, "model3", "data.workers=0"))))
    taken: dict[str, list[Pair]] = {case: [] for case in states}
    for number in range(args.rounds + 1):
        for case, state in states.items():
            pair = timed(lambda state=state: train_step(state, batch))  # type: ignore[misc]
            if number:
                taken[case].append(pair)
    result: dict[str, Any] = {}
    for case, pairs in taken.items():
        # A precision against its own float32, a configuration against the baseline.
        plain = taken[case.split()[0] if " " in case else "baseline"]
        result[case] = {
            "step_s": statistics.median(wall for wall, _ in pairs),
            "step_cpu_s": statistics.median(cpu for _, cpu in pairs),
            "throughput_ratio": statistics.median(b[0] / a[0] for a, b in zip(pairs, plain, strict=True)),
            "throughput_ratio_cpu": statistics.median(b[1] / a[1] for a, b in zip(pairs, plain, strict=True)),
        }
        result[case]["frames_per_s"] = len(batch) / result[case]["step_s"]
    return result


def timed(work: Callable[[], object]) -> Pair:
    """Wall and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def loaders(args: argparse.Namespace) -> dict[str, Any]:
    """Frames per second of the loader alone."""
    result: dict[str, Any] = {}
    for workers in args.workers:
        for cache_mb, passes in ((0, ["no cache"]), (1024, ["cache filling", "cached"])):
            config = config_of(args, "model3", f"data.workers={workers}", f"data.cache_mb={cache_mb}")
            loader = train_loader(config)
            for number, name in enumerate(passes):
                loader.batch_sampler.set_position(number)  # type: ignore[union-attr]
                batches = iter(loader)
                next(batches)  # starting workers is no part of a rate
                frames = 0
                started, used = time.perf_counter(), time.process_time()
                for batch in batches:
                    frames += len(batch)
                rate = frames / (time.perf_counter() - started)
                result[f"{workers} workers, {name}"] = {
                    "frames_per_s": rate,
                    "cpu_s_per_frame": (time.process_time() - used) / frames if workers == 0 else None,
                }
            del loader, batches
    return result


def loop(args: argparse.Namespace, name: str) -> dict[str, float]:
    """Share of a short run's wall time per part of the loop."""
    spent: dict[str, float] = {}

    def clock(part: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def around(*inputs: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return real(*inputs, **options)
            finally:
                spent[part] = spent.get(part, 0.0) + time.perf_counter() - started

        return around

    def waiting(batches: Any, device: torch.device) -> Iterator[Batch]:
        source = real_on_device(batches, device)
        take = clock("waiting for data", lambda: next(source, None))
        while (batch := take()) is not None:
            yield batch

    real_on_device = advmtl.training.loop.on_device
    folder = Path(tempfile.mkdtemp())
    config = config_of(args, name, "train.epochs=1", "data.workers=2")
    parts = {
        "train_step": "step",
        "_numbers": "reading values",
        "save_checkpoint": "checkpoints",
        "evaluate": "measuring",
    }
    try:
        with mock.patch.object(Log, "write", clock("logging", Log.write)):
            patches = [
                mock.patch.object(advmtl.training.loop, key, clock(part, getattr(advmtl.training.loop, key)))
                for key, part in parts.items()
            ]
            patches += [
                mock.patch.object(advmtl.training.loop, "on_device", waiting),
                mock.patch.object(advmtl.training.fitting, "_finish"),
            ]
            for patch in patches:
                patch.start()
            started = time.perf_counter()
            advmtl.training.fitting.fit(config, folder / "run", CPU, Console(quiet=True))
            whole = time.perf_counter() - started
            mock.patch.stopall()
    finally:
        shutil.rmtree(folder)
    spent["building, indexing, pictures"] = whole - sum(spent.values())
    return {"seconds": whole, **{part: seconds / whole for part, seconds in spent.items()}}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cityscapes:data/synth")
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precisions", nargs="*", default=["bf16"], choices=["bf16", "fp16"])
    parser.add_argument("--unfused", action="store_true", help="also steps of unfused optimizers")
    parser.add_argument("--perceptual", default="")
    parser.add_argument("--parts", nargs="+", default=["steps", "loader", "loop"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {
        "size": args.size,
        "batch": args.batch,
        "threads": torch.get_num_threads(),
        "perceptual": bool(args.perceptual),
    }
    if "steps" in args.parts:
        report["steps"] = steps(args)
        for case, row in report["steps"].items():
            print(
                f"step    {case:22s} {row['step_s']:7.3f} s ({row['step_cpu_s']:.3f} CPU)  {row['frames_per_s']:7.1f} frames/s  "
                f"throughput x{row['throughput_ratio']:.2f} (x{row['throughput_ratio_cpu']:.2f} CPU)"
            )
    if "loader" in args.parts:
        report["loader"] = loaders(args)
        for case, row in report["loader"].items():
            for name in ("baseline", "model3") if "steps" in report else ():
                row[f"times_{name}"] = row["frames_per_s"] / report["steps"][name]["frames_per_s"]
                if row["cpu_s_per_frame"]:
                    row[f"times_{name}_cpu"] = report["steps"][name]["step_cpu_s"] / args.batch / row["cpu_s_per_frame"]
            times = ", ".join(
                f"{key.removeprefix('times_')} x{value:.1f}" for key, value in row.items() if key.startswith("times")
            )
            print(f"loader  {case:22s} {row['frames_per_s']:7.1f} frames/s  {times}")
    if "loop" in args.parts:
        report["loop"] = {}
        for name in ("baseline", "model3"):
            report["loop"][name] = shares = loop(args, name)
            rest = ", ".join(f"{part} {share:.1%}" for part, share in shares.items() if part != "seconds")
            print(f"loop    {name:22s} {shares['seconds']:7.1f} s  {rest}", flush=True)
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
