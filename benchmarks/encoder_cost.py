"""What encoders cost: parameters and GMACs of the exported network, CPU latency of it, and time of a training step.

    python benchmarks/encoder_cost.py --encoders mobilenet_v3_small resnet18 --size 512x256

Random weights. The cases take turns, so that the machine's load falls on all alike; ratios are medians over the rounds,
to the first encoder.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from training_speed import timed

from advmtl.config import load_config
from advmtl.training import State, build
from export.bench import cost_of
from export.convert import export_onnx
from export.graph import describe
from preprocessing.ground import label_set


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", nargs="+", default=["mobilenet_v3_small", "mobilenet_v3_large"])
    parser.add_argument("--config", default="baseline")
    parser.add_argument("--size", default="512x256")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    width, height = map(int, args.size.split("x"))
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    rows, latency, training = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.encoders:
            state, path = state_of(args, name), Path(folder) / f"{name}.onnx"
            export_onnx(state.ema, describe(state.config, (width, height)), path)
            cost = cost_of(path)
            encoder = sum(parameter.numel() for parameter in state.generator.encoder.parameters())
            whole = sum(parameter.numel() for parameter in state.generator.parameters())
            rows[name] = (encoder, whole, cost.gmacs or float("nan"), path.stat().st_size)
            latency[name] = frame_of(path, frame, args.threads)
            training[name] = step_of(state, args.batch, (width, height))
        milliseconds, seconds = turns(latency, 4 * args.rounds), turns(training, args.rounds)
    print("encoder | M encoder | M network | GMACs | MB | CPU ms | ratio | step s | ratio")
    for name, (encoder, whole, gmacs, size) in rows.items():
        (ms, slower), (s, longer) = milliseconds[name], seconds[name]
        print(
            f"{name} | {encoder / 1e6:.2f} | {whole / 1e6:.2f} | {gmacs:.2f} | {size / 1e6:.1f} | {1e3 * ms:.1f} | "
            f"{slower:.2f} | {s:.2f} | {longer:.2f}"
        )


def state_of(args: argparse.Namespace, name: str) -> State:
    """A fresh run of the configuration with that encoder, without perceptual losses."""
    base = load_config(args.config)
    off = [f"tasks.{task}.losses.perceptual=0" for task in base.tasks]
    values = [f"encoder.name={name}", "encoder.weights=null", f"data.size={args.size}", *off]
    return build(load_config(args.config, values), torch.device("cpu"))


def frame_of(path: Path, frame: np.ndarray, threads: int) -> Callable[[], object]:
    """One frame through ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {session.get_inputs()[0].name: frame})


def step_of(state: State, batch: int, size: tuple[int, int]) -> Callable[[], object]:
    """Forward, cross entropy and log depth, backward and update of the whole network."""
    width, height = size
    image = torch.randn(batch, 3, height, width).contiguous(memory_format=torch.channels_last)
    classes = torch.randint(0, len(label_set(state.config.data.classes).names), (batch, height, width))

    def step() -> None:
        maps = state.generator.train()(image)
        loss = torch.nn.functional.cross_entropy(maps["segmentation"], classes) + maps["depth"].log().mean()
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()

    return step


def turns(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds and median ratio to the first case; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, work in cases.items():
            seconds, _ = timed(work)
            if number:
                taken[name].append(seconds)
    first = next(iter(taken.values()))
    return {
        name: (statistics.median(found), statistics.median(a / b for a, b in zip(found, first, strict=True)))
        for name, found in taken.items()
    }


if __name__ == "__main__":
    main()
