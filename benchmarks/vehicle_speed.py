"""Frames/s of our networks and of a MobileNetV2 light-weight RefineNet on this processor, frame in to classes and metres out.

    python benchmarks/vehicle_speed.py --threads 2 --run runs/baseline --out runs/vehicle_speed.json

Every network is exported in the plain graph (`--target gpu`) and in the one for processors (`--target cpu`), each is run in the
three ways of `vehicle_rows.WAYS`, and all of them take turns in one process: what else the machine does meets all alike. The rival
gets the same graphs and ways; ratios are to the best of its rows, and to the best of those run in the same way. CPU time (all
threads) is given beside wall time: on a machine with other jobs only it is comparable. `border` is the share of cells in which
the cpu graph compares classes.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from light_refinenet import build_light_refinenet, ours
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from vehicle_rows import RIVAL, WAYS, Frame, Row, measure, open_rows, report, show

from advmtl.config import load_config
from advmtl.networks import Generator, build_encoder, build_generator
from advmtl.training import load_generator
from advmtl.version import __version__
from export.bench import cost_of
from export.convert import export_onnx
from export.graph import CLASSES, DEPTH, Deployable, Metadata
from export.stream import find_images
from preprocessing.ground import read_image, write_json


def count(network: nn.Module, size: tuple[int, int]) -> tuple[int, float]:
    """Parameters, and multiply-accumulates of convolutions [1e9] for one frame of `size` (width, height)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size[1], size[0]))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() / 2e9


def border_share(network: Generator, frames: list[Frame]) -> float:
    """Mean share of cells of the logits whose four corners do not agree on a class."""
    shares = []
    for frame in frames:
        stub = Deployable(nn.Identity())
        planes = (torch.from_numpy(frame[None]).permute(0, 3, 1, 2).float() - stub.shift) * stub.factor
        with torch.no_grad():
            best = network.emit(network.shared_representation(planes))["segmentation"].argmax(1, keepdim=True).float()
        best = F.pad(best, (1, 1, 1, 1), mode="replicate")
        low, high = -F.max_pool2d(-best, 2, 1), F.max_pool2d(best, 2, 1)
        shares.append(float((low != high).float().mean()))
    return statistics.mean(shares)


def unsettle(network: nn.Module) -> None:
    """Norms as after a training: without, constants would be folded to nothing."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)


def rows_of(name: str, network: Generator, frames: list[Frame], folder: Path, options: argparse.Namespace) -> list[Row]:
    """Export `network` both ways and open the files."""
    height, width = frames[0].shape[:2]
    with torch.no_grad():
        classes = network(torch.zeros(1, 3, 64, 64))["segmentation"].shape[1]
    metadata = Metadata(
        advmtl_version=__version__,
        size=(width, height),
        outputs=(CLASSES, DEPTH),
        class_names=tuple(map(str, range(classes))),
        palette=((0, 0, 0),) * classes,
        depth_range_m=network.spec.depth_range_m,
    )
    parameters, gmacs = count(network, (width, height))
    border = border_share(network, frames)
    rows = []
    for target in ("gpu", "cpu"):
        path = folder / f"{len(list(folder.iterdir()))}.onnx"
        export_onnx(network, metadata, path, target)
        rows += open_rows(path, options.way, options.threads, Row(name, f"onnx, {target}", parameters, gmacs, border))
    if options.torch:
        model = Deployable(network).eval().to(memory_format=torch.channels_last)

        def eager(frames: list[Frame]) -> None:
            with torch.inference_mode():
                for frame in frames:
                    model(torch.from_numpy(frame[None]))

        rows.append(Row(name, "torch", parameters, gmacs, border, "eager", eager))
    return rows


def peak_gmacs() -> float:
    """Multiply-accumulates per second of one core [1e9]: a large single-precision matrix product, the best of ten."""
    torch.set_num_threads(1)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    times = []
    for _ in range(10):
        started = time.process_time()
        a @ b
        times.append(time.process_time() - started)
    return 2048**3 / min(times) / 1e9


def pictures(folder: Path | None, size: tuple[int, int], limit: int = 4) -> list[Frame]:
    """Frames of `size` from a folder, or smooth made-up ones."""
    if folder is not None:
        return [np.asarray(cv2.resize(read_image(path), size), np.uint8) for path in find_images(folder)[:limit]]
    random = np.random.default_rng(0)
    coarse = [random.uniform(0, 255, (8, 16, 3)).astype(np.float32) for _ in range(limit)]
    return [cv2.resize(one, size, interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8) for one in coarse]


def main() -> None:
    """Build, export, run in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", nargs="*", default=["baseline", "fast", "nano"], help="configurations, with random weights"
    )
    parser.add_argument("--run", nargs="*", type=Path, default=[], help="trained runs of ours")
    parser.add_argument(
        "--model", nargs="*", type=Path, default=[], help="exported .onnx files, e.g. of another precision"
    )
    parser.add_argument("--frames", type=Path, help="folder of pictures; made up by default")
    parser.add_argument("--size", default="1024x512")
    parser.add_argument("--classes", type=int, default=11, help="classes of every network with random weights")
    parser.add_argument("--threads", type=int, default=2, help="cores; for frames in flight, how many of them")
    parser.add_argument("--way", nargs="*", default=list(WAYS), choices=WAYS, help="how frames are run; all by default")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--torch", action="store_true", help="also torch eager")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    frames = pictures(options.frames, (width, height))
    torch.manual_seed(0)
    networks: dict[str, Generator] = {RIVAL: build_light_refinenet(options.classes)}
    for name in options.config:
        config = load_config(name)
        networks[name] = build_generator(
            build_encoder(width=config.encoder.width),
            *ours(options.classes),
            config.generator.channels,
            config.generator.crp_stages,
        )
    for network in networks.values():
        unsettle(network)
    networks |= {str(run): load_generator(run)[0] for run in options.run}
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name, network in networks.items():
            rows += rows_of(name, network.eval(), frames, Path(folder), options)
        for path in options.model:
            cost = cost_of(path)
            row = Row(str(path), cost.precision or "", cost.parameters or 0, cost.gmacs, None)
            rows += open_rows(path, options.way, options.threads, row)
        peak = peak_gmacs()
        torch.set_num_threads(options.threads)
        measure(rows, frames, options.iterations)
    result = report(rows, peak, options.threads)
    show(result)
    if options.out:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
