"""A grown network leaves as any other: parity for both targets, halved and in integers, its cost counted whole."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from standins import make_frame, make_metadata

from advmtl.growth.grow import grow
from advmtl.growth.place import Place
from advmtl.networks.encoder import build_encoder
from advmtl.networks.generator import Generator, build_generator
from export.graphs.to_onnx import export_checked
from export.measuring.graph_cost import cost_of
from export.tensorrt.graph import fit_types, unsupported

PLACES = [
    Place(1, ("segmentation", "depth")),
    Place(3, ("segmentation", "depth")),
    Place(4, ("segmentation", "depth")),
    Place(2, ("depth",)),
]
SIZE = (144, 80)


@pytest.fixture(scope="module")
def grown() -> Generator:
    torch.manual_seed(0)
    generator = build_generator(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}).train()
    grow(generator, PLACES, 2.0, seed=1)
    with torch.no_grad():
        for i in range(3):  # batch statistics, so that the maps are not flat
            generator(torch.from_numpy(make_frame(i)[None]).permute(0, 3, 1, 2) / 128 - 1)
        for head in generator.heads.values():
            head.emit.weight.mul_(10)
            for project in head.fusion.project.values():
                project.weight.copy_(0.3 * torch.randn(project.weight.shape))
    return generator.eval()


def without(generator: Generator) -> dict[str, torch.Tensor]:
    """What it would give without its modules."""
    image = torch.from_numpy(make_frame(1)[None]).permute(0, 3, 1, 2) / 128 - 1
    z = generator.represent(image)
    return {name: head.emit(head.refine(z)) for name, head in generator.heads.items()}


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_both_targets_agree_with_the_network(grown: Generator, target: str, tmp_path: Path) -> None:
    frames = [make_frame(i, (240, 180)) for i in range(3)]
    report = export_checked(grown, make_metadata(SIZE), tmp_path / "grown.onnx", frames, target)
    assert report.parity.class_agreement is not None and report.parity.class_agreement >= 0.999
    assert report.parity.depth_max_relative is not None and report.parity.depth_max_relative < 1e-4
    model = onnx.load(report.path)
    assert not {node.op_type for node in model.graph.node} & {"Shape", "If", "Loop"}
    if target == "cpu":
        return
    assert unsupported(fit_types(model)) == []
    plain = build_generator(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}).eval()
    export_checked(plain, make_metadata(SIZE), tmp_path / "plain.onnx", frames[:1], target)
    whole, before = cost_of(report.path), cost_of(tmp_path / "plain.onnx")
    assert whole.gmacs is not None and before.gmacs is not None
    assert round((whole.gmacs - before.gmacs) * 1e9) == added_macs(grown)


def added_macs(generator: Generator) -> int:
    """Of the modules by hand: each convolution's weights times its output's pixels; projections at the tap's size."""
    pixels = {stride: (SIZE[0] // stride) * (SIZE[1] // stride) for stride in (2, 4, 8)} | {16: 9 * 5, 32: 5 * 3}
    total = 0
    for place in PLACES:
        before, after = pixels[2**place.stage], pixels[2 ** (place.stage + 1)]
        kernel = generator.get_submodule(f"kernels.grown.{place.name}")
        link = 0 if kernel.link is None else kernel.link.weight.numel()
        total += before * (kernel.expand.weight.numel() + link)
        total += after * (kernel.body[2].weight.numel() + kernel.body[5].weight.numel())
        total += after * len(place.owners) * kernel.body[5].out_channels * 64
    return total


def test_modules_matter_here(grown: Generator) -> None:
    image = torch.from_numpy(make_frame(1)[None]).permute(0, 3, 1, 2) / 128 - 1
    z, taps = grown.encode(image)
    for name, value in grown.emit(z, taps).items():
        assert (value - without(grown)[name]).abs().max() > 0.05
    assert np.isfinite(value.detach().numpy()).all()
