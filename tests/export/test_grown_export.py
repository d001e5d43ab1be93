"""A grown network leaves as any other: parity for both targets, halved and in integers, streamed, its cost counted."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from some_tasks import generator_of
from standins import make_frame, make_metadata, make_source

from advmtl.config.growth import Place
from advmtl.networks.encoders import build_encoder
from advmtl.networks.generator import Generator
from advmtl.networks.grown import grow
from export.bench.graph_cost import cost_of
from export.convert.parity import ParityReport, compare
from export.convert.to_onnx import ExportReport, export_checked
from export.graph.deployable import Deployable
from export.graph.tensorrt_edits import fit_types, unsupported
from export.quantize.fp16 import to_half
from export.quantize.int8 import Target, prepare_quantizer
from export.quantize.sensitivity import open_to_measure, session_of
from export.session.open import open_session
from export.session.session import prepare as fit_frame
from export.sinks import Inferred
from export.stream.stream import Reading, run

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
    generator = generator_of(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}).train()
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
    z = generator.shared_representation(image)
    return {name: head.emit(head.refine(z)) for name, head in generator.heads.items()}


@pytest.fixture(scope="module")
def exported(grown: Generator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportReport]:
    """By target, exported once: it takes seconds each time."""
    folder, frames = tmp_path_factory.mktemp("grown"), [make_frame(i, (240, 180)) for i in range(3)]
    targets: tuple[Target, ...] = ("cpu", "gpu")
    return {one: export_checked(grown, make_metadata(SIZE), folder / f"{one}.onnx", frames, one) for one in targets}


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_both_targets_agree_with_the_network(exported: dict[str, ExportReport], target: str) -> None:
    report = exported[target]
    assert report.parity.outputs["classes"].measured >= 0.999
    assert report.parity.outputs["depth_m"].largest < 1e-4
    model = onnx.load(report.path)
    assert not {node.op_type for node in model.graph.node} & {"Shape", "If", "Loop"}
    assert target == "cpu" or unsupported(fit_types(model)) == []


def agreement(model: onnx.ModelProto, report: ExportReport, target: Target) -> ParityReport:
    """Of a model made from the exported one with that one, on its own frames."""
    frames = [make_frame(i, SIZE)[None] for i in range(10, 14)]
    ours, theirs = session_of(model, target), open_to_measure(report.path, target)
    return compare([(ours.network(frame), theirs.network(frame)) for frame in frames])


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_halved(exported: dict[str, ExportReport], target: Target) -> None:
    half = to_half(onnx.load(exported[target].path))
    wide = {one.name for one in half.graph.initializer if one.data_type == TensorProto.FLOAT}
    assert not {name for name in wide if "kernels." in name or "fusion." in name}
    found = agreement(half, exported[target], target)
    assert found.outputs["classes"].measured >= 0.999
    assert 0 < found.outputs["depth_m"].mean < 0.002


@pytest.mark.parametrize("target", ["cpu", pytest.param("gpu", marks=pytest.mark.slow)])
def test_in_integers(exported: dict[str, ExportReport], target: Target) -> None:
    """Projections are integers; the modules stay in float, as the encoder does, on processors alone."""
    quantizer = prepare_quantizer(
        onnx.load(exported[target].path), target, [make_frame(i, SIZE) for i in range(6)], "minmax"
    )
    layers = [layer.name for layer in quantizer.layers]
    assert sum(".fusion.project." in name for name in layers) == sum(len(place.owners) for place in PLACES)
    assert any(name.startswith("kernels.") for name in layers) == (target == "gpu")
    found = agreement(quantizer.quantised(), exported[target], target)
    assert found.outputs["classes"].measured >= 0.99
    assert 0 < found.outputs["depth_m"].mean < 0.06


def test_streamed(grown: Generator, exported: dict[str, ExportReport]) -> None:
    seen: list[Inferred] = []
    session = open_session(exported["cpu"].path, "cpu", 1)
    report = run(session, make_source(5), seen.append, reading=Reading(in_flight=2))
    assert report.frames == 5 and [frame.index for frame in seen] == list(range(5))
    pairs = []
    for frame in seen:
        with torch.no_grad():
            outputs = Deployable(grown)(torch.from_numpy(fit_frame(make_frame(frame.index), SIZE)))
        ours = {"classes": frame.result.classes[None], "depth_m": frame.result.depth_m[None]}  # type: ignore[index]
        pairs.append((ours, {name: value.numpy() for name, value in outputs.items()}))
    assert compare(pairs).shortfall() is None


def test_its_cost_is_counted_whole(grown: Generator, exported: dict[str, ExportReport], tmp_path: Path) -> None:
    plain = generator_of(build_encoder(None, 0.1), {"segmentation": 5, "depth": 1}).eval()
    export_checked(plain, make_metadata(SIZE), tmp_path / "plain.onnx", [make_frame(0, SIZE)], "gpu")
    whole, before = cost_of(exported["gpu"].path), cost_of(tmp_path / "plain.onnx")
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
